"""What the API takes and gives about what is known beside requests and runs: the calendar, the numbers, and the memory."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from contracts.message import Message, Strict


class Entry(Message):
    """One piece and its slot."""

    entry: str
    at: str
    channel: str
    title: str
    run: str
    state: str


class Calendar(Message):
    """Entries by time."""

    entries: list[Entry]


class Move(Strict):
    """To when: ISO 8601, UTC unless it names a zone, or +2h from now."""

    at: str = Field(min_length=1, max_length=40)


class Days(Message):
    """Of how many days."""

    days: int = Field(7, ge=1, le=366)


class Tile(Message):
    """One number with its name; `unit` is seconds, micros, or nothing for a count."""

    name: str
    value: float
    unit: Literal["", "seconds", "micros"]


class Group(Message):
    """Numbers of one kind, one for each name."""

    title: str
    rows: list[Tile]


class Numbers(Message):
    """How the house is doing."""

    days: int
    groups: list[Group]


class Find(Message):
    """Words of a memory."""

    q: str = Field("", max_length=200)


class Fact(Message):
    """One thing that is remembered, and the turns it comes from."""

    id: str
    body: str
    kind: str
    subject: str
    recorded_at: datetime
    lineage: str | None
    step: str | None
    sources: list[str]


class Facts(Message):
    """What is remembered, the newest first."""

    facts: list[Fact]


class Forget(Strict):
    """About whom all is to be forgotten, what else they are called (in other letters, by an address), and why."""

    subject: str = Field(min_length=1, max_length=200)
    also: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field([], max_length=20)
    reason: str = Field(min_length=1, max_length=2000)
