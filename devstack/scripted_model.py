"""A model that answers from a script, over OpenAI's API, and fails when told to: for tests and benchmarks.

`python -m devstack.scripted_model --port N --script FILE`. `PUT /script` sets another script, `GET /calls` lists what was
asked, `POST /reset` begins the script anew, and `POST /go-on` lets the streams go on that the script holds.
"""

import argparse
import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from devstack import script, web_server
from devstack.completion import MODEL, Completion
from devstack.script import Author, Entry, Request, Script

CALLS_KEPT = 1000
PATIENCE = 600.0  # seconds until a "timeout" hangs up by itself
Lines = Sequence[Entry | dict[str, Any]] | Author


class ScriptedModel:
    """The server's state and its ASGI application: one bare function, since benchmarks count its time."""

    def __init__(self, lines: Lines = ()) -> None:
        self.calls: deque[Request] = deque(maxlen=CALLS_KEPT)
        self.count = 0
        self.base_url = ""
        self._held = asyncio.Event()
        self.set_script(lines)

    def set_script(self, lines: Lines) -> None:
        """Answer from this script, or from this function, from now on."""
        self._lines: Author | list[Entry] = lines if callable(lines) else script.ENTRIES.validate_python(lines)
        self.reset()

    def reset(self) -> None:
        """Begin the script anew and forget the calls."""
        self._script: Callable[[Request], Entry | None] = self._lines if callable(self._lines) else Script(self._lines)
        self.calls.clear()
        self.count = 0

    def go_on(self) -> None:
        """Let the streams go on that the script holds now; later ones are held again."""
        self._held.set()
        self._held = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        match scope["method"], scope["path"]:
            case "POST", "/v1/chat/completions":
                await self._complete(json.loads(await _body(receive)), scope, receive, send)
            case "GET", "/v1/models":
                await _reply(send, 200, {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "perdure", "created": 0}]})
            case "GET", "/calls":
                await _reply(send, 200, {"count": self.count, "calls": list(self.calls)})
            case "PUT", "/script":
                await self._rewrite(await _body(receive), send)
            case "POST", "/reset":
                self.reset()
                await _reply(send, 200, {})
            case "POST", "/go-on":
                self.go_on()
                await _reply(send, 200, {})
            case method, path:
                await _reply(send, 404, _error(f"the scripted model has no {method} {path}"))

    async def _rewrite(self, body: bytes, send: Send) -> None:
        try:
            self.set_script(script.ENTRIES.validate_json(body))
        except ValidationError as error:
            await _reply(send, 422, _error(str(error)))
        else:
            await _reply(send, 200, {})

    async def _complete(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        self.count += 1
        self.calls.append(request)
        entry = self._script(request)
        if entry is None:
            await _reply(send, 400, _error(f"the script has no entry for {script.last_user_message(request)[:200]!r}"))
            return
        if entry.delay:
            await asyncio.sleep(entry.delay)
        completion = Completion(entry, request, self.count)
        match entry.fault:
            case "429" | "500":
                await _reply(send, int(entry.fault), _error(f"scripted fault {entry.fault}"), _retry_after(entry))
            case "timeout":
                await _until_hung_up(receive)
            case fault if request.get("stream") and fault != "whole":
                await self._stream(send, completion)
            case "cut":
                await completion.cut()(scope, receive, send)
            case _:
                await _reply(send, 200, completion.whole())

    async def _stream(self, send: Send, completion: Completion) -> None:
        """Stream an answer; returning with more announced makes the server close the connection."""
        entry, said, held = completion.entry, 0, completion.entry.hold is not None
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for event, size in completion.events():
            await asyncio.sleep(entry.pace)
            if held and said >= (entry.hold or 0):
                held = False
                await self._held.wait()
            await send({"type": "http.response.body", "body": event, "more_body": True})
            said += size
        if entry.fault != "cut":
            await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def serving(lines: Lines = (), port: int = 0) -> AsyncGenerator[ScriptedModel]:
    """Serve a script in this process; `base_url` is what the openai client wants."""
    model = ScriptedModel(lines)
    async with web_server.listening(model, port) as address:
        model.base_url = f"{address}/v1"
        yield model


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _reply(send: Send, status: int, content: Any, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _until_hung_up(receive: Receive) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while (await receive())["type"] != "http.disconnect":
                pass


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "scripted", "param": None, "code": None}}


def _retry_after(entry: Entry) -> list[tuple[bytes, bytes]]:
    return [] if entry.retry_after is None else [(b"retry-after", f"{entry.retry_after:g}".encode())]


def main() -> None:
    """Serve a script from a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--script", type=Path, help="a JSON list of entries; PUT /script sets one later")
    given = parser.parse_args()
    web_server.serve(ScriptedModel(script.read(given.script) if given.script else ()), given.port)


if __name__ == "__main__":
    main()
