"""Who is let in where: each route is a door with a role, and whoever is turned away is put on record."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from secrets import compare_digest
from urllib.parse import quote, urlsplit

import asyncpg
import structlog
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from temporalio.service import RPCError

from channels.acts import obstacle
from channels.console.house import House
from channels.console.visit import NotFound, Visit
from channels.operating import AlreadyRunning
from channels.slots import Late
from contracts.errors import BadInput, PerdureError
from contracts.message import complaint
from ledger import directory, logins
from ledger.directory import Bearer, Role

LOG = structlog.get_logger(__name__)
Handler = Callable[[Visit], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]
SAFE = frozenset({"GET", "HEAD"})
API = "/api/"
TOO_MANY = "too many tokens that are none: try again in a minute"
SHOWN = 300  # characters of a path or a name on record


class Refusal(Exception):
    """The request is not let in. status: 401 for nobody in particular, 403 for a person who may not."""

    def __init__(self, status: int, why: str, *, by: str = "", tenant: str = "", audited: bool = True) -> None:
        super().__init__(why)
        self.status, self.why, self.by, self.tenant, self.audited = status, why, by, tenant, audited


def door(role: Role, handler: Handler) -> Endpoint:
    """Return an endpoint that lets in who has at least this role; whatever goes wrong behind it is answered in one sentence."""

    async def endpoint(request: Request) -> Response:
        house: House = request.app.state.house
        visit: Visit | None = None
        try:
            visit = await _visit(house, request, role)
            _admit(visit, role)
            await _meant(visit)
            if _is_page(visit):
                visit.alerts = await house.banner.of(house.database, visit.tenant, visit.person)
            return await handler(visit)
        except Refusal as refusal:
            await audit(house, request, refusal)
            return _turned_away(house, request, refusal)
        except Exception as error:
            return _failed(house, request, visit, error)

    endpoint.role = role  # pyright: ignore[reportFunctionMemberAccess]
    return endpoint


async def _visit(house: House, request: Request, role: Role) -> Visit:
    """Find out who asks: by a token where one is given, else by the session. Raises: Refusal."""
    if said := request.headers.get("authorization"):
        return await _by_token(house, request, said, role)
    cookie = request.cookies.get(house.cookies.session)
    if cookie is None:
        raise Refusal(401, "nobody is logged in", audited=False)
    carried = house.cookies.read(cookie)
    if carried is None:
        raise Refusal(401, "the session's cookie is forged")
    async with house.database.transaction(carried.tenant) as tx:
        named = await logins.person_of(tx, carried.session)
        person = await directory.person(tx, named) if named else None
    if person is None or person.disabled:
        raise Refusal(401, "the session is over", by=named or "", tenant=carried.tenant, audited=person is not None)
    return Visit(request, house, carried.tenant, person, "session", house.cookies.csrf(carried.session))


async def known(visit: Visit) -> bool:
    """Tell whether who is watching would still be let in."""
    try:
        await _visit(visit.house, visit.request, "viewer")
    except Refusal:
        return False
    return True


async def _by_token(house: House, request: Request, said: str, role: Role) -> Visit:
    where = address(request)
    if house.token_limit.spent(where):
        raise Refusal(429, TOO_MANY)
    scheme, _, plain = said.partition(" ")
    tenant = directory.tenant_of(plain.strip()) if scheme.lower() == "bearer" else None
    bearer: Bearer | None = None
    if tenant is not None:
        async with house.database.transaction(tenant) as tx:
            bearer = await directory.by_token(tx, plain.strip())
    if bearer is None or tenant is None:
        # Only a wrong one counts, so that a busy machine is not slowed down.
        await _guessed(house, where)
        raise Refusal(401, "the token is unknown, has expired or was revoked")
    visit = Visit(request, house, tenant, bearer.person, "token")
    if why := obstacle(bearer.person, role, bearer.scopes):
        raise Refusal(403, why, by=bearer.person.id, tenant=tenant)
    return visit


async def _guessed(house: House, where: str) -> None:
    """Count a token that is none, for all consoles together. Raises: Refusal where this address has sent too many."""
    limit = house.token_limit
    limit.wait(where)
    async with house.database.transaction(house.settings.tenant) as tx:
        wait = await logins.wait(tx, f"token {where}", tries=limit.tries, per_minute=limit.per_minute)
    if wait:
        limit.spend(where, wait)
        raise Refusal(429, TOO_MANY)


def _admit(visit: Visit, role: Role) -> None:
    if why := obstacle(visit.person, role):
        raise Refusal(403, why, by=visit.person.id, tenant=visit.tenant)


async def _meant(visit: Visit) -> None:
    """See that a page of ours sent a change, and not one elsewhere through the person's browser. Raises: Refusal."""
    request = visit.request
    # A token is sent by nobody who was not told to.
    if request.method in SAFE or visit.way == "token":
        return
    origin = request.headers.get("origin")
    said = request.headers.get("x-csrf-token") or ("" if wants_data(request) else (await visit.form()).get("csrf", ""))
    if origin not in (None, *visit.house.origins) or not compare_digest(said.encode(), visit.csrf.encode()):
        why = "the request did not come from a page of this console: load the page again"
        raise Refusal(403, why, by=visit.person.id, tenant=visit.tenant)


def _is_page(visit: Visit) -> bool:
    """Whether a browser opens a page, and neither a part of one, nor a stream, nor data."""
    return not (visit.partial or wants_data(visit.request)) and "text/html" in visit.request.headers.get("accept", "")


async def audit(house: House, request: Request, refusal: Refusal) -> None:
    """Put a refused attempt on record; of a flood from one address the first of each minute, and how many more there were."""
    if not refusal.audited:
        return
    where, what = address(request), f"{request.method} {request.url.path}"[:SHOWN]
    body = {"event": "refused", "signal": what, "why": refusal.why, "channel": "web", "by": refusal.by[:SHOWN], "address": where}
    try:
        await house.refusals.put(refusal.tenant or house.settings.tenant, where, body)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, PerdureError) as error:
        LOG.warning("a refused attempt could not be put on record", error=f"{type(error).__name__}: {error}", **body)


def address(request: Request) -> str:
    """Return where a request comes from."""
    return request.client.host if request.client else "unknown"


def wants_data(request: Request) -> bool:
    """Whether the answer is for a program."""
    return request.url.path.startswith(API)


def _turned_away(house: House, request: Request, refusal: Refusal) -> Response:
    if wants_data(request):
        headers = {"www-authenticate": "Bearer"} if refusal.status == 401 else None
        return JSONResponse({"error": refusal.why}, refusal.status, headers)
    if refusal.status == 401:
        return _to_login(request)
    return said(house, request, refusal.why, refusal.status)


def _to_login(request: Request) -> Response:
    if request.headers.get("hx-request") == "true":
        back = "/"
        with suppress(ValueError):  # A header may say anything.
            back = urlsplit(request.headers.get("hx-current-url", "")).path or "/"
        return Response(status_code=401, headers={"hx-redirect": f"/login?next={quote(back)}"})
    whence = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(whence)}" if request.method in SAFE else "/login", 303)


def _failed(house: House, request: Request, visit: Visit | None, error: Exception) -> Response:
    """Answer what went wrong: one sentence, the reason by name where it is ours, and no trace."""
    status, why = _cause(error)
    if status == 500:
        LOG.error("a request failed", path=request.url.path, exc_info=error)
    if wants_data(request):
        return JSONResponse({"error": why}, status)
    return said(house, request, why, status, visit)


def _cause(error: Exception) -> tuple[int, str]:
    match error:
        case NotFound():
            return 404, str(error)
        case ValidationError():
            return 400, complaint(error)
        case BadInput():
            return 400, str(error)
        case HTTPException():
            return error.status_code, f"the form cannot be read: {error.detail[:SHOWN]}"
        case RPCError():
            return 503, f"Temporal says: {error.message[:SHOWN]}"
        case PerdureError() | Late() | AlreadyRunning():
            return 409, str(error)
        case OSError() | asyncpg.PostgresConnectionError() | asyncpg.InterfaceError() | TimeoutError():
            return 503, "Postgres cannot be reached: try again in a moment"
        case _:
            return 500, "something went wrong here, and it is in the console's log"


def said(house: House, request: Request, why: str, status: int, visit: Visit | None = None) -> Response:
    """Say one sentence: as a page, or where a page asked for a part of itself as its notice."""
    partial = request.headers.get("hx-request") == "true"
    text = house.templates.render("notice.html" if partial else "said.html", visit=visit, why=why, good=False, status=status)
    return HTMLResponse(text, status)
