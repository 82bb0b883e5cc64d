"""Commands for people who rule: what waits, approve, reject."""

import getpass
import uuid
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Group
from temporalio.service import RPCError

from activities.sweeper import sender
from channels.cli import cards, link, screen
from contracts.approvals import RuleResult, Ruling, Verdict
from contracts.errors import BadInput, PerdureError
from database import Database
from ledger import approvals, outbox, records
from ledger.approvals import Request
from settings import Settings

CHANNEL = "cli"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (("approvals", list_open), ("approve", approve), ("reject", reject)):
        app.command(name)(command)


def list_open(
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Show the whole card of this one.")] = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """List what waits for a person, oldest first, or show one card in full."""
    settings = link.settings()
    tenant = tenant or settings.tenant
    if id is not None:
        _card(link.run(_read(settings, tenant, id)), tenant, as_json=as_json)
        return
    found = link.run(_open(settings, tenant))
    if as_json:
        screen.print_json(found)
    else:
        screen.show(Group(*(cards.brief(each, tenant) for each in found)) if found else "nothing waits for a person")


def _card(request: Request, tenant: str, *, as_json: bool) -> None:
    if as_json:
        screen.print_json(request)
        return
    screen.show(cards.card(request))
    if not request.ended:
        screen.show("\n".join(cards.commands(request, tenant)))


async def _read(settings: Settings, tenant: str, id: str) -> Request:
    async with link.database(settings) as database, database.transaction(tenant) as tx:
        found = await approvals.read(tx, id)
    if found is None:
        raise BadInput(f"tenant {tenant} has no request {id!r}: `starter.py approvals` lists what waits")
    return found


async def _open(settings: Settings, tenant: str) -> list[Request]:
    async with link.database(settings) as database, database.transaction(tenant) as tx:
        return await approvals.open_requests(tx)


Id = Annotated[str, typer.Argument(metavar="ID", help="The request, as `approvals` shows it.")]
By = Annotated[str | None, typer.Option("--by", help="Who rules; the default is the login name.")]


def approve(
    id: Id,
    reason: Annotated[str, typer.Option("--reason")] = "",
    arguments: Annotated[str | None, typer.Option("--arguments", help="JSON: run these instead; the whole arguments.")] = None,
    by: By = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Approve one request, as it is or with other arguments; exits with 1 if it is refused."""
    _say(id, "approve" if arguments is None else "edit", reason, by, tenant, arguments, as_json=as_json)


def reject(
    id: Id,
    reason: Annotated[str, typer.Option("--reason", help="Why; required.")],
    by: By = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Reject one request; exits with 1 if it is refused."""
    _say(id, "reject", reason, by, tenant, None, as_json=as_json)


def _say(id: str, verdict: Verdict, reason: str, by: str | None, tenant: str | None, arguments: str | None, *, as_json: bool) -> None:
    settings = link.settings()
    result = link.run(_rule(settings, tenant or settings.tenant, id, verdict, reason, by or getpass.getuser(), arguments))
    if as_json:
        screen.print_json(result.model_dump())
    elif result.accepted:
        screen.show(screen.styled(result.message, "green"))
    if not result.accepted:
        link.fail(result.message, link.REFUSED)


async def _rule(settings: Settings, tenant: str, id: str, verdict: Verdict, reason: str, by: str, arguments: str | None) -> RuleResult:
    edited = None if arguments is None else link.json_object(arguments, "--arguments")
    return await rule(settings, tenant, Ruling(request=id, verdict=verdict, by=by, reason=reason, arguments=edited))


async def rule(settings: Settings, tenant: str, ruling: Ruling) -> RuleResult:
    """Rule on the approval's row, record a refusal, and wake the run at once."""
    async with link.database(settings) as database:
        async with database.transaction(tenant) as tx:
            found = await approvals.read(tx, ruling.request)
            trusted = settings.one_machine and found is not None and found.unsigned
            result = await approvals.rule(tx, ruling, channel=CHANNEL, trusted=trusted)
            if not result.accepted:
                said = ruling.model_dump(mode="json", exclude={"token", "arguments"})
                body = {"event": "refused", "signal": "ruling", "why": result.message, "channel": CHANNEL, **said}
                await records.append(tx, f"{ruling.request}/refused/{uuid.uuid4()}", "access", found.lineage if found else None, None, body)
        if result.accepted:
            await wake(settings, database, tenant)
    return result


async def wake(settings: Settings, database: Database, tenant: str) -> None:
    """Deliver what waits in the outbox: workers do so too, and now saves the person a second of waiting."""
    # What was ruled is ruled: should Temporal be down, a worker delivers when it is back.
    with suppress(PerdureError, RPCError):
        await outbox.deliver(database, tenant, sender(await link.temporal(settings)))
