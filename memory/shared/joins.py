"""Joins of maps and texts: an edit meets what others wrote since, and what that did to either side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from contracts.errors import BadInput
from memory.shared import fields, overlaps, updates
from memory.shared.edits import Edit, Rewrite, Update, Write
from memory.shared.merges import Clash, Since
from memory.shared.replicas import Changed, Replica, anew, client_id
from memory.shared.updates import Unit, Vector

MOST_TEXT = 262_144
"""Bytes of a text, and of a map as JSON."""
MOST_KEYS = 1000
MOST_STATE = 1_048_576
"""Bytes of a replica with its history; one that outgrows them begins anew from what is visible."""
ABSENT = None
"""What stands for a key that is not there, where the sides of a conflict are kept."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A replica after an edit. ``delta``: what the edit added; empty: it changed nothing. squashed: it began anew."""

    state: bytes
    value: Any
    delta: bytes
    clashes: tuple[Clash, ...] = ()
    touched: tuple[str, ...] = ()
    squashed: bool = False


def join(merge: str, edit: Edit, base: bytes, current: bytes | None, since: Sequence[Since]) -> Joined:
    """Make an edit on the replica its writer had seen, and join it with the current one.

    base, current: whole states; current is None where base is the current one. since: the edits between them, oldest first.
    Raises: BadInput, with neither changed.
    """
    mine = Replica(merge, base)
    theirs = Replica(merge, base if current is None else current)
    known, now = mine.vector(), theirs.vector()
    delta = _delta(merge, edit, mine.state(), known, now)
    if not delta:
        return Joined(theirs.state(), theirs.value(), b"")
    changed = mine.apply(delta)
    # A replica that is given what it cannot place keeps it aside, unseen: all of it must have arrived.
    expected = updates.read(delta, merge, known).ends
    if {client: clock for client, clock in mine.vector().items() if clock} != {
        client: clock for client, clock in expected.items() if clock
    }:
        raise BadInput("the update cannot be placed on its base version: its parts build on each other in a circle")
    if current is None:
        joined = _bounded(merge, edit, mine, delta, (), tuple(changed.keys))
    else:
        joined = _concurrent(merge, edit, base, mine, theirs, delta, changed, since)
    if isinstance(edit.operation, Update):
        _agreed(merge, joined, [delta, base] if current is None else [current, delta])
    return joined


def _agreed(merge: str, joined: Joined, parts: Sequence[bytes]) -> None:
    """Raise where replicas would differ, by the order in which they took the parts in. Raises: BadInput."""
    other = Replica(merge, b"")
    for part in filter(None, parts):
        other.apply(part)
    again = [other, Replica(merge, joined.state)]
    # What the library writes down may come back in another order than it stood, where an update builds on itself crosswise.
    again += [Replica(merge, found.state()) for found in again]
    if any(found.value() != joined.value for found in again):
        raise BadInput("the update cannot be placed on its base version: replicas would not agree about the order of its parts")


def _concurrent(
    merge: str, edit: Edit, base: bytes, mine: Replica, theirs: Replica, delta: bytes, changed: Changed, since: Sequence[Since]
) -> Joined:
    before = theirs.value()
    other = Replica(merge, base)
    text = other.value() if merge == "crdt:text" else ""
    others = other.apply(theirs.state())
    theirs.apply(delta)
    if merge == "crdt:text":
        clashes = overlaps.clashes(text, changed.spans, others.spans, edit, since)
    else:
        keys = _Keys(edit, since, changed.keys, others.keys, mine.value(), before, theirs.value())
        clashes = tuple(found for key in keys.all() for found in keys.clashes(key))
    return _bounded(merge, edit, theirs, delta, clashes, tuple(changed.keys))


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys of a map on both sides of a join and after it.

    A key that was written and dropped again shows on neither side, and may take the other side's value with it: so what is after
    the join is compared too, and not only what either side is known to have written.
    """

    edit: Edit
    since: Sequence[Since]
    changed: frozenset[str]
    others: frozenset[str]
    mine: Mapping[str, Any]
    theirs: Mapping[str, Any]
    merged: Mapping[str, Any]

    def all(self) -> list[str]:
        return sorted({*self.mine, *self.theirs, *self.changed, *self.others})

    def clashes(self, key: str) -> list[Clash]:
        other = next((one.writer for one in reversed(self.since) if key in one.touched), self.since[-1].writer)
        stands, found = self.merged.get(key, ABSENT), list[Clash]()
        overruled = self._differ(self.mine, key)
        reason = f"{self.edit.writer} wrote the key on version {self.edit.base}, {other} since then: one of two concurrent writes stands"
        if key in self.changed and overruled:
            found.append(Clash(stands, other, self.mine.get(key, ABSENT), self.edit.writer, reason, part=key))
        if self._differ(self.theirs, key) and (key in self.others or overruled):
            found.append(Clash(stands, self.edit.writer, self.theirs.get(key, ABSENT), other, reason, part=key))
        return found

    def _differ(self, side: Mapping[str, Any], key: str) -> bool:
        return (key in side) != (key in self.merged) or (key in side and not fields.same(side[key], self.merged[key]))


def _bounded(merge: str, edit: Edit, replica: Replica, delta: bytes, clashes: tuple[Clash, ...], touched: tuple[str, ...]) -> Joined:
    value, state = replica.value(), replica.state()
    if merge == "crdt:map" and len(value) > MOST_KEYS:
        raise BadInput(f"the map {edit.field!r} would have {len(value)} keys: at most {MOST_KEYS} are kept")
    if merge == "crdt:map":
        fields.canonical(f"the map {edit.field!r}", value, most=MOST_TEXT, wrapped=True)
    elif (size := len(value.encode())) > MOST_TEXT:
        raise BadInput(f"the text {edit.field!r} would have {size} bytes: at most {MOST_TEXT} are kept")
    if squashed := len(state) > MOST_STATE:
        state = anew(merge, value, edit.writer)
    return Joined(state, value, delta, clashes, touched, squashed)


def _delta(merge: str, edit: Edit, base: bytes, known: Vector, now: Vector) -> bytes:
    """Return what an edit adds to its base; nothing where it changes nothing."""
    delta = edit.operation.update if isinstance(edit.operation, Update) else _made(merge, edit, base, known, now)
    own = updates.read(base, merge, {}).firsts if merge == "crdt:text" and isinstance(edit.operation, Update) else frozenset[Unit]()
    contents = updates.read(delta, merge, known, own)
    for client, end in contents.ends.items():
        if end != known.get(client, 0) and now.get(client, 0) != known.get(client, 0):
            raise BadInput(f"replica {client} went on after version {edit.base} already: one replica for each id, brought up to date first")
    return b"" if contents.empty else delta


def _made(merge: str, edit: Edit, base: bytes, known: Vector, now: Vector) -> bytes:
    nonce = 0
    # One id for each writer keeps the history short; a writer that goes on from an older version is a replica of its own.
    while now.get(client := client_id(edit.writer, nonce), 0) != known.get(client, 0):
        nonce += 1
    replica = Replica(merge, base, client=client)
    vector = replica.encoded_vector()
    if isinstance(edit.operation, Write):
        replica.write(edit.operation)
    else:
        replica.rewrite(edit, cast(Rewrite, edit.operation))
    return replica.since(vector)
