"""Commands for people who rule: what waits, approve, reject, break the glass."""

import json
import shlex
from contextlib import suppress
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Group
from temporalio.service import RPCError

from activities.sweeper import sender
from channels.cli import cards, link, screen, terminal
from channels.cli.terminal import CHANNEL, NOT_PROVED, By
from channels.desk import Desk
from contracts import names
from contracts.approvals import RuleResult, Ruling, Verdict
from contracts.errors import BadInput, PerdureError
from database import Database
from ledger import approvals, outbox, reviews, signatures
from ledger.approvals import Request
from ledger.directory import Person
from settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (("approvals", list_open), ("approve", approve), ("reject", reject), ("break-glass", break_glass)):
        app.command(name)(command)
    for name, command in (("reviews", list_reviews), ("review", review)):
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


def approve(
    id: Id,
    reason: Annotated[str, typer.Option("--reason")] = "",
    arguments: Annotated[str | None, typer.Option("--arguments", help="JSON: run these instead; the whole arguments.")] = None,
    print_signal: Annotated[bool, typer.Option("--print-signal", help="Print it for the Temporal CLI instead, signed.")] = False,
    by: By = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Approve one request, as it is or with other arguments; exits with 1 if it is refused."""
    ruling = _ruling(id, "approve" if arguments is None else "edit", reason, by, arguments)
    if print_signal:
        settings = link.settings()
        for command in link.run(_signal(settings, tenant or settings.tenant, ruling)):
            typer.echo(command)
        return
    _say(ruling, tenant, as_json=as_json)


def reject(
    id: Id,
    reason: Annotated[str, typer.Option("--reason", help="Why; required.")],
    happened: Annotated[
        bool, typer.Option("--happened", help="It did happen, so the step is done; of an undo: it is undone already.")
    ] = False,
    output: Annotated[
        str | None, typer.Option("--output", help="JSON, with --happened, not of an undo: what the tool would have answered.")
    ] = None,
    by: By = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Reject one request; exits with 1 if it is refused."""
    known = None if output is None else link.run(_object(output, "--output"))
    ruling = _ruling(id, "reject", reason, by, happened=happened, output=known)
    _say(ruling, tenant, as_json=as_json)


def break_glass(
    id: Id,
    reason: Annotated[str, typer.Option("--reason", help="Why, in 20 characters or more; required.")],
    by: By = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Let one request through against its stages: two people say so, it raises an alert, and a third reviews it within a day."""
    _say(_ruling(id, "approve", reason, by, break_glass=True), tenant, as_json=as_json)


def list_reviews(tenant: link.Tenant = None, as_json: link.Json = False) -> None:
    """List what was let through by break-glass and nobody has reviewed."""
    settings = link.settings()
    found = link.run(_reviews(settings, tenant or settings.tenant))
    if as_json:
        screen.print_json(found)
        return
    rows = [(one.request, one.tool, f"{one.due_at:%Y-%m-%d %H:%M} UTC", ", ".join(one.people)) for one in found]
    screen.show(screen.table(("request", "tool", "due", "broken by"), rows) if rows else "nothing waits for a review")


def review(
    id: Id, note: Annotated[str, typer.Option("--note", help="What was found; required.")], by: By = None, tenant: link.Tenant = None
) -> None:
    """Review what was let through by break-glass."""
    settings = link.settings()
    link.run(_reviewed(settings, tenant or settings.tenant, id, by, note))
    screen.show(screen.styled(f"{id} is reviewed", "green"))


async def _reviews(settings: Settings, tenant: str) -> list[reviews.Review]:
    async with link.database(settings) as database, database.transaction(tenant) as tx:
        return await reviews.waiting(tx)


async def _reviewed(settings: Settings, tenant: str, id: str, by: str | None, note: str) -> None:
    async with link.database(settings) as database:
        # Whoever broke the glass could else review it under another's name.
        who = await terminal.at_terminal(settings, database, tenant, "review", by)
        async with database.transaction(tenant) as tx:
            await reviews.close(tx, id, who, note)


def _ruling(id: str, verdict: Verdict, reason: str, by: str | None, arguments: str | None = None, **more: object) -> Ruling:
    """Return what was typed as a ruling. more: what else it says."""
    edited = None if arguments is None else link.run(_object(arguments))
    said: dict[str, object] = {
        "request": id,
        "verdict": verdict,
        "by": by or terminal.login(),
        "reason": reason,
        "arguments": edited,
        **more,
    }
    return link.run(_checked(said))


async def _object(text: str, option: str = "--arguments") -> dict[str, object]:
    return link.json_object(text, option)


async def _checked(said: dict[str, object]) -> Ruling:
    return Ruling.model_validate(said)


def _say(ruling: Ruling, tenant: str | None, *, as_json: bool) -> None:
    settings = link.settings()
    result = link.run(rule(settings, tenant or settings.tenant, ruling))
    if as_json:
        screen.print_json(result.model_dump())
    elif result.accepted:
        screen.show(screen.styled(result.message, "green"))
    if not result.accepted:
        link.fail(result.message, link.REFUSED)


async def rule(settings: Settings, tenant: str, ruling: Ruling) -> RuleResult:
    """Rule on the approval's row, record a refusal, and wake the run at once."""
    async with link.database(settings) as database:

        async def woken(tenant: str) -> None:
            await wake(settings, database, tenant)

        who = await terminal.proved(settings, database, tenant)
        desk = Desk(database, woken, one_machine=settings.one_machine, secret=settings.secret)
        try:
            return await desk.rule(tenant, ruling, who, channel=CHANNEL)
        finally:
            await desk.close()


async def _signal(settings: Settings, tenant: str, ruling: Ruling) -> list[str]:
    """Return what to type for the Temporal CLI: as a signal, and as an update, which answers."""
    async with link.database(settings) as database:
        who = await terminal.proved(settings, database, tenant)
        async with database.transaction(tenant) as tx:
            found = await approvals.read(tx, ruling.request)
            now = await approvals.now(tx)
    if found is None:
        raise BadInput(f"tenant {tenant} has no request {ruling.request!r}: `starter.py approvals` lists what waits")
    ruling = ruling.model_copy(update={"digest": found.digest, **({"by": who.id} if who else {})})
    ruling = _signed(settings, tenant, ruling, found, who, now)
    body = shlex.quote(json.dumps(ruling.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False))
    where = f"--workflow-id {shlex.quote(found.workflow_id)} --name {names.DECIDE} --input {body}"
    return [f"temporal workflow signal {where}", f"temporal workflow update execute {where}"]


def _signed(settings: Settings, tenant: str, ruling: Ruling, found: Request, who: Person | None, now: datetime) -> Ruling:
    key = settings.secret(signatures.KEY_NAME)
    if who is None and not settings.one_machine:
        raise BadInput(NOT_PROVED)
    if key is None and settings.one_machine and found.unsigned:
        return ruling  # Believed as it is.
    if key is None or len(key) < signatures.SHORTEST_KEY:
        raise BadInput(
            f"a signed ruling needs PERDURE_SECRET_{signatures.KEY_NAME}, {signatures.SHORTEST_KEY} characters or more, "
            "the same here and where workers run"
        )
    return ruling.model_copy(update={"token": signatures.sign(key, tenant, ruling, found.digest, now)})


async def wake(settings: Settings, database: Database, tenant: str) -> None:
    """Deliver what waits in the outbox: workers do so too, and now saves the person a second of waiting."""
    # What was ruled is ruled: should Temporal be down, a worker delivers when it is back.
    with suppress(PerdureError, RPCError):
        await outbox.deliver(database, tenant, sender(await link.temporal(settings)))
