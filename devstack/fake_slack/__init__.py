"""A stand-in for Slack: its Web API, what people press, signed or over a socket, and the faults it has."""

from devstack.fake_slack.faults import Faults
from devstack.fake_slack.server import FakeSlack, serving
from devstack.fake_slack.sockets import Reply
from devstack.fake_slack.workspace import Message, View, Workspace

__all__ = ["FakeSlack", "Faults", "Message", "Reply", "View", "Workspace", "serving"]
