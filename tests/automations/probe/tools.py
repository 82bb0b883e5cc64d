"""Tools that do what a test tells them: every call leaves a document, so that calls can be counted from outside."""

import asyncio
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from tools import Due, Lookup, ToolContext, ToolFailed, ToolUnknown, TransientError, tool

KEPT = timedelta(days=1)


class Note(BaseModel):
    note: str = ""
    ask: bool = False
    fail: str = ""
    """failed, transient, unknown, broken, or lost (it writes, and then nobody hears of it): how the call ends.

    With `:N` only the step's first N calls do.
    """


class Kept(BaseModel):
    id: str
    note: str


class Erase(BaseModel):
    id: str


class Nothing(BaseModel):
    pass


async def _count(context: ToolContext, kind: str, id: str = "") -> int:
    """Count a call of this key, or of another id, and return which it is."""
    id = id or context.key
    for _ in range(1000):
        found = await context.documents.get(kind, id)
        nth = found.body["count"] + 1 if found else 1
        try:
            await context.documents.put(kind, id, {"count": nth}, writer=f"{context.key}#{nth}", version=nth - 1)
        except ToolFailed:
            continue
        return nth
    raise AssertionError


async def _told(fail: str, context: ToolContext) -> str:
    """Raise what the call was told to, or return how it is to end."""
    how, _, times = fail.partition(":")
    if not how or await _count(context, "tries", f"{context.lineage}/{context.step}") > int(times or 1_000_000):
        return ""
    match how:
        case "failed":
            raise ToolFailed("told to fail")
        case "transient":
            raise TransientError("told to be busy", retry_after=0.1)
        case "unknown":
            raise ToolUnknown("told to lose its answer")
        case "broken":
            raise ValueError("told to break")
        case _:
            return how


async def _done(arguments: Note, context: ToolContext) -> Kept:
    await _count(context, "calls")
    told = await _told(arguments.fail, context)
    await context.documents.put("note", context.key, {"note": arguments.note}, writer=context.key)
    if told == "lost":
        raise ToolUnknown("told to lose its answer")
    return Kept(id=context.key, note=arguments.note)


@tool("probe.write", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="probe.erase", seconds=2)
async def write(arguments: Note, context: ToolContext) -> Kept:
    """Write a note."""
    return await _done(arguments, context)


@tool("probe.erase", effect="write", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=2)
async def erase(arguments: Erase, context: ToolContext) -> Nothing:
    """Erase a note; a document ("trouble", "erase") says how that ends."""
    await _count(context, "erasures")
    trouble = await context.documents.get("trouble", "erase")
    await _told(trouble.body["fail"] if trouble else "", context)
    await context.documents.delete("note", arguments.id)
    return Nothing()


@tool("probe.guarded", effect="write", guarantee="guarded", compensate_with="probe.erase", seconds=2)
async def guarded(arguments: Note, context: ToolContext) -> Kept:
    """Write a note with no way to tell whether it was written."""
    return await _done(arguments, context)


async def _find(key: str, context: ToolContext) -> Lookup:
    found = await context.documents.get("note", key)
    return Lookup(happened=found is not None, output={"id": key, "note": found.body["note"]} if found else {})


@tool("probe.found", effect="write", guarantee="guarded", compensate_with="probe.erase", lookup=_find, seconds=2)
async def found(arguments: Note, context: ToolContext) -> Kept:
    """Write a note that can be looked up."""
    return await _done(arguments, context)


@tool("probe.final", effect="write", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=2)
async def final(arguments: Note, context: ToolContext) -> Kept:
    """Write a note that cannot be taken back."""
    return await _done(arguments, context)


async def _slot(arguments: Note, context: ToolContext) -> Due | None:
    found = await context.documents.get("slot", arguments.note)
    if found is None:
        return None
    grace = timedelta(seconds=found.body.get("grace", 900))
    return Due(datetime.fromisoformat(found.body["at"]).astimezone(UTC), found.body.get("missed", "run"), grace)


@tool("probe.slotted", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="probe.erase", due=_slot, seconds=2)
async def slotted(arguments: Note, context: ToolContext) -> Kept:
    """Write a note at its slot."""
    return await _done(arguments, context)


class Slow(Note):
    seconds: float = 1.0


@tool("probe.slow", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="probe.erase", seconds=20)
async def slow(arguments: Slow, context: ToolContext) -> Kept:
    """Write a note after a while."""
    await asyncio.sleep(arguments.seconds)
    return await _done(arguments, context)


class Read(BaseModel):
    what: str = ""
    fail: bool = False


class Found(BaseModel):
    text: str


@tool("probe.read", effect="read", guarantee="pure", seconds=5)
async def read(arguments: Read, context: ToolContext) -> Found:
    """Read something."""
    await _count(context, "reads")
    if arguments.fail:
        raise ToolFailed("there is nothing to read")
    return Found(text=f"{arguments.what}!")
