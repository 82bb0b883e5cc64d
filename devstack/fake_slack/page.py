"""The fake Slack as a page: the messages that one person sees, their buttons, and the form that a press opened."""

from functools import partial
from html import escape
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as StarletteMessage
from starlette.websockets import WebSocketClose

from devstack.fake_slack.blocks import buttons, field, plain
from devstack.fake_slack.people import People
from devstack.fake_slack.workspace import Message, View, Workspace

HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="5"><title>Fake Slack</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}article,form.view{border:1px solid #8888;
border-radius:8px;padding:.5rem 1rem;margin:1rem 0}pre{white-space:pre-wrap;overflow-wrap:anywhere;font:inherit;margin:0}form.press{
display:inline-block;margin:.5rem .5rem 0 0}label{display:block}textarea,select{width:100%;box-sizing:border-box}.no{color:#b00}</style>
<h1>Fake Slack</h1><p>What stands in the workspace of this machine. A press is delivered to Perdure as Slack delivers it.</p>"""


class Page:
    """What one person sees and presses."""

    def __init__(self, workspace: Workspace, people: People, user: str) -> None:
        self._workspace, self._people, self._user = workspace, people, user
        self._said = ""

    async def show(self, request: Request) -> Response:
        """Render the form that is open, and every message, the newest first."""
        said, self._said = self._said, ""
        views = [view for view in self._workspace.views.values() if view.user == self._user]
        seen = [one for one in reversed(self._workspace.messages) if one.only in (None, self._user)]
        # A form that somebody fills in is not loaded anew.
        head = HEAD.replace('<meta http-equiv="refresh" content="5">', "") if views else HEAD
        note = f"<p class=no>{escape(said)}</p>" if said else ""
        body = "".join(map(_form, views)) + "".join(map(_article, seen)) or "<p>Nothing was posted yet.</p>"
        return HTMLResponse(head + note + body)

    async def press(self, request: Request) -> Response:
        """Press a button of a message, or of a form."""
        given = await request.form()
        where = self._found(str(given.get("where")))
        action = str(given.get("action"))
        if where is None or action not in [button["action_id"] for button in buttons(_blocks(where))]:
            return PlainTextResponse("there is no such button", 404)
        reply = await self._people.press(self._user, where, action)
        self._said = "" if reply.status == 200 else f"the app did not answer: {reply.status}"
        return RedirectResponse("/", 303)

    async def submit(self, request: Request) -> Response:
        """Send a form, or close it."""
        given = await request.form()
        view = self._workspace.views.get(str(given.get("where")))
        if view is None:
            return PlainTextResponse("there is no such form", 404)
        if "send" in given:
            values = {name: str(value).replace("\r\n", "\n") for name, value in given.items()}
            reply = await self._people.submit(self._user, view, values)
            if reply.errors or reply.status != 200:
                self._said = "; ".join(reply.errors.values()) or f"the app did not answer: {reply.status}"
                return RedirectResponse("/", 303)
        del self._workspace.views[view.id]
        return RedirectResponse("/", 303)

    def _found(self, id: str) -> Message | View | None:
        messages = (one for one in self._workspace.messages if one.ts == id and one.only in (None, self._user))
        return self._workspace.views.get(id) or next(messages, None)


def _blocks(where: Message | View) -> list[dict[str, Any]]:
    return where.blocks if isinstance(where, Message) else where.body["blocks"]


def _article(message: Message) -> str:
    where = f"{message.channel}{', in a thread' if message.thread else ''}{', only you see this' if message.only else ''}"
    text = escape(plain(message.blocks) or message.text)
    return f"<article><small>{escape(where)}</small><pre>{text}</pre>{_row(message.ts, message.blocks)}</article>"


def _row(id: str, blocks: list[dict[str, Any]]) -> str:
    return "".join(
        f"<form class=press method=post action=/page/press><input type=hidden name=where value='{escape(id)}'>{_sure(button)}"
        f"<button name=action value='{escape(button['action_id'])}'>{escape(button['text']['text'])}</button></form>"
        for button in buttons(blocks)
    )


def _sure(button: dict[str, Any]) -> str:
    asked = button.get("confirm")
    return f"<label><input type=checkbox required> {escape(asked['text']['text'])}</label>" if asked else ""


def _form(view: View) -> str:
    blocks = view.body["blocks"]
    fields = "".join(field(block) for block in blocks if block["type"] == "input")
    send = f"<button name=send value=1>{escape(view.body['submit']['text'])}</button> " if view.body.get("submit") else ""
    return (
        f"<form class=view method=post action=/page/submit><h2>{escape(view.body['title']['text'])}</h2><pre>{escape(plain(blocks))}</pre>"
        f"<input type=hidden name=where value='{escape(view.id)}'>{fields}{send}<button name=close value=1>Close</button></form>"
        f"{_row(view.id, blocks)}"
    )


class OwnPagesOnly:
    """Turns away what a page elsewhere sends through the person's browser: a press there is a word of theirs.

    A socket is turned away too, over which a page elsewhere would be the app; and none may hold this page in a frame, to borrow a click.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get("host", ""), headers.get("origin")
        if host.rpartition(":")[0] in ("127.0.0.1", "localhost") and origin in (None, f"http://{host}"):
            await self.app(scope, receive, partial(_unframed, send))
        elif scope["type"] == "websocket":
            await WebSocketClose(1008)(scope, receive, send)
        else:
            await PlainTextResponse("this is for pages of this machine", 403)(scope, receive, send)


async def _unframed(send: Send, message: StarletteMessage) -> None:
    if message["type"] == "http.response.start":
        MutableHeaders(scope=message).append("content-security-policy", "frame-ancestors 'none'")
    await send(message)
