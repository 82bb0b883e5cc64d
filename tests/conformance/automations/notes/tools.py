"""The tools of the conformance suite, as Python functions. What they keep is in this process and counted by key."""

import asyncio
from collections import Counter
from datetime import timedelta

from pydantic import BaseModel

from tools import Lookup, ToolContext, ToolFailed, ToolRetry, ToolUnknown, TransientError, tool

KEPT = timedelta(days=1)
NOTES: dict[str, "Note"] = {}
COUNTED: dict[str, Counter[str]] = {}


class Write(BaseModel):
    note: str
    number: int = 0
    how: str = ""
    """retry, failed, transient (before it acts); unknown, cut, garbage (after it has); else it is done."""


class Note(BaseModel):
    id: str
    note: str
    number: int
    count: int
    """How often it was written."""


class Garbage(BaseModel):
    nonsense: bool = True


class Id(BaseModel):
    id: str


class Erased(BaseModel):
    erased: bool


class Read(BaseModel):
    id: str = ""
    how: str = ""
    """failed, transient, cut, garbage, or secret: it answers with its token."""


class Text(BaseModel):
    text: str


class Slow(BaseModel):
    seconds: float


class Key(BaseModel):
    key: str


class Counts(BaseModel):
    calls: int
    bodies: int
    started: int
    ended: int
    cancelled: int


def _counted(key: str, what: str) -> int:
    counted = COUNTED.setdefault(key, Counter())
    counted[what] += 1
    return counted[what]


def _refused(how: str) -> None:
    match how:
        case "retry":
            raise ToolRetry("told to want other arguments")
        case "failed":
            raise ToolFailed("told to fail")
        case "transient":
            raise TransientError("told to be busy", retry_after=7.0)
        case _:
            return


def _lost(how: str) -> None:
    match how:
        case "unknown":
            raise ToolUnknown("told to lose its answer")
        case "cut":
            raise ConnectionError("told to be cut")
        case _:
            return


def _written(arguments: Write, context: ToolContext) -> Note:
    _refused(arguments.how)
    count = _counted(context.key, "bodies")
    made = NOTES[context.key] = Note(id=context.key, note=arguments.note, number=arguments.number, count=count)
    _lost(arguments.how)
    return Garbage() if arguments.how == "garbage" else made  # pyright: ignore[reportReturnType]


@tool("note.write", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="note.erase", seconds=10)
async def write(arguments: Write, context: ToolContext) -> Note:
    """Write a note once for each key."""
    _counted(context.key, "calls")
    return NOTES.get(context.key) or _written(arguments, context)


async def _find(key: str, context: ToolContext) -> Lookup:
    return Lookup(happened=key in NOTES, output=NOTES[key].model_dump() if key in NOTES else {})


@tool("note.guarded", effect="write", guarantee="guarded", compensate_with="note.erase", lookup=_find, seconds=10)
async def guarded(arguments: Write, context: ToolContext) -> Note:
    """Write a note each time it is called; it can be looked up."""
    _counted(context.key, "calls")
    return _written(arguments, context)


@tool("note.erase", effect="write", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=10)
async def erase(arguments: Id, context: ToolContext) -> Erased:
    """Erase a note."""
    _counted(context.key, "calls")
    return Erased(erased=NOTES.pop(arguments.id, None) is not None)


@tool("note.slow", effect="write", guarantee="guarded", irreversible=True, seconds=60)
async def slow(arguments: Slow, context: ToolContext) -> Text:
    """Take its time, and stop when it is cancelled."""
    _counted(context.key, "started")
    try:
        await asyncio.sleep(arguments.seconds)
    except asyncio.CancelledError:
        _counted(context.key, "cancelled")
        raise
    _counted(context.key, "ended")
    return Text(text="ended")


@tool("note.read", effect="read", guarantee="pure", secrets=("NOTE_TOKEN",), seconds=10)
async def read(arguments: Read, context: ToolContext) -> Text:
    """Read a note."""
    if arguments.how == "secret":
        return Text(text=f"the token is {context.secrets['NOTE_TOKEN']}")
    _refused(arguments.how)
    _lost(arguments.how)
    if arguments.how == "garbage":
        return Garbage()  # pyright: ignore[reportReturnType]
    return Text(text=NOTES[arguments.id].note if arguments.id in NOTES else "")


@tool("note.counts", effect="read", guarantee="pure", seconds=10)
async def counts(arguments: Key, context: ToolContext) -> Counts:
    """Tell how often what happened under a key."""
    found = COUNTED.get(arguments.key, Counter[str]())
    return Counts.model_validate({name: found[name] for name in Counts.model_fields})
