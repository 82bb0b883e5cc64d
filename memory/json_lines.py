"""JSON lines: a file that is read line by line, in which each line is an object of texts."""

import json
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from contracts.errors import BadInput
from database import TENANT
from memory import bounds

LINE_BYTES = 1_000_000
"""A text of the greatest length fits, whatever characters of it are escaped."""
MARK = b"\xef\xbb\xbf"
TOLD = 20
"""Broken lines that are told of; the rest is counted."""
KINDS = {list: "list", str: "text", int: "number", float: "number", bool: "truth value", type(None): "null", dict: "object"}


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that cannot be used, and why. ``number`` counts from 1."""

    number: int
    why: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.why}"


def read(path: Path, example: str) -> Generator[tuple[int, dict[str, Any] | Fault]]:
    """Read a file, with the number of each line; empty ones are passed over. example: a right line. Raises: OSError."""
    for number, raw in enumerate(_raw(path), 1):
        if raw.strip():
            try:
                yield number, _object(raw, example)
            except BadInput as error:
                yield number, Fault(number, str(error))


def texts(given: Mapping[str, Any], fields: Iterable[str], needed: Iterable[str], example: str) -> dict[str, str]:
    """Return the fields that are texts and not empty. Raises: BadInput for one that is unknown, missing or no text."""
    fields = list(fields)
    if unknown := sorted(set(given) - set(fields)):
        raise BadInput(f"there is no field {unknown[0][: bounds.SHOWN]!r}; there are {', '.join(fields)}")
    if wrong := next((name for name in fields if not isinstance(given.get(name, ""), str | None)), None):
        raise BadInput(f"{wrong} is a JSON {KINDS[type(given[wrong])]}; right is a text")
    if missing := next((name for name in needed if not given.get(name)), None):
        raise BadInput(f"{missing} is missing or empty; right is {example}")
    return {name: given[name] for name in fields if given.get(name)}


def tenant(given: str) -> str:
    """Return a tenant's name. Raises: BadInput where it cannot be one."""
    if not TENANT.fullmatch(given):
        raise BadInput(f"tenant {given[: bounds.SHOWN]!r} is not a name: 1 to 63 of a-z, 0-9, - and _, starting with a letter or digit")
    return given


def told(faults: Iterable[Fault]) -> str:
    """Return faults as lines of text, in the file's order; of very many the first ones and their number."""
    listed = sorted(faults, key=lambda fault: fault.number)
    more = [f"and {len(listed) - TOLD} more"] if len(listed) > TOLD else []
    return "\n".join([*map(str, listed[:TOLD]), *more])


def _raw(path: Path) -> Generator[bytes]:
    with path.open("rb") as file:
        mark = MARK
        while raw := file.readline(LINE_BYTES + 1):
            if len(raw) > LINE_BYTES:
                _skip(file, raw)
            yield raw.removeprefix(mark)
            mark = b""


def _skip(file: BinaryIO, raw: bytes) -> None:
    # A line without an end must not fill the memory; its beginning is enough to say so.
    while raw and not raw.endswith(b"\n"):
        raw = file.readline(LINE_BYTES)


def _object(raw: bytes, example: str) -> dict[str, Any]:
    if len(raw) > LINE_BYTES:
        raise BadInput(f"it has more than {LINE_BYTES:,} bytes, and a text may have {bounds.TEXT_BYTES:,}: cut it into pieces")
    try:
        value = json.loads(raw.decode(), parse_constant=_refuse, object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise BadInput(f"it is not UTF-8: byte {error.start + 1} is {raw[error.start]:#04x}") from None
    except json.JSONDecodeError as error:
        raise BadInput(f"it is not JSON: {error.msg} at column {error.colno}; right is {example}") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"it is not JSON: {error}; right is {example}") from None
    if not isinstance(value, dict):
        raise BadInput(f"it is a JSON {KINDS[type(value)]}; right is {example}")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict[str, Any]()
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[: bounds.SHOWN]!r} stands there twice")
        found[name] = value
    return found


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON value")
