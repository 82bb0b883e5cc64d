"""What an MCP server says of its tools: listed, made definitions of, and held against what was accepted."""

from collections.abc import AsyncGenerator
from typing import Any

import mcp_types
import rfc8785
from mcp.client import Client

from tools.invisible import hidden, visible, visible_in
from tools.lock import Definition

MOST_PAGES = 50
HIDES = "invisible characters that were left out"
PARTS = {"declared": "what it hides"}
TEXT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "description": "all that it answered as text"},
        "content": {"type": "array", "items": {"type": "object"}, "description": "what else it answered: images, sounds, resources"},
    },
    "required": ["text", "content"],
}
"""The result of a tool that declares no schema of its own result, or one that is not of an object."""


async def listed(client: Client) -> AsyncGenerator[mcp_types.Tool]:
    """Yield all tools that a server lists. Raises: ValueError where its list has no end."""
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            yield tool
        cursor = page.next_cursor
        if cursor is None:
            return
    raise ValueError(f"its list of tools has more than {MOST_PAGES} pages")


def defined(tool: mcp_types.Tool) -> Definition:
    """Return what a server says of a tool, its annotations left out: they are a stranger's.

    What its texts hide is left out too, and how much that is becomes a part of it, so that a person hears of it.
    """
    result = tool.output_schema
    concealed = hidden([tool.description, tool.title, tool.input_schema, result])
    return Definition(
        name=tool.name,
        description=visible(tool.description or tool.title or ""),
        arguments=visible_in(tool.input_schema),
        result=visible_in(result) if result and result.get("type") == "object" else TEXT,
        declared={HIDES: concealed} if concealed else {},
    )


def difference(accepted: Definition | None, found: Definition | None) -> str:
    """Say how a tool differs from what was accepted; empty where it does not."""
    if accepted is None:
        return "nobody has accepted it"
    if found is None:
        return "it is gone"
    try:
        if found.pin == accepted.pin:
            return ""
    except rfc8785.CanonicalizationError as error:
        return f"its schemas have no canonical form ({error})"
    before, now = accepted.as_json(), found.as_json()
    return f"it has changed since it was accepted: {', '.join(PARTS.get(part, part) for part in now if now[part] != before[part])}"
