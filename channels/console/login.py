"""Logging in: by a link that works once on this machine, or by whoever says who people are (OpenID Connect). And out."""

from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from channels.console.cookies import Carried
from channels.console.doors import Refusal, address, audit, said
from channels.console.house import House
from channels.console.oidc import Issuer
from channels.console.visit import Visit
from contracts.errors import BadInput, TransientError
from database import TENANT
from ledger import directory, logins, records
from ledger.directory import Person

LOOPBACK = frozenset({"127.0.0.1", "::1"})


async def page(request: Request) -> Response:
    """Say how to log in."""
    house: House = request.app.state.house
    ways = {"oidc": bool(house.settings.oidc_issuer), "link": house.settings.one_machine}
    text = house.templates.render("login.html", visit=None, ways=ways, next=inside(request.query_params.get("next")))
    return HTMLResponse(text)


async def by_link(request: Request) -> Response:
    """Log in whoever followed a link that `starter.py console` printed on this machine."""
    house: House = request.app.state.house
    try:
        await _not_too_often(house, request)
        if not house.settings.one_machine or address(request) not in LOOPBACK:
            raise Refusal(403, "links log in on the one-machine stack only, from this machine")
        tenant = request.query_params.get("tenant", house.settings.tenant)
        if not TENANT.fullmatch(tenant):
            raise Refusal(403, "there is no such tenant")
        async with house.database.transaction(tenant) as tx:
            named = await logins.take(tx, request.query_params.get("key", ""))
            person = await directory.person(tx, named) if named else None
        if person is None or person.disabled:
            # On the installation's record: a tenant that anybody may name is nobody's.
            raise Refusal(403, "this link was used already, or is too old: `starter.py console` prints another")
        return await _begun(house, tenant, person, "link", inside(request.query_params.get("next")))
    except Refusal as refusal:
        return await _refused(house, request, refusal)


async def start(request: Request) -> Response:
    """Send the browser to the issuer."""
    house: House = request.app.state.house
    try:
        await _not_too_often(house, request)
        tenant = request.query_params.get("tenant", house.settings.tenant)
        if not TENANT.fullmatch(tenant):
            raise Refusal(403, "there is no such tenant")
        where, step = await issuer(house).begin(f"{house.address}/login/callback")
    except Refusal as refusal:
        return await _refused(house, request, refusal)
    except (TransientError, BadInput) as error:
        return said(house, request, str(error), 503)
    response = RedirectResponse(where, 303)
    house.cookies.begin(response, {**step, "tenant": tenant, "next": inside(request.query_params.get("next"))})
    return response


async def callback(request: Request) -> Response:
    """Log in whom the issuer vouches for, if the directory knows them."""
    house: House = request.app.state.house
    try:
        await _not_too_often(house, request)
        step = house.cookies.begun(request.cookies.get(house.cookies.step, ""))
        if step is None:
            raise Refusal(403, "this log-in was not begun in this browser, or took too long: begin again")
        subject = await issuer(house).vouched(str(request.url), f"{house.address}/login/callback", step)
        async with house.database.transaction(step["tenant"]) as tx:
            person = await directory.by_subject(tx, house.settings.oidc_issuer or "", subject)
        if person is None or person.disabled:
            raise Refusal(
                403, f"the directory of this tenant has nobody with the subject {subject[:80]!r}: ask an admin", tenant=step["tenant"]
            )
        return await _begun(house, step["tenant"], person, "oidc", step["next"])
    except Refusal as refusal:
        return await _refused(house, request, refusal)
    except BadInput as error:
        return await _refused(house, request, Refusal(403, str(error)))
    except TransientError as error:
        return said(house, request, str(error), 503)


async def out(visit: Visit) -> Response:
    """End the session, also for whoever may hold a copy of its cookie."""
    carried = visit.house.cookies.read(visit.request.cookies.get(visit.house.cookies.session, ""))
    if carried:
        async with visit.house.database.transaction(visit.tenant) as tx:
            await logins.end(tx, carried.session)
    response = RedirectResponse("/login", 303)
    visit.house.cookies.take(response)
    return response


def inside(path: str | None) -> str:
    """Return where to go after the log-in: a path of this console, whatever was asked."""
    path = path or "/"
    # What begins with one slash has no host; browsers read a backslash as a slash.
    plain = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if plain else "/"


def issuer(house: House) -> Issuer:
    """Return who says who people are. Raises: BadInput where nobody was named."""
    settings = house.settings
    secret = settings.secret(settings.oidc_secret)
    if not (settings.oidc_issuer and settings.oidc_client and secret):
        raise BadInput(f"nobody says who people are: set PERDURE_OIDC_ISSUER, PERDURE_OIDC_CLIENT and the secret {settings.oidc_secret}")
    return Issuer(settings.oidc_issuer, settings.oidc_client, secret)


async def _begun(house: House, tenant: str, person: Person, way: str, whither: str) -> Response:
    async with house.database.transaction(tenant) as tx:
        session = await logins.begin(tx, person.id, way)
        body: dict[str, Any] = {"event": "logged in", "signal": f"by {way}", "by": person.id, "why": "", "channel": "web"}
        await records.append(tx, f"console/session/{logins.named(session)}", "access", None, None, body)
    response = RedirectResponse(whither, 303)
    house.cookies.give(response, Carried(tenant, session))
    house.cookies.done(response)
    return response


async def _not_too_often(house: House, request: Request) -> None:
    limit, where = house.login_limit, address(request)
    # A flood ends here; what gets through counts for all consoles together.
    wait = limit.wait(where)
    if not wait:
        async with house.database.transaction(house.settings.tenant) as tx:
            wait = await logins.wait(tx, where, tries=limit.tries, per_minute=limit.per_minute)
    if wait:
        raise Refusal(429, f"too many tries: the next one is heard in {wait} s")


async def _refused(house: House, request: Request, refusal: Refusal) -> Response:
    await audit(house, request, refusal)
    answer = said(house, request, refusal.why, refusal.status)
    if refusal.status == 429:
        answer.headers["retry-after"] = "60"
    return answer
