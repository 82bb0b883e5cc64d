"""Yjs updates from outside, read before the library may: it believes every count, and deep nesting ends the whole process.

Source: the format of yjs 13, src/utils/encoding.js and src/structs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.errors import BadInput
from contracts.message import EXACT
from memory.shared.encoding import Reader

ROOT = "value"
MOST_KEY = 200
MOST_CLOCK = 2**31
"""How far a replica may count."""
GC, DELETED, STRING, ANY = 0, 1, 4, 8
CONTENTS = {
    "crdt:map": {DELETED, ANY},
    "crdt:text": {DELETED, STRING},
}
"""What may stand in each: plain values in a map, plain characters in a text; no types within types, formats or binaries."""
ORIGIN, RIGHT_ORIGIN, PARENT_SUB, REFERENCE = 0x80, 0x40, 0x20, 0x1F
Vector = Mapping[int, int]
"""A state vector: replica -> how far it has counted."""
Unit = tuple[int, int]
"""One unit of UTF-16 in a text, or one value in a map: replica and clock."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What an update holds: how far each replica counts after it, and whether there is anything in it.

    firsts: the first halves of its characters that take two units of UTF-16, by replica and clock.
    """

    ends: Vector
    empty: bool
    firsts: frozenset[Unit]


def vector(state: bytes) -> dict[int, int]:
    """Return an encoded state vector."""
    reader = Reader(state)
    return {reader.number(): reader.number() for _ in range(reader.count())}


def read(update: bytes, merge: str, known: Vector, firsts: frozenset[Unit] = frozenset()) -> Contents:
    """Read an update for a replica that is as far as ``known``.

    firsts: as that replica's own contents have it. Raises: BadInput where it is not plainly the next of its replicas.
    """
    return _Update(Reader(update), CONTENTS[merge], known, set(firsts)).read()


def contents(update: bytes, merge: str) -> list[Any]:
    """Return the values and characters within an update, whatever it builds on. Raises: BadInput where it is malformed."""
    found = _Update(Reader(update), CONTENTS[merge], None, set())
    found.read()
    return found.contents


@dataclass
class _Update:
    reader: Reader
    allowed: set[int]
    known: Vector | None
    """None: whatever it builds on is taken to be there."""
    firsts: set[Unit]
    contents: list[Any] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)
    named: list[Unit] = field(default_factory=list)
    cuts: list[Unit] = field(default_factory=list)
    """The last units before which, and behind which, the update takes a text apart."""

    def read(self) -> Contents:
        for _ in range(self.reader.count()):
            self._structs()
        empty = not self.ends
        for _ in range(self.reader.count()):
            client = self.reader.number()
            for _ in range(self.reader.count()):
                clock, length = self.reader.number(), self.reader.number()
                self.named.append((client, clock + length - 1))
                self.cuts += [(client, clock - 1), (client, clock + length - 1)]
                empty = False
        self.reader.end()
        known = self.known or {}
        for client, clock in self.named if self.known is not None else ():
            if clock >= self.ends.get(client, known.get(client, 0)):
                raise BadInput(f"the update builds on {clock} of replica {client}, which its base version does not have")
        # The library does not refuse to take a character apart: its replicas would then differ.
        if not self.firsts.isdisjoint(self.cuts):
            raise BadInput("the update takes a character apart")
        return Contents({**known, **self.ends}, empty, frozenset(self.firsts))

    def _structs(self) -> None:
        structs, client, clock = self.reader.count(), self.reader.number(), self.reader.number()
        if client in self.ends or structs == 0 or client >= EXACT:
            raise BadInput(f"the update is malformed at replica {client}")
        if self.known is not None and (known := self.known.get(client, 0)) != clock:
            raise BadInput(
                f"replica {client} goes on at {clock}, its base version at {known}: right is the difference to the state that was read,"
                " and one replica for each id"
            )
        for _ in range(structs):
            clock += self._struct(client, clock)
            if clock >= MOST_CLOCK:
                raise BadInput(f"replica {client} counts beyond {MOST_CLOCK}")
        self.ends[client] = clock

    def _struct(self, client: int, clock: int) -> int:
        info = self.reader.byte()
        if info & REFERENCE == GC:
            return self._length()
        if info & ORIGIN:
            self.named.append((self.reader.number(), self.reader.number()))
            self.cuts.append(self.named[-1])
        if info & RIGHT_ORIGIN:
            if ANY in self.allowed:
                raise BadInput("the update is malformed: in a map nothing stands to the right of a value")
            replica, right = self.reader.number(), self.reader.number()
            self.named.append((replica, right))
            self.cuts.append((replica, right - 1))
        if not info & (ORIGIN | RIGHT_ORIGIN):
            self._parent(info)
        return self._content(info & REFERENCE, client, clock)

    def _parent(self, info: int) -> None:
        if self.reader.number() != 1 or self.reader.text() != ROOT:
            raise BadInput(f"the update writes elsewhere than under the root name {ROOT!r}")
        keyed = bool(info & PARENT_SUB)
        if keyed != (ANY in self.allowed):
            raise BadInput("the update writes a list or a text where a map is declared, or a map where a text is")
        if keyed:
            self.contents.append(key := self.reader.text())
            if not 0 < len(key) <= MOST_KEY:
                raise BadInput(f"the update writes a key of no or of more than {MOST_KEY} characters")

    def _content(self, reference: int, client: int, clock: int) -> int:
        if reference not in self.allowed:
            raise BadInput(f"the update holds content of the kind {reference}: plain values are right, and plain characters in a text")
        if reference == DELETED:
            return self._length()
        if reference == STRING:
            self.contents.append(text := self.reader.text())
            return self._characters(text, client, clock)
        if self.reader.number() != 1:
            raise BadInput("the update sets a key to several values at once")
        self.contents.append(self.reader.value(0))
        return 1

    def _characters(self, text: str, client: int, clock: int) -> int:
        if not text:
            raise BadInput("the update is malformed: a run of 0")
        at = clock
        for character in text:
            if character > "\uffff":
                self.firsts.add((client, at))
                at += 1
            at += 1
        return at - clock

    def _length(self) -> int:
        length = self.reader.number()
        if not 0 < length < MOST_CLOCK:
            raise BadInput(f"the update is malformed: a run of {length}")
        return length
