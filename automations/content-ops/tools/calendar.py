"""The editorial calendar: one entry for each piece, at a slot of its own."""

from datetime import UTC, datetime, timedelta
from itertools import count

from pydantic import BaseModel

from tools import ToolContext, ToolFailed, tool

from .pieces import KEPT, QUICK, Channel, Nothing, document, id_of


class PlaceEntry(BaseModel):
    draft: str
    channel: Channel


class Entry(BaseModel):
    entry: str
    at: str
    """UTC, ISO 8601."""


class RemoveEntry(BaseModel):
    entry: str


@tool("calendar.place", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="calendar.remove", seconds=QUICK, quick=True)
async def place_entry(arguments: PlaceEntry, context: ToolContext) -> Entry:
    """Put a draft on the editorial calendar, at the run's next free slot."""
    id = id_of(context)
    # Read first: a person may have moved the entry since, and that must stand.
    if kept := await context.documents.get("calendar", id):
        return Entry(entry=id, at=kept.body["at"])
    draft = await document(context, "draft", arguments.draft)
    nth = await _take_slot(context, id)
    first, every = (int(context.input.get(name, context.settings[name])) for name in ("first_slot_seconds", "slot_every_seconds"))
    at = (datetime.now(UTC) + timedelta(seconds=first + nth * every)).isoformat(timespec="seconds")
    named = {"title": draft["title"], "channel": arguments.channel, "at": at, "draft": arguments.draft}
    made = await context.documents.put(
        "calendar", id, {**named, "lineage": context.lineage, "state": "planned"}, writer=context.key, version=0
    )
    return Entry(entry=id, at=made.body["at"])


async def _take_slot(context: ToolContext, entry: str) -> int:
    """Take the run's first free slot and return its number; pieces that are placed at the same time get different ones."""
    for n in count():
        id = f"{context.lineage}-{n}"
        held = await context.documents.get("slot", id)
        if held and held.body["entry"] != entry:
            continue
        try:
            # No document has version 0, so this creates the slot or fails where another step was faster.
            await context.documents.put("slot", id, {"entry": entry}, writer=context.key, version=0)
        except ToolFailed:
            continue
        return n
    raise AssertionError


@tool("calendar.remove", effect="write", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=QUICK)
async def remove_entry(arguments: RemoveEntry, context: ToolContext) -> Nothing:
    """Take an entry off the calendar and free its slot."""
    for slot in await context.documents.list("slot"):
        if slot.body["entry"] == arguments.entry:
            await context.documents.delete("slot", slot.id)
    await context.documents.delete("calendar", arguments.entry)
    return Nothing()
