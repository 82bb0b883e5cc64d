"""Commands about editorial calendars: what goes out when, and moving an entry, which moves the run's timer."""

import getpass
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from channels.cli import link, screen
from channels.cli.approvals import wake
from contracts.approvals import Wake
from contracts.errors import BadInput
from database import Tx
from ledger import effects, outbox, records, runs
from settings import Settings
from tools import documents
from tools.documents import Document

KIND = "calendar"
RIGHT = "right is 2030-01-31T09:00 (UTC unless it names a zone), or +30m, +2h, +1d from now"
FARTHEST = timedelta(days=3650)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One piece and its slot. ``at`` is as the document has it, ISO 8601."""

    entry: str
    at: str
    channel: str
    title: str
    run: str
    state: str


class Late(Exception):
    """The piece is out, or its run is over."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="See and move what an automation has put on its calendar.")
    group.command("list")(list_entries)
    group.command("move")(move)
    app.add_typer(group, name="calendar")


Automation = Annotated[str, typer.Option("--automation", help="Whose calendar.")]


def list_entries(automation: Automation = "content-ops", tenant: link.Tenant = None, as_json: link.Json = False) -> None:
    """List entries by time."""
    settings = link.settings()
    found = link.run(_list(settings, tenant or settings.tenant, automation))
    if as_json:
        screen.print_json(found)
        return
    rows = [(each.entry, each.at, each.channel, each.state, each.run, screen.line(each.title, 80)) for each in found]
    headers = ("entry", "at", "channel", "state", "run", "title")
    screen.show(screen.table(headers, rows, whole=5) if rows else "nothing is on the calendar")


async def _list(settings: Settings, tenant: str, automation: str) -> list[Entry]:
    async with link.database(settings) as database, database.transaction(tenant) as tx:
        found = [await _entry(tx, each) for each in await documents.documents(tx, automation, KIND)]
    return sorted(found, key=lambda entry: entry.at)


async def _entry(tx: Tx, document: Document) -> Entry:
    body = document.body
    run = await runs.read(tx, str(body.get("lineage")))
    state = await _published(tx, document) or str(body.get("state"))
    named = {name: str(body.get(name, "")) for name in ("at", "channel", "title")}
    return Entry(entry=document.id, **named, run=run.workflow_id if run else "", state=state)


async def _published(tx: Tx, document: Document) -> str | None:
    """Return `published` or `publishing` where an effect has begun that was to wait for this entry."""
    for effect in await effects.of_run(tx, str(document.body.get("lineage"))):
        if effect.arguments.get("entry") == document.id and effect.undoes is None and not effect.released:
            return {"done": "published", "claimed": "publishing"}.get(effect.state)
    return None


def move(
    entry: Annotated[str, typer.Argument(metavar="ENTRY", help="As `calendar list` shows it.")],
    time: Annotated[str, typer.Argument(metavar="TIME", help="2030-01-31T09:00, UTC unless it names a zone; or +2h from now.")],
    automation: Automation = "content-ops",
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Move an entry to another time; exits with 1 if it is too late."""
    settings = link.settings()
    try:
        moved = link.run(_move(settings, tenant or settings.tenant, automation, entry, time))
    except Late as error:
        link.fail(str(error), link.REFUSED)
    if as_json:
        screen.print_json(moved)
    else:
        screen.show(f"{moved.entry} ({moved.channel}) now goes out at {moved.at}")


async def _move(settings: Settings, tenant: str, automation: str, id: str, time: str) -> Entry:
    at, by = when(time), getpass.getuser()
    async with link.database(settings) as database:
        async with database.transaction(tenant) as tx:
            found = await documents.find(tx, automation, KIND, id)
            if found is None:
                raise BadInput(f"the calendar of {automation} has no entry {id!r}: `starter.py calendar list` shows them")
            entry, lineage = await _entry(tx, found), str(found.body.get("lineage"))
            run = await runs.read(tx, lineage)
            if entry.state != "planned" or run is None or run.status != "running":
                raise Late(f"{id} cannot be moved any more: it is {entry.state}, and its run {run.status if run else 'is gone'}")
            writer = f"calendar/{uuid.uuid4()}"
            body = {**found.body, "at": at.isoformat(timespec="seconds")}
            await documents.write(tx, automation, KIND, id, body, writer=writer, version=found.version)
            said = {"event": "moved", "entry": id, "title": entry.title, "from": entry.at, "to": body["at"], "by": by}
            await records.append(tx, writer, "configuration", lineage, None, said)
            await outbox.put(tx, run.workflow_id, Wake())
        await wake(settings, database, tenant)
    return Entry(entry.entry, body["at"], entry.channel, entry.title, entry.run, entry.state)


def when(text: str, now: datetime | None = None) -> datetime:
    """Read a time. Raises: BadInput saying what is right."""
    if relative := re.fullmatch(r"\+(\d{1,6})([smhd])", text.strip()):
        span: dict[str, Any] = {UNITS[relative[2]]: int(relative[1])}
        return (now or datetime.now(UTC)) + min(timedelta(**span), FARTHEST)
    try:
        at = datetime.fromisoformat(text.strip())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInput(f"{text!r} is not a time; {RIGHT}") from None
