"""The bytes that Yjs updates are made of, read one by one and never beyond their end.

Source: lib0, src/encoding.js.
"""

import math
import struct
from collections.abc import Callable
from typing import Any

from contracts.errors import BadInput
from contracts.message import EXACT
from memory.shared.fields import MOST_DEPTH


class Reader:
    """Reads what an update is made of, never beyond its end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, length: int) -> bytes:
        if length > len(self._data) - self._at:
            raise BadInput("the update is malformed: it ends in the middle")
        self._at += length
        return self._data[self._at - length : self._at]

    def end(self) -> None:
        if self._at < len(self._data):
            raise BadInput("the update is malformed: something follows its end")

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        number = shift = 0
        while (byte := self.byte()) & 0x80:
            number, shift = number | (byte & 0x7F) << shift, shift + 7
            if shift > 63:
                raise BadInput("the update is malformed: a number of more than 64 bits")
        return number | byte << shift

    def count(self) -> int:
        """Return how many things follow, each of at least one byte."""
        if (count := self.number()) > len(self._data) - self._at:
            raise BadInput(f"the update is malformed: it promises {count} parts and ends before")
        return count

    def text(self) -> str:
        try:
            found = self.take(self.number()).decode()
        except UnicodeDecodeError:
            raise BadInput("the update is malformed: a text is no UTF-8") from None
        if "\0" in found:
            raise BadInput("the update holds a NUL character, which cannot be kept")
        return found

    def value(self, depth: int) -> Any:
        """Return one plain value."""
        if depth > MOST_DEPTH:
            raise BadInput(f"the update holds a value that nests deeper than {MOST_DEPTH}")
        kind = self.byte()
        if (plain := VALUES.get(kind)) is None:
            raise BadInput(f"the update holds a value of the kind {kind}, which is not JSON")
        return plain(self, depth)

    def whole(self) -> int | float:
        first = self.byte()
        number, shift, sign = first & 0x3F, 6, -1 if first & 0x40 else 1
        while first & 0x80:
            first = self.byte()
            number, shift = number | (first & 0x7F) << shift, shift + 7
            if shift > 63:
                raise BadInput("the update is malformed: a number of more than 64 bits")
        return self._exact(sign * number)

    def real(self, form: str) -> int | float:
        (number,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return self._exact(number)

    def items(self, depth: int) -> list[Any]:
        return [self.value(depth + 1) for _ in range(self.count())]

    def entries(self, depth: int) -> dict[str, Any]:
        return {self.text(): self.value(depth + 1) for _ in range(self.count())}

    @staticmethod
    def _exact(number: float) -> float:
        if not math.isfinite(number) or abs(number) >= EXACT:
            raise BadInput(f"the update holds a number that is not between -{EXACT} and {EXACT}")
        return number


VALUES: dict[int, Callable[[Reader, int], Any]] = {
    117: Reader.items,
    118: Reader.entries,
    119: lambda reader, _: reader.text(),
    120: lambda *_: True,
    121: lambda *_: False,
    123: lambda reader, _: reader.real(">d"),
    124: lambda reader, _: reader.real(">f"),
    125: lambda reader, _: reader.whole(),
    126: lambda *_: None,
}
"""How each kind of plain value is read. 116 (bytes), 122 (big whole numbers) and 127 (undefined) are no JSON."""
