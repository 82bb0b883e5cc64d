"""Slack as a view of the approvals: it shows rows, and hands what people say of them to the desk."""
