"""Socket mode: an app that has no address of its own takes deliveries over a socket that it opened."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from devstack.fake_slack.faults import Faults
from devstack.fake_slack.workspace import APP, Workspace

ANSWER_SECONDS = 10.0
"""How long an envelope waits for its answer, over one socket or, where that is dropped, the next."""


@dataclass(frozen=True)
class Reply:
    """How the app answered one delivery. status: 0 where it did not, in time or at all. seconds: how long that took."""

    status: int
    body: dict[str, Any]
    seconds: float

    @property
    def errors(self) -> dict[str, str]:
        """What a form shows at its fields."""
        return self.body.get("errors", {}) if self.body.get("response_action") == "errors" else {}

    @property
    def text(self) -> str:
        """What a command is answered with."""
        return self.body.get("text", "")


class Sockets:
    """The sockets that are open, and the envelopes that wait for an answer."""

    def __init__(self, workspace: Workspace, faults: Faults) -> None:
        self._workspace = workspace
        self._faults = faults
        self._sockets: list[WebSocket] = []
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._opened = asyncio.Event()
        self.connections = 0

    @property
    def open(self) -> bool:
        """Whether the app is in socket mode: it has connected, though its socket may be dropped at the moment."""
        return self.connections > 0

    @property
    def standing(self) -> bool:
        """Whether a socket is open now."""
        return bool(self._sockets)

    async def connected(self) -> None:
        """Wait until a socket is open."""
        while not self._sockets:
            self._opened.clear()
            await self._opened.wait()

    async def serve(self, socket: WebSocket) -> None:
        """Take one socket until it closes."""
        await socket.accept()
        await socket.send_json({"type": "hello", "num_connections": 1, "connection_info": {"app_id": APP}})
        self._sockets.append(socket)
        self.connections += 1
        self._opened.set()
        try:
            while True:
                answer = await socket.receive_json()
                waiting = self._waiting.pop(answer.get("envelope_id", ""), None)
                if waiting and not waiting.done():
                    waiting.set_result(answer.get("payload") or {})
        except (WebSocketDisconnect, RuntimeError, ValueError):
            pass
        finally:
            if socket in self._sockets:
                self._sockets.remove(socket)

    async def send(self, kind: str, payload: dict[str, Any], retry: int = 0) -> Reply:
        """Send one envelope, again over the next socket where the first is dropped, and return its answer."""
        begun, id = time.monotonic(), self._workspace.next_id("envelope-")
        answer = self._waiting[id] = asyncio.get_running_loop().create_future()
        envelope = {"type": kind, "envelope_id": id, "payload": payload, "accepts_response_payload": kind != "events_api"}
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while not answer.done():
                    await self.connected()
                    await self._over(self._sockets[-1], envelope | {"retry_attempt": retry, "retry_reason": "timeout" if retry else ""})
                    retry += 1
                    await asyncio.wait([answer], timeout=3.0)
                return Reply(200, answer.result(), time.monotonic() - begun)
        except TimeoutError:
            self._waiting.pop(id, None)
            return Reply(0, {}, time.monotonic() - begun)

    async def _over(self, socket: WebSocket, envelope: dict[str, Any]) -> None:
        drop = self._faults.take("dropped_sockets")
        if drop:
            self._sockets.remove(socket)
        try:
            await socket.send_json(envelope)
            if drop:
                await socket.close(1012)
        except RuntimeError:
            return
