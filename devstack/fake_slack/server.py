"""The fake Slack as a server: the Web API, the sockets, and what a test or the demo sets and presses from outside."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from devstack import web_server
from devstack.fake_slack.faults import Faults
from devstack.fake_slack.page import OwnPagesOnly, Page
from devstack.fake_slack.people import People
from devstack.fake_slack.sockets import Sockets
from devstack.fake_slack.workspace import Workspace

NESTED = {"blocks", "files", "metadata", "view"}
BOT_TOKEN, APP_TOKEN, SIGNING_SECRET = "xoxb-fake", "xapp-fake", "fake-signing-secret"


class FakeSlack:
    """One workspace, served. api_url: what the app calls, in place of `https://slack.com/api/`."""

    def __init__(self, signing_secret: str = SIGNING_SECRET, viewer: str = "") -> None:
        """viewer: who presses on its page."""
        self.faults = Faults.model_validate({})
        self.workspace = Workspace(self.faults)
        self.sockets = Sockets(self.workspace, self.faults)
        self.people = People(self.workspace, self.sockets, signing_secret)
        self.page = Page(self.workspace, self.people, viewer)
        self.base_url = ""

    @property
    def api_url(self) -> str:
        """Where the Web API is."""
        return f"{self.base_url}/api/"

    @property
    def app(self) -> Starlette:
        """The routes."""
        return Starlette(
            routes=[
                Route("/api/{method}", self.call, methods=["GET", "POST"]),
                Route("/upload/{file}", self.upload, methods=["POST", "PUT"]),
                WebSocketRoute("/link", self.link),
                Route("/faults", self.set_faults, methods=["PUT"]),
                Route("/messages", self.list_messages, methods=["GET"]),
                Route("/press", self.press, methods=["POST"]),
                Route("/connected", self.connected, methods=["GET"]),
                Route("/", self.page.show, methods=["GET"]),
                Route("/page/press", self.page.press, methods=["POST"]),
                Route("/page/submit", self.page.submit, methods=["POST"]),
            ],
            middleware=[Middleware(OwnPagesOnly)],
        )

    async def call(self, request: Request) -> Any:
        """Answer one call of the Web API, with the faults there are."""
        method, given = request.path_params["method"], await _given(request)
        if self.faults.slow:
            await asyncio.sleep(self.faults.slow)
        if self.faults.take("rate_limited"):
            return JSONResponse({"ok": False, "error": "ratelimited"}, 429, {"retry-after": str(self.faults.retry_after)})
        if self.faults.take("server_errors"):
            return Response("<html>Service Unavailable</html>", 503, media_type="text/html")
        if error := self._token_problem(request, method, given):
            return JSONResponse({"ok": False, "error": error})
        answer = self._here(method, given) or self.workspace.call(method, given)
        if method == "chat.postMessage" and answer["ok"] and self.faults.take("lost_replies"):
            return web_server.CutReply(b'{"ok": ')
        return JSONResponse(answer)

    async def upload(self, request: Request) -> Response:
        """Take a file in."""
        self.workspace.files[request.path_params["file"]] = await request.body()
        return Response("OK")

    async def link(self, socket: WebSocket) -> None:
        """Take a socket in."""
        await self.sockets.serve(socket)

    async def set_faults(self, request: Request) -> Response:
        """Set what goes wrong from now on; an empty object ends all faults."""
        try:
            given = Faults.model_validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"error": str(error)}, 422)
        for name, value in given:
            setattr(self.faults, name, value)
        return JSONResponse({})

    async def list_messages(self, request: Request) -> Response:
        """Return every message that stands."""
        return JSONResponse([vars(each) | {"buttons": each.buttons} for each in self.workspace.messages])

    async def connected(self, request: Request) -> Response:
        """Tell whether the app has a socket open."""
        return JSONResponse({}, 200 if self.sockets.standing else 503)

    async def press(self, request: Request) -> Response:
        """Press a button: `{"user": …, "ts": …, "action": …}`."""
        given = await request.json()
        found = next((each for each in self.workspace.messages if each.ts == given.get("ts")), None)
        if found is None or given.get("action") not in found.buttons:
            return JSONResponse({"error": "there is no such button"}, 404)
        reply = await self.people.press(given.get("user", ""), found, given["action"])
        return JSONResponse({"status": reply.status, "body": reply.body, "seconds": reply.seconds})

    def _token_problem(self, request: Request, method: str, given: dict[str, Any]) -> str | None:
        said = request.headers.get("authorization", "").removeprefix("Bearer ") or given.get("token", "")
        wanted = APP_TOKEN if method == "apps.connections.open" else BOT_TOKEN
        return None if said == wanted else "invalid_auth" if said else "not_authed"

    def _here(self, method: str, given: dict[str, Any]) -> dict[str, Any] | None:
        """Answer what names this server's own address."""
        if method == "apps.connections.open":
            return {"ok": True, "url": f"{self.base_url.replace('http', 'ws', 1)}/link"}
        if method == "files.getUploadURLExternal":
            id = self.workspace.next_id("F")
            return {"ok": True, "file_id": id, "upload_url": f"{self.base_url}/upload/{id}"}
        return None


async def _given(request: Request) -> dict[str, Any]:
    """Return a call's arguments, in whichever of its three ways they came."""
    given: dict[str, Any] = dict(request.query_params)
    if request.headers.get("content-type", "").startswith("application/json"):
        given |= await request.json() or {}
    else:
        given |= {name: str(value) for name, value in (await request.form()).items()}
    # Some calls carry JSON within a text, whatever carries the text.
    return {name: json.loads(value) if isinstance(value, str) and name in NESTED else value for name, value in given.items()}


@asynccontextmanager
async def serving(port: int = 0) -> AsyncGenerator[FakeSlack]:
    """Serve a fake Slack in this process."""
    fake = FakeSlack()
    async with web_server.listening(fake.app, port) as fake.base_url:
        yield fake
