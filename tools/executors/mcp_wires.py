"""How bytes reach an MCP server: a process of its own, or HTTP; each bounded, and each saying why it ended."""

import asyncio
import os
import signal
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import mcp_types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import MCP_SESSION_ID, streamable_http_client
from mcp.shared.message import SessionMessage

from settings import inherited

INHERITED = ("PATH", "HOME", "LANG")
"""All that a server's process gets of the worker's environment."""
GRACE, FORCE, REAP = 0.5, 1.0, 1.0
"""Seconds: for a server to end when nobody talks to it any more, after SIGTERM, and for its death to be seen."""
NOT_SENT, NOT_RUN, REFUSED = 790_001, 790_002, 790_003
"""Codes of the errors that stand in for HTTP's own, far from JSON-RPC's: it was surely not sent, not run yet, or turned down."""
LATER = (408, 425, 429)
UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol, httpx2.ProxyError)


class Watch:
    """What a wire tells about itself: that it is over, and the last that was heard of the server beside its answers."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self._said: deque[str] = deque(maxlen=5)

    def say(self, what: str) -> None:
        """Keep a line for whoever asks why it ended."""
        if what.strip():
            self._said.append(what.strip()[:300])

    @property
    def said(self) -> str:
        """The last lines, newest last."""
        return " / ".join(self._said)


@asynccontextmanager
async def process(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, most_bytes: int, watch: Watch
) -> AsyncGenerator[TransportStreams]:
    """Run a server in a process group of its own and talk to it over its standard input and output.

    The SDK's own wire hands on more of the worker's environment, and reads lines of any length.
    """
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**inherited(INHERITED), **environment},
        cwd=folder,
        start_new_session=True,
        limit=most_bytes,
    )
    heard_in, heard = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    # Room for cancels: who gives up on a server that reads nothing must not wait for it.
    told, told_out = anyio.create_memory_object_stream[SessionMessage](100)
    async with anyio.create_task_group() as group:
        group.start_soon(_hear, child, heard_in, watch)
        group.start_soon(_tell, child, told_out, watch)
        group.start_soon(_overhear, child, watch)
        try:
            yield heard, told
        finally:
            watch.over.set()
            with anyio.CancelScope(shield=True):
                await _end(child)
            group.cancel_scope.cancel()
            for stream in (heard_in, heard, told, told_out):
                stream.close()


async def _hear(child: asyncio.subprocess.Process, heard: MemoryObjectSendStream[SessionMessage | Exception], watch: Watch) -> None:
    assert child.stdout
    with heard, suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        try:
            while line := await child.stdout.readline():
                try:
                    message = mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:
                    watch.say("it writes to its output what is no JSON-RPC")
                    continue
                await heard.send(SessionMessage(message))
        except ValueError:
            watch.say("it wrote a line that is longer than `most_bytes` allows")
        finally:
            watch.over.set()


async def _tell(child: asyncio.subprocess.Process, told: MemoryObjectReceiveStream[SessionMessage], watch: Watch) -> None:
    assert child.stdin
    try:
        async for message in told:
            child.stdin.write(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await child.stdin.drain()
    except (OSError, RuntimeError):
        watch.over.set()


async def _overhear(child: asyncio.subprocess.Process, watch: Watch) -> None:
    """Read what it writes to its log, or it would stop when the pipe is full."""
    assert child.stderr
    while chunk := await child.stderr.read(4096):
        for line in chunk.decode(errors="replace").splitlines():
            watch.say(line)


async def _end(child: asyncio.subprocess.Process) -> None:
    """End a server with everything it started, within about three seconds."""
    assert child.stdin
    child.stdin.close()
    if not await _ends(child, GRACE):
        _signal(child.pid, signal.SIGTERM)
        await _ends(child, FORCE)
    # Also where the server itself has ended: what it started may not have.
    _signal(child.pid, signal.SIGKILL)
    await _ends(child, REAP)
    # Someone who left the group may hold the pipes; we do not wait for their end.
    getattr(child, "_transport").close()  # noqa: B009


async def _ends(child: asyncio.subprocess.Process, seconds: float) -> bool:
    # Not `wait()`: it waits for the pipes too, which others may hold.
    for _ in range(int(seconds / 0.02)):
        if child.returncode is not None:
            return True
        await asyncio.sleep(0.02)
    return child.returncode is not None


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


@asynccontextmanager
async def web(url: str, client: httpx2.AsyncClient, most_bytes: int, watch: Watch) -> AsyncGenerator[TransportStreams]:
    """Talk to a server over streamable HTTP, with a client of ours whose transport is a `Courier`."""
    try:
        async with client, streamable_http_client(url, http_client=client, max_sse_event_size=most_bytes) as streams:
            yield streams
    finally:
        watch.over.set()


class Courier(httpx2.AsyncBaseTransport):
    """Turns what HTTP itself says of one request into an answer to that request.

    The SDK ends the whole session where a request cannot be sent, and forgets the status; then nobody could tell any more which
    calls surely did not happen.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, most_bytes: int, watch: Watch) -> None:
        self._inner = inner
        self._most_bytes = most_bytes
        self._watch = watch

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request."""
        if request.method != "POST":
            return await self._inner.handle_async_request(request)
        try:
            response = await self._inner.handle_async_request(request)
        except UNSENT as error:
            self._watch.say(str(error))
            return _answer(NOT_SENT, f"the server cannot be reached: {error}")
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            return _answer(mcp_types.PARSE_ERROR, "the answer is compressed, which nobody asked for")
        if _is_json(response):
            return await self._bounded(request, response)
        return await _judged(request, response) if response.status_code >= 400 else response

    async def _bounded(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        """Read a JSON answer, which the SDK would read at any length."""
        body = bytearray()
        async for chunk in response.stream:  # pyright: ignore[reportGeneralTypeIssues]
            body += chunk
            if len(body) > self._most_bytes:
                await response.aclose()
                return _answer(mcp_types.PARSE_ERROR, f"the answer is longer than {self._most_bytes} bytes")
        await response.aclose()
        if response.status_code >= 400 and not _is_error(bytes(body)):
            return await _judged(request, response)
        return httpx2.Response(response.status_code, headers=response.headers, content=bytes(body))

    async def aclose(self) -> None:
        """Close what it sends by."""
        await self._inner.aclose()


async def _judged(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
    await response.aclose()
    status = response.status_code
    after = response.headers.get("retry-after", "")
    seconds = {"retry_after": float(after)} if after.isdecimal() else None
    if status == 404 and MCP_SESSION_ID in request.headers:
        return _answer(NOT_RUN, "the server has forgotten this session", {"session": "over"})
    if status in LATER:
        return _answer(NOT_RUN, f"the server says {status}", seconds)
    if status < 500:
        return _answer(REFUSED, f"the server says {status}")
    return _answer(mcp_types.INTERNAL_ERROR, f"the server says {status}", seconds)


def _answer(code: int, message: str, data: Any = None) -> httpx2.Response:
    # The SDK puts the request's own id in, so none is needed here.
    return httpx2.Response(400, json={"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message, "data": data}})


def _is_json(response: httpx2.Response) -> bool:
    return response.headers.get("content-type", "").lower().startswith("application/json")


def _is_error(body: bytes) -> bool:
    try:
        return isinstance(mcp_types.jsonrpc_message_adapter.validate_json(body, by_name=False), mcp_types.JSONRPCError)
    except ValueError:
        return False
