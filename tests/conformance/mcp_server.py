"""The conformance tools as an MCP server over streamable HTTP: `python -m tests.conformance.mcp_server PORT`."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from contracts.errors import ToolFailed, ToolRetry, TransientError
from tests.conformance.kinds import AUTOMATIONS, NAMES, SECRETS, Served
from tools.registry import Registry

SERVED = Served(Registry(AUTOMATIONS).tools("notes"), Path())
KEY = "reference"
FOUND = {"type": "object", "properties": {"found": {"type": ["object", "null"]}}, "required": ["found"]}
ONE_KEY = {"type": "object", "properties": {KEY: {"type": "string"}}, "required": [KEY]}
KEYED = ("note.write", "note.guarded", "note.erase", "note.slow")


def manifest(url: str) -> dict[str, Any]:
    """Return the source of a `tools.yaml`."""
    look_up = {"tool": "find", "key_argument": KEY, "happened": "found", "output": "found"}
    write = {"effect": "write", "guarantee": "guarded", "compensate_with": "note.erase", "key_argument": KEY}
    final = {"effect": "write", "irreversible": True, "key_argument": KEY}
    tools: dict[str, Any] = {
        "note.write": {**write, "guarantee": "idempotent", "key_ttl": "P1D"},
        "note.guarded": {**write, "lookup": look_up},
        "note.erase": {**final, "guarantee": "idempotent", "key_ttl": "P1D"},
        "note.slow": {**final, "guarantee": "guarded", "seconds": 60},
        "note.read": {"effect": "read", "guarantee": "pure"},
        "note.counts": {"effect": "read", "guarantee": "pure"},
    }
    return {"url": url, "auth": {"bearer": "NOTE_TOKEN"}, "tools": {name: {"tool": name, **said} for name, said in tools.items()}}


def described(name: str) -> types.Tool:
    """Return a tool as MCP lists it; those that write take the key as one more argument."""
    tool = SERVED.tools[name]
    arguments = tool.arguments.model_json_schema()
    if name in KEYED:
        arguments["properties"] = {**arguments["properties"], KEY: {"type": "string"}}
    return types.Tool(name=name, description=tool.description, input_schema=arguments, output_schema=tool.result.model_json_schema())


async def listed(_: Any, __: Any) -> types.ListToolsResult:
    find = types.Tool(name="find", description="Find a note by its key.", input_schema=ONE_KEY, output_schema=FOUND)
    return types.ListToolsResult(tools=[*map(described, NAMES), find], ttl_ms=0)


async def called(_: Any, request: types.CallToolRequestParams) -> types.CallToolResult:
    given = dict(request.arguments or {})
    if request.name == "find":
        look_up = SERVED.tools["note.guarded"].lookup
        assert look_up is not None
        found = await look_up(given[KEY], SERVED.context("note.guarded"))
        return structured({"found": found.output if found and found.happened else None})
    try:
        return structured(await run(request.name, given))
    except ToolRetry as error:
        raise MCPError(types.INVALID_PARAMS, f"`how`: {error}") from None
    except ToolFailed as error:
        return types.CallToolResult(content=[types.TextContent(type="text", text=str(error))], is_error=True)


async def run(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Call a tool as a function. Raises: what it raises."""
    tool = SERVED.tools[name]
    arguments = {argument: value for argument, value in given.items() if argument != KEY}
    return (await tool.call(tool.arguments.model_validate(arguments), SERVED.context(name, given.get(KEY, "")))).model_dump()


def structured(value: dict[str, Any]) -> types.CallToolResult:
    """Return an output."""
    return types.CallToolResult(content=[types.TextContent(type="text", text=json.dumps(value))], structured_content=value)


class Gate:
    """What HTTP itself says: who has no token, who is to come again, and a connection that breaks."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if dict(scope["headers"]).get(b"authorization") != f"Bearer {SECRETS['NOTE_TOKEN']}".encode():
            await answer(send, 401)
            return
        body = await whole(receive)
        status = await self._told(body)
        if status is None:
            await self.app(scope, once(body, receive), send)
        else:
            await answer(send, status)

    async def _told(self, body: bytes) -> int | None:
        asked = json.loads(body) if body else {}
        params = asked.get("params") or {}
        how = (params.get("arguments") or {}).get("how")
        if asked.get("method") != "tools/call" or how not in {"transient", "cut"}:
            return None
        try:
            await run(params["name"], params["arguments"])
        except TransientError:
            return 429
        except ConnectionError:
            return 502
        return None


async def whole(receive: Any) -> bytes:
    """Return a request's whole body."""
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def once(body: bytes, receive: Any) -> Any:
    """Return a body that was read, and then what comes after it."""
    held = [{"type": "http.request", "body": body, "more_body": False}]

    async def next() -> Any:
        return held.pop() if held else await receive()

    return next


async def answer(send: Any, status: int) -> None:
    """Answer without the protocol."""
    headers = [(b"retry-after", b"7"), (b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"told to"})


def main() -> None:
    """Serve until it is ended."""
    server = Server("notes", on_list_tools=listed, on_call_tool=called)
    app = Gate(server.streamable_http_app())
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
