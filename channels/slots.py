"""Editorial calendars, for every channel: what goes out when, and moving an entry, which moves the run's timer."""

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.approvals import Wake
from contracts.errors import BadInput
from database import Tx
from ledger import effects, outbox, records, runs
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


async def entries(tx: Tx, automation: str) -> list[Entry]:
    """Return an automation's entries by time."""
    found = [await _entry(tx, each) for each in await documents.documents(tx, automation, KIND)]
    return sorted(found, key=lambda entry: entry.at)


async def move(tx: Tx, automation: str, id: str, at: datetime, by: str) -> Entry:
    """Move an entry and leave a wake-up for its run. Raises: BadInput where there is none of that id, Late."""
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
    return Entry(entry.entry, body["at"], entry.channel, entry.title, entry.run, entry.state)


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
