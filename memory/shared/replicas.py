"""Replicas of maps and texts, which join by the rule of the library."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from pycrdt import Doc, Map, Text

from contracts.errors import BadInput
from memory.shared import overlaps, updates
from memory.shared.edits import Edit, Rewrite, Write
from memory.shared.updates import ROOT


def anew(merge: str, value: Any, writer: str) -> bytes:
    """Return a replica without history that shows this value."""
    replica = Replica(merge, b"", client=client_id(writer, 0))
    if merge == "crdt:map":
        replica.write(Write(tuple(value.items())))
    else:
        replica.insert(value)
    return replica.state()


def advanced(merge: str, state: bytes, deltas: Sequence[bytes]) -> bytes:
    """Return a replica with what later edits added."""
    replica = Replica(merge, state)
    for delta in deltas:
        replica.apply(delta)
    return replica.state()


def missing(merge: str, state: bytes, vector: bytes | None) -> bytes:
    """Return the update that brings a replica as far as ``vector`` (None: an empty one) up to this state. Raises: BadInput."""
    if vector is not None:
        updates.vector(vector)
    return Replica(merge, state).since(vector)


def client_id(writer: str, nonce: int) -> int:
    """Return an id for a replica of a writer."""
    return int.from_bytes(sha256(f"{nonce}/{writer}".encode()).digest()[:4]) | 1


@dataclass(frozen=True, slots=True)
class Changed:
    """What an update changed: keys of a map, or spans of a text as it was before."""

    keys: frozenset[str] = frozenset()
    spans: tuple[overlaps.Span, ...] = ()


class Replica:
    """One replica of a map or a text."""

    def __init__(self, merge: str, state: bytes, *, client: int | None = None) -> None:
        self._doc: Doc[Any] = Doc(client_id=client)
        self._root: Any = self._doc.get(ROOT, type=Map if merge == "crdt:map" else Text)
        self._is_map = merge == "crdt:map"
        if state:
            self.apply(state)

    def apply(self, update: bytes) -> Changed:
        """Join an update, and return what that changed. Raises: BadInput where the library cannot."""
        keys: set[str] = set()
        spans: list[overlaps.Span] = []

        def note(event: Any) -> None:
            if self._is_map:
                keys.update(event.keys)
            else:
                spans.extend(overlaps.spans(event.delta))

        subscription = self._root.observe(note)
        try:
            self._doc.apply_update(update)
        except BaseException as error:
            # The library's panics are no Exception; everything else that is none is not ours to hold.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise BadInput(f"the update cannot be joined: {str(error)[:200]}") from None
        self._root.unobserve(subscription)
        return Changed(frozenset(keys), tuple(spans))

    def value(self) -> Any:
        """Return what the replica shows."""
        return whole(self._root.to_py()) if self._is_map else str(self._root)

    def state(self) -> bytes:
        """Return the whole replica as one update."""
        return self._doc.get_update()

    def encoded_vector(self) -> bytes:
        """Return how far each of its replicas counts, as the library has it."""
        return self._doc.get_state()

    def vector(self) -> dict[int, int]:
        """Return how far each of its replicas counts."""
        return updates.vector(self.encoded_vector())

    def since(self, vector: bytes | None) -> bytes:
        """Return what it has and another, as far as ``vector``, has not."""
        return self._doc.get_update(vector)

    def write(self, write: Write) -> None:
        """Set and drop keys of a map."""
        with self._doc.transaction():
            for key, value in write.values:
                self._root[key] = value
            for key in write.drop:
                if key in self._root:
                    del self._root[key]

    def insert(self, text: str) -> None:
        """Begin a text."""
        self._root.insert(0, text)

    def rewrite(self, edit: Edit, rewrite: Rewrite) -> None:
        """Splice a text. Raises: BadInput where a splice lies outside of it."""
        text = str(self._root)
        with self._doc.transaction():
            for nth, splice in enumerate(rewrite.splices, start=1):
                end = splice.at + splice.delete
                if not 0 <= splice.at <= end <= len(text):
                    raise BadInput(f"splice {nth} of {edit.field!r} takes {splice.at} to {end} of a text of {len(text)} characters")
                # The library counts in bytes.
                start = len(text[: splice.at].encode())
                if splice.delete:
                    del self._root[start : start + len(text[splice.at : end].encode())]
                if splice.insert:
                    self._root.insert(start, splice.insert)
                text = text[: splice.at] + splice.insert + text[end:]


def whole(value: Any) -> Any:
    """Return a value as it was written: the library keeps all numbers as floats."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {name: whole(child) for name, child in value.items()}
        case list():
            return [whole(child) for child in value]
        case _:
            return value
