"""Edits: what a writer wants of one field, and on which version of it."""

from dataclasses import dataclass
from typing import Any

from contracts.errors import BadInput
from memory.shared import fields, updates
from memory.shared.clocks import Stamp

MOST_CHANGES = 1000
"""Of one edit: elements, keys or splices."""
MOST_AMOUNT = 10**12
MOST_UPDATE = 65_536
"""Bytes of an update from outside."""
MOST_KEY = 200


@dataclass(frozen=True, slots=True)
class Put:
    """Another value for a field that is `versioned`, `lww` or `escalate`. stamp: of the writer's own clock, `lww` only."""

    value: Any
    stamp: Stamp | None = None


@dataclass(frozen=True, slots=True)
class Add:
    """Add to a counter; a negative amount takes away."""

    amount: int


@dataclass(frozen=True, slots=True)
class Change:
    """Add elements to a set, and remove elements that were in it when it was read."""

    add: tuple[Any, ...] = ()
    remove: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """Set keys of a map to values, and drop keys."""

    values: tuple[tuple[str, Any], ...] = ()
    drop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Splice:
    """Delete so many characters of a text from one position on, and insert others there."""

    at: int
    delete: int = 0
    insert: str = ""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Splices of a text, one after another: each finds the text as the one before it left it."""

    splices: tuple[Splice, ...]


@dataclass(frozen=True, slots=True)
class Update:
    """What a writer's own replica of a map or a text has and the base version had not: a Yjs update, version 1.

    The replica keeps its content under the root name `value`.
    """

    update: bytes


Operation = Put | Add | Change | Write | Rewrite | Update
TAKES: dict[str, tuple[type, ...]] = {
    "versioned": (Put,), "lww": (Put,), "escalate": (Put,), "crdt:counter": (Add,), "crdt:set": (Change,),
    "crdt:map": (Write, Update), "crdt:text": (Rewrite, Update),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit of one field. base: the field's version that the writer had seen; 0 where it had seen nothing."""

    document: str
    field: str
    writer: str
    operation: Operation
    base: int = 0

    def checked(self, merge: str) -> str:
        """Return the digest of an edit for a field of this merge. Raises: BadInput naming what does not fit."""
        where = f"field {self.field!r} of document {self.document!r}"
        if not isinstance(self.operation, TAKES[merge]):
            right = " or ".join(kind.__name__ for kind in TAKES[merge])
            raise BadInput(f"{where} is {merge} and takes {right}, not {type(self.operation).__name__}")
        if self.base < 0:
            raise BadInput(f"{where}: the base version is {self.base}; right is the version that was read, or 0")
        fields.named("a writer", self.writer)
        content = _content(where, self.operation, merge)
        whole = [self.document, self.field, self.writer, self.base, type(self.operation).__name__, content]
        return fields.digest(fields.canonical(where, whole, most=8 * fields.MOST_BYTES, wrapped=True))

    def said(self, merge: str) -> Any:
        """Return what was to be written, by what it is called: as it is kept where all of an edit of a map or a text is lost."""
        match self.operation:
            case Write(values, drop):
                return {"values": dict(values), "drop": list(drop)}
            case Rewrite(splices):
                return {"splices": [[splice.at, splice.delete, splice.insert] for splice in splices]}
            case Update(update):
                return {"contents": updates.contents(update, merge)}
            case Put(value):
                return {"value": value}
            case Change(add, remove):
                return {"add": list(add), "remove": list(remove)}
            case Add(amount):
                return {"amount": amount}

    def texts(self, merge: str) -> list[str]:
        """Return every text within it."""
        return fields.texts(self.said(merge))


def _content(where: str, operation: Operation, merge: str) -> Any:
    match operation:
        case Put(value, stamp):
            if stamp and merge != "lww":
                raise BadInput(f"{where} is {merge}: a stamp goes with lww only")
            fields.canonical(f"the value for {where}", value)
            return [value, str(stamp or "")]
        case Add(amount):
            if not -MOST_AMOUNT <= amount <= MOST_AMOUNT:
                raise BadInput(f"{where}: {amount} is beyond what one edit may add, {MOST_AMOUNT}")
            return amount
        case Change(add, remove):
            return _counted(where, [list(add), list(remove)])
        case Write(values, drop):
            for key in (*(key for key, _ in values), *drop):
                if not 0 < len(key) <= MOST_KEY:
                    raise BadInput(f"{where}: a key has {len(key)} characters; 1 to {MOST_KEY} are right")
            return _counted(where, [[list(pair) for pair in values], list(drop)])
        case Rewrite(splices):
            return _counted(where, [[[splice.at, splice.delete, splice.insert] for splice in splices], []])
        case Update(update):
            if len(update) > MOST_UPDATE:
                raise BadInput(f"{where}: the update has {len(update)} bytes; at most {MOST_UPDATE} are taken at once")
            return update.hex()


def _counted(where: str, parts: list[list[Any]]) -> list[list[Any]]:
    changes = sum(map(len, parts))
    if not 0 < changes <= MOST_CHANGES:
        raise BadInput(f"{where}: an edit of {changes} changes; 1 to {MOST_CHANGES} are right")
    return parts
