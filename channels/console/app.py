"""The console as an application: which page is where, and who is let in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from channels.acts import NEEDS
from channels.console import api, calendar, inbox, login, memory, numbers, reviewing, run, runs, stream
from channels.console.doors import Handler, door, said
from channels.console.house import House
from channels.console.operation import ROOT
from channels.console.shield import Shield
from ledger.directory import Role

STATIC = Path(__file__).parent / "static"
LOCAL = ("127.0.0.1", "localhost", "[::1]")
RULES: tuple[tuple[str, str, Role, Handler], ...] = (
    ("GET", "/inbox", "viewer", inbox.inbox),
    ("POST", "/inbox/bulk", NEEDS["rule"], inbox.bulk),
    ("GET", "/requests/{request}", "viewer", inbox.request),
    ("GET", "/requests/{request}/arguments/{name:path}", "viewer", inbox.argument),
    ("POST", "/requests/{request}/approve", NEEDS["rule"], inbox.approve),
    ("POST", "/requests/{request}/reject", NEEDS["rule"], inbox.reject),
    ("POST", "/requests/{request}/happened", NEEDS["rule"], inbox.happened),
    ("POST", "/requests/{request}/edit", NEEDS["rule"], inbox.edit),
    ("POST", "/requests/{request}/review", NEEDS["review"], reviewing.review),
    ("GET", "/runs", "viewer", runs.page),
    ("GET", "/runs/{run}", "viewer", run.page),
    *(("POST", f"/runs/{{run}}/{verb}", NEEDS[verb], run.operate(verb)) for verb in run.VERBS),
    ("GET", "/calendar", "viewer", calendar.page),
    ("POST", "/calendar/{automation}/{entry}", NEEDS["move"], calendar.move),
    ("GET", "/memory", "viewer", memory.page),
    ("GET", "/numbers", "viewer", numbers.page),
    ("GET", "/events", "viewer", stream.follow),
    ("GET", "/alerts", "viewer", numbers.alerts),
    ("POST", "/memory/forget", NEEDS["forget"], memory.forget),
    ("POST", "/logout", "viewer", login.out),
)
"""Method, path, the least role, and what answers."""


def application(house: House) -> Starlette:
    """Return the console of a house."""
    guarded: list[BaseRoute] = [_route(method, path, door(role, handler)) for method, path, role, handler in (*RULES, *api.rules())]
    opened: list[BaseRoute] = [
        _route("GET", "/", _home),
        _route("GET", "/login", login.page),
        _route("GET", "/login/link", login.by_link),
        _route("GET", "/login/oidc", login.start),
        _route("GET", "/login/callback", login.callback),
        _route("GET", "/healthz", _healthy),
        _route("GET", f"{ROOT}/openapi.json", api.openapi),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    made = Starlette(routes=[*guarded, *opened], exception_handlers={HTTPException: _nowhere, Exception: _broken})
    made.state.house = house
    secure = house.address.startswith("https://")
    given = urlsplit(house.settings.console_url or "").hostname
    hosts = {house.settings.console_host, *LOCAL} if given is None else {given, *LOCAL}
    made.add_middleware(Shield, hosts=hosts, secure=secure)
    return made


def _route(method: str, path: str, endpoint: Callable[[Request], Any]) -> Route:
    return Route(path, endpoint, methods=[method])


async def _home(request: Request) -> Response:
    return RedirectResponse("/inbox", 303)


async def _healthy(request: Request) -> Response:
    house: House = request.app.state.house
    try:
        await house.database.check()
    except Exception as error:
        return PlainTextResponse(f"{type(error).__name__}\n", 503)
    return PlainTextResponse("ok\n")


async def _broken(request: Request, error: Exception) -> Response:
    """Answer what nobody foresaw; the server logs it."""
    why = "something went wrong here, and it is in the console's log"
    return api.wrong(why, 500) if api.asks(request) else said(request.app.state.house, request, why, 500)


async def _nowhere(request: Request, error: Exception) -> Response:
    """Answer what no page is at."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    headers = error.headers if isinstance(error, HTTPException) else None
    why = {404: "there is nothing here", 405: "this is not how to ask for it"}.get(status, "that cannot be answered")
    answer = api.wrong(why, status) if api.asks(request) else said(request.app.state.house, request, why, status)
    answer.headers.update(headers or {})
    return answer
