"""Merges of plain values: who stands, who loses, and why; nothing here knows of a database."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from contracts.errors import BadInput
from contracts.message import EXACT
from memory.shared import fields
from memory.shared.clocks import Stamp, after, bounded
from memory.shared.edits import Add, Change, Edit, Put, Write

MOST_ELEMENTS = 1000
MOST_ELEMENT_BYTES = 4096
MOST_WRITERS = 1000
"""Of one counter, or of one element of a set."""
Kind = Literal["lost", "both", "open", "held"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A field as it stands. ``waits`` is the id of the conflict that a person is asked about."""

    merge: str
    version: int
    value: Any
    tally: Mapping[str, Any] = field(default_factory=dict)
    clock: int = 0
    writer: str = ""
    waits: str | None = None


@dataclass(frozen=True, slots=True)
class Clash:
    """Two sides that could not both be, or (`both`) that nobody has read together. ``part``: the element or key, if one."""

    kept: Any
    kept_by: str
    lost: Any
    lost_by: str
    reason: str
    part: str = ""
    kind: Kind = "lost"


@dataclass(frozen=True, slots=True)
class Merged:
    """What becomes of a field. applied: it changed, so that its version rises."""

    value: Any
    applied: bool
    clashes: tuple[Clash, ...] = ()
    tally: Mapping[str, Any] = field(default_factory=dict)
    clock: int = 0
    writer: str = ""
    touched: tuple[str, ...] = ()
    """Keys of a map, and digests of what was taken out of a set: what a later edit on an older version is held against."""


@dataclass(frozen=True, slots=True)
class Since:
    """What one edit behind a base version touched."""

    version: int
    writer: str
    touched: Collection[str]


def plain(standing: Standing, edit: Edit, now: int, since: Sequence[Since] = ()) -> Merged:
    """Merge an edit into a field that is no map and no text.

    now: milliseconds, the database's. since: what others took out of a set since the edit's base. Raises: BadInput.
    """
    match standing.merge, edit.operation:
        case "versioned", Put(value):
            return _versioned(standing, edit, value)
        case "escalate", Put(value):
            return _escalated(standing, edit, value)
        case "lww", Put(value, stamp):
            return _latest(standing, edit, value, stamp, now)
        case "crdt:counter", Add(amount):
            return _counted(standing, edit, amount)
        case "crdt:set", Change():
            return _gathered(standing, edit, edit.operation, since)
        case _:
            raise AssertionError(f"{standing.merge} is not merged here")


def _kept(standing: Standing, *clashes: Clash) -> Merged:
    return Merged(standing.value, False, clashes, standing.tally, standing.clock, standing.writer)


def _versioned(standing: Standing, edit: Edit, value: Any) -> Merged:
    if fields.same(value, standing.value):
        return _kept(standing)
    if edit.base == standing.version:
        return Merged(value, True, writer=edit.writer)
    reason = f"written on version {edit.base}, while version {standing.version} stands: read it and decide again"
    return _kept(standing, Clash(standing.value, standing.writer, value, edit.writer, reason))


def _escalated(standing: Standing, edit: Edit, value: Any) -> Merged:
    if fields.same(value, standing.value):
        return _kept(standing)
    if standing.waits:
        reason = f"a person is being asked about {standing.waits}: nothing else is taken until then"
        return _kept(standing, Clash(standing.value, standing.writer, value, edit.writer, reason, kind="held"))
    if edit.base == standing.version:
        return Merged(value, True, writer=edit.writer)
    reason = f"written on version {edit.base}, while version {standing.version} stands: a person decides"
    return _kept(standing, Clash(standing.value, standing.writer, value, edit.writer, reason, kind="open"))


def _latest(standing: Standing, edit: Edit, value: Any, given: Stamp | None, now: int) -> Merged:
    last = Stamp.of(standing.clock)
    stamp = bounded(given, now) if given else after(now, last)
    if fields.same(value, standing.value):
        # Both wrote it: the later of the two stamps is what the next one is held against.
        newer = (stamp, edit.writer) > (last, standing.writer)
        return Merged(value, newer, (), clock=stamp.packed, writer=edit.writer) if newer else _kept(standing)
    # The text decides last: two values under one stamp of one writer still have one order everywhere.
    mine = (stamp, edit.writer, fields.canonical("the value", value))
    theirs = (last, standing.writer, fields.canonical("the value", standing.value))
    if mine < theirs:
        reason = f"stamp {stamp} of {edit.writer} is before {last} of {standing.writer}"
        return _kept(standing, Clash(standing.value, standing.writer, value, edit.writer, reason))
    seen = edit.base >= standing.version
    reason = f"stamp {stamp} of {edit.writer}, who had seen version {edit.base}, is after {last} of {standing.writer}"
    clashes = () if seen else (Clash(value, edit.writer, standing.value, standing.writer, reason),)
    return Merged(value, True, clashes, clock=stamp.packed, writer=edit.writer)


def _counted(standing: Standing, edit: Edit, amount: int) -> Merged:
    up, down = standing.tally.get(edit.writer, (0, 0))
    tally = {**standing.tally, edit.writer: [up + max(amount, 0), down + max(-amount, 0)]}
    value = standing.value + amount
    if not -EXACT < value < EXACT or max(tally[edit.writer]) >= EXACT:
        raise BadInput(f"the counter {edit.field!r} would leave what can be kept, {EXACT}")
    _bound_writers(edit, tally)
    return Merged(value, amount != 0, tally=tally, writer=edit.writer)


def _gathered(standing: Standing, edit: Edit, change: Change, since: Sequence[Since]) -> Merged:
    """Join a set: each element knows the version at which each writer added it, so a removal takes only what had been seen.

    Source: Bieniusa et al., An optimized conflict-free replicated set, INRIA RR-8083, 2012; versions are its dots.
    """
    tally: dict[str, dict[str, int]] = {name: dict(dots) for name, dots in standing.tally.items()}
    clashes: list[Clash] = []
    touched: list[str] = []
    for element in change.remove:
        name = _element(edit, element)
        left = {writer: at for writer, at in tally.get(name, {}).items() if at > edit.base and writer != edit.writer}
        if tally.pop(name, None) and not left:
            touched.append(fields.digest(name))
        if left:
            tally[name] = left
            reason = f"removed as of version {edit.base}, but added since, at {max(left.values())}: what is added stays"
            clashes.append(Clash(element, _names(left), {"removed": element}, edit.writer, reason, part=name[: fields.NAME_LENGTH]))
    for element in change.add:
        name = _element(edit, element)
        if name not in tally and (removed := _last(since, fields.digest(name), edit.writer)):
            reason = f"added as of version {edit.base}, while it was removed at {removed.version}: what is added stays"
            clashes.append(Clash(element, edit.writer, {"removed": element}, removed.writer, reason, part=name[: fields.NAME_LENGTH]))
        unseen = {writer: at for writer, at in tally.get(name, {}).items() if at > edit.base}
        tally[name] = _bound_writers(edit, {**unseen, edit.writer: standing.version + 1})
    if len(tally) > MOST_ELEMENTS:
        raise BadInput(f"the set {edit.field!r} would have {len(tally)} elements: at most {MOST_ELEMENTS} are kept")
    value = [fields.parsed(name) for name in sorted(tally)]
    return Merged(value, tally != standing.tally, tuple(clashes), tally, writer=edit.writer, touched=tuple(touched))


def touches(edit: Edit) -> list[str]:
    """Return the names under which an edit's elements and keys are remembered as touched."""
    match edit.operation:
        case Change(add, _):
            return [fields.digest(_element(edit, element)) for element in add]
        case Write(values, drop):
            return sorted({*(key for key, _ in values), *drop})
        case _:
            return []


def _last(since: Sequence[Since], name: str, but: str) -> Since | None:
    return next((one for one in reversed(since) if name in one.touched and one.writer != but), None)


def _element(edit: Edit, element: Any) -> str:
    return fields.canonical(f"an element for the set {edit.field!r}", element, most=MOST_ELEMENT_BYTES)


def _bound_writers(edit: Edit, writers: dict[str, Any]) -> dict[str, Any]:
    if len(writers) > MOST_WRITERS:
        raise BadInput(f"{edit.field!r} would have more than {MOST_WRITERS} writers: name the agent, not each of its runs")
    return writers


def _names(writers: Mapping[str, Any]) -> str:
    return ", ".join(sorted(writers)[:5])
