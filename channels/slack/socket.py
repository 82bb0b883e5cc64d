"""Socket mode: deliveries over a socket that we opened, for where Slack cannot reach us. The app's own token is what is trusted."""

import time
from typing import Any

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.adapter.socket_mode.async_internals import run_async_bolt_app, send_async_response
from slack_bolt.async_app import AsyncApp
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient

from channels.slack import door
from channels.slack.door import Once


class Socket(AsyncSocketModeHandler):
    """Takes envelopes, each once: after a dropped socket Slack sends again what it saw no answer to."""

    def __init__(self, app: AsyncApp, app_token: str, web: AsyncWebClient, once: Once, *, ping_seconds: float = 10) -> None:
        super().__init__(app, app_token, web_client=web, ping_interval=ping_seconds)
        self._once = once

    async def handle(self, client: SocketModeClient, req: SocketModeRequest) -> None:
        """Answer one envelope."""
        begun = time.time()
        payload: dict[str, Any] = req.payload
        id = door.of_payload(payload) or f"envelope {req.envelope_id}"
        fresh = id in await self._once.taken([id])
        answer = await self._once.answer(id, fresh=fresh, work=lambda: run_async_bolt_app(self.app, req))
        await send_async_response(client, req, answer, begun)
