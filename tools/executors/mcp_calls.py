"""Calls of MCP tools: which session they take, how they end, and what an answer comes to."""

import asyncio
import json
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import mcp_types
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult
from pydantic import ValidationError

from contracts.errors import BadInput, PerdureError, ToolFailed, ToolRetry, ToolUnknown, TransientError
from contracts.schemas import Checker
from contracts.waits import clipped
from tools.calls import Incapable, NotStarted
from tools.contract import Lookup, ToolContext
from tools.executors.executor import Object, Place
from tools.executors.mcp_connection import Connection
from tools.executors.mcp_definitions import TEXT
from tools.executors.mcp_door import Door
from tools.executors.mcp_server import Listed, LookUp, McpServer
from tools.executors.mcp_wires import NOT_RUN, NOT_SENT, REFUSED
from tools.invisible import visible
from tools.lock import Definition

KEY = "perdure/effect-key"
"""Where the effect's key goes along in a call's `_meta`."""
MISSING = object()
ABANDON_SECONDS = 0.4
"""How long a call that is given up may take to say so to the server."""
TURNED_DOWN = (
    mcp_types.METHOD_NOT_FOUND,
    mcp_types.UNSUPPORTED_PROTOCOL_VERSION,
    mcp_types.MISSING_REQUIRED_CLIENT_CAPABILITY,
    mcp_types.URL_ELICITATION_REQUIRED,
    REFUSED,
)
NOT_YET = (NOT_SENT, NOT_RUN, mcp_types.HEADER_MISMATCH)
OVER = (mcp_types.HEADER_MISMATCH, mcp_types.CONNECTION_CLOSED)
LOST = (mcp_types.CONNECTION_CLOSED, mcp_types.REQUEST_TIMEOUT, mcp_types.INTERNAL_ERROR)
Result = TypeVar("Result")


class Calls:
    """The sessions with one source's server, one for each command line, address and set of secrets, and calls over them."""

    def __init__(self, source: McpServer, place: Place) -> None:
        self._source = source
        self._place = place
        self._open: dict[tuple[object, ...], Connection] = {}
        self._ending: list[Connection] = []
        self._accept = f"starter.py tools pin {place.folder.name} --source {place.name}"

    async def invoke(self, listed: Listed, arguments: Object, context: ToolContext) -> Object:
        """Call a listed tool. Raises: as `Executor` says."""
        reads = listed.effect == "read"
        given = {**arguments, listed.key_argument: context.key} if listed.key_argument else arguments
        answer = await self._called(listed.tool, given, context, reads)
        return self._output(listed.tool, answer, reads)

    async def lookup(self, listed: Listed, key: str, context: ToolContext) -> Lookup | None:
        """Ask the server's other tool what became of a call. Raises: TransientError where it cannot be asked now."""
        asked = listed.lookup
        if asked is None:
            return None
        try:
            answer = await self._called(asked.tool, {**asked.arguments, asked.key_argument: key}, context, reads=True)
            found = self._output(asked.tool, answer, reads=True)
            return None if Checker(self._place.accepted[asked.tool].result).errors(found) else _found(asked, found)
        except (ToolFailed, ToolRetry, BadInput):
            return None

    async def close(self) -> None:
        """End all sessions, and wait until no process of theirs is left."""
        await asyncio.gather(*(one.close() for one in (*self._open.values(), *self._ending)), return_exceptions=True)
        self._open.clear()
        self._ending.clear()

    async def _session(self, context: ToolContext) -> Connection:
        door = Door.of(self._source, self._place, context.folder, context.endpoints, context.secrets)
        found = self._open.get(door.key)
        if found is None or found.ended:
            self._sort()
            found = self._open[door.key] = door.connection(self._place.accepted)
        await found.ready(left(context))
        return found

    def _sort(self) -> None:
        every = (*self._open.values(), *self._ending)
        self._open = {key: one for key, one in self._open.items() if not one.ended}
        self._ending = [one for one in every if one.ended and not one.gone]

    def _output(self, tool: str, answer: CallToolResult, reads: bool) -> Object:
        return output(answer, self._place.accepted[tool].result != TEXT, self._source.most_bytes, reads)

    async def _called(self, tool: str, arguments: Object, context: ToolContext, reads: bool) -> CallToolResult:
        connection = await self._session(context)
        await connection.inspect(tool, self._accept)
        seconds = left(context)
        with connection.use() as client:
            if connection.ended or seconds <= 0:
                raise NotStarted(f"{tool} was not called: {connection.why if connection.ended else 'its time was over'}")
            try:
                answer = await within(
                    client.session.call_tool(tool, arguments, meta={KEY: context.key}, allow_input_required=True), seconds
                )
            except (TimeoutError, asyncio.CancelledError) as error:
                connection.probe()
                if isinstance(error, asyncio.CancelledError):
                    raise
                _lost(f"{tool} did not end within {seconds:.0f} s", reads)
            except MCPError as error:
                if error.error.code in OVER or _session_over(error):
                    connection.end()
                elif error.error.code in LOST:
                    connection.probe()
                raise _translated(tool, error, arguments, reads, f"; {connection.why}" if connection.ended else "") from None
            except (RuntimeError, ValidationError, ValueError) as error:
                _lost(f"{tool} answered what is no answer of a tool ({str(error).splitlines()[0][:200]})", reads, garbage=True)
        if not isinstance(answer, CallToolResult):
            _lost(f"{tool} asks for input in the middle of its call, which nobody here gives", reads, garbage=True)
        return answer


async def within(work: Coroutine[Any, Any, Result], seconds: float) -> Result:
    """Await something for so long; given up, it gets a moment to tell the other side. Raises: TimeoutError."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=ABANDON_SECONDS)
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    if task.cancelled() or not task.done():
        raise TimeoutError
    return task.result()


def left(context: ToolContext) -> float:
    """Return the seconds that an attempt has, but for a moment to record how it ended."""
    return (context.deadline - datetime.now(UTC)).total_seconds() - 0.1


def _lost(message: str, reads: bool, *, garbage: bool = False) -> NoReturn:
    """End a call whose effect nobody knows."""
    if not reads:
        raise ToolUnknown(f"{message}; it may have acted")
    raise ToolFailed(message) if garbage else TransientError(message)


def _translated(tool: str, error: MCPError, arguments: Mapping[str, Any], reads: bool, why: str) -> PerdureError:
    code, said = error.error.code, visible(error.error.message)[:1000]
    data = error.error.data
    after = clipped(data.get("retry_after")) if isinstance(data, dict) else None
    match code:
        case mcp_types.INVALID_PARAMS:
            return _wrong(tool, said, arguments)
        case _ if code in TURNED_DOWN:
            return Incapable(f"{tool} was refused: {said}")
        case _ if code in NOT_YET:
            return TransientError(f"{tool} was not run: {said}", retry_after=after)
        case _ if not reads:
            return ToolUnknown(f"{tool} ended without an answer ({said}); it may have acted")
        case _ if code in LOST:
            return TransientError(f"{tool} ended without an answer ({said}{why})", retry_after=after)
        case _:
            return ToolFailed(f"{tool} failed: {said}")


def _wrong(tool: str, said: str, arguments: Mapping[str, Any]) -> PerdureError:
    """Return what a complaint about arguments is: the model's to mend where it names one."""
    named = any(name in said for name in arguments) or "argument" in said.lower()
    return ToolRetry(f"{tool}: {said}") if named else ToolFailed(f"{tool} failed: {said}")


def output(answer: CallToolResult, structured: bool, most_bytes: int, reads: bool) -> Object:
    """Return what an answer comes to.

    structured: whether the tool declares a schema of its result, of an object. Raises: ToolFailed or ToolRetry where it says that it
    failed; where the answer is none, ToolUnknown for a tool that writes.
    """
    text = "\n".join(block.text for block in answer.content if isinstance(block, mcp_types.TextContent))
    if answer.is_error:
        said = visible(text)[:2000] or "it says that it failed, and not why"
        # Servers of the TypeScript SDK report wrong arguments inside a result.
        raise ToolRetry(said) if str(mcp_types.INVALID_PARAMS) in said and "rgument" in said else ToolFailed(said)
    if structured:
        output: Any = answer.structured_content
        if not isinstance(output, dict):
            _lost("it answered without the structured content that it declares", reads, garbage=True)
    else:
        others = [block for block in answer.content if not isinstance(block, mcp_types.TextContent)]
        output = {"text": text, "content": [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in others]}
    if (size := len(json.dumps(output))) > most_bytes:
        _lost(f"it answered {size} bytes, and may answer {most_bytes}: ask for less", reads, garbage=True)
    return output


def _found(asked: LookUp, found: Object) -> Lookup | None:
    """Read a look-up's result; a place that is not in it tells nothing, and surely not that nothing happened."""
    happened = _at(found, asked.happened)
    if happened is MISSING:
        return None
    if not happened:
        return Lookup(happened=False)
    given = _at(found, asked.output) if asked.output else found
    return Lookup(happened=True, output=given) if isinstance(given, dict) else None


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(value, str):
            # Many servers answer JSON as a text.
            value = _parsed(value)
        if not isinstance(value, dict) or part not in value:
            return MISSING
        value = value[part]
    return value


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _session_over(error: MCPError) -> bool:
    return isinstance(error.error.data, dict) and error.error.data.get("session") == "over"


async def asked(
    source: McpServer, place: Place, folder: Path, endpoints: Mapping[str, str], secrets: Mapping[str, str], seconds: float
) -> dict[str, Definition]:
    """Ask a server what tools it has now. Raises: ToolFailed or TransientError where it cannot be asked."""
    connection = Door.of(source, place, folder, endpoints, secrets).connection({})
    try:
        await connection.ready(seconds)
        return connection.found
    finally:
        await connection.close()
