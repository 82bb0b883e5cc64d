"""Perdure's own tools. An automation takes them by name: `use: [web.page]` in its `tools.yaml`."""

MODULES = ("files", "mail", "postgres", "request", "web", "webhook")
