"""Declarations: how each field of a shared document is merged, and what may stand in one."""

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal, get_args

import rfc8785

from contracts.errors import BadInput
from contracts.message import unkept

Merge = Literal["versioned", "lww", "escalate", "crdt:counter", "crdt:set", "crdt:map", "crdt:text"]
"""`versioned`: compare and swap. `lww`: the last writer wins. `escalate`: a person rules. `crdt:…`: both sides, joined by rule."""
MERGES: tuple[str, ...] = get_args(Merge)
REPLICATED = ("crdt:map", "crdt:text")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,199}")
NAME_LENGTH = 200
MOST_FIELDS = 100
MOST_BYTES = 65_536
"""Of one value, as canonical JSON."""
MOST_DEPTH, WRAPPING = 32, 8
EMPTY: dict[str, Any] = {"crdt:counter": 0, "crdt:set": [], "crdt:map": {}, "crdt:text": ""}
"""What stands in a field at version 0; in all others it is null."""


def declared(document: str, fields: Mapping[str, str]) -> dict[str, str]:
    """Return a document's declaration, field by field. Raises: BadInput where it cannot be one."""
    named("a document's id", document)
    if not 1 <= len(fields) <= MOST_FIELDS:
        raise BadInput(f"document {document!r} declares {len(fields)} fields: 1 to {MOST_FIELDS} are right")
    for field, merge in fields.items():
        named(f"a field of document {document!r}", field)
        if merge not in MERGES:
            raise BadInput(f"field {field!r} of document {document!r} declares the merge {merge!r}: one of {', '.join(MERGES)} is right")
    return dict(fields)


def named(what: str, name: str) -> str:
    """Return a name. Raises: BadInput where it is none."""
    if not NAME.fullmatch(name):
        raise BadInput(f"{what} is {name[:80]!r}: 1 to 200 letters, digits and _ . : / - are right, beginning with a letter or digit")
    return name


def canonical(what: str, value: Any, *, most: int = MOST_BYTES, wrapped: bool = False) -> str:
    """Return a value's canonical JSON. Source: RFC 8785.

    wrapped: it holds values that were checked. Raises: BadInput where it nests too deep, is longer than ``most`` bytes, or holds what
    JSON cannot keep.
    """
    if depth(value) > MOST_DEPTH + WRAPPING * wrapped:
        raise BadInput(f"{what} nests deeper than {MOST_DEPTH}")
    if found := unkept(value):
        where, why = found
        raise BadInput(f"{what}{': ' if where else ''}{'.'.join(map(str, where))[:200]}: {why}")
    try:
        text = rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise BadInput(f"{what} is not JSON: {str(error)[:200]}") from None
    if len(text) > most:
        raise BadInput(f"{what} has {len(text)} bytes: at most {most} are kept; right is a reference to where it lies")
    return text.decode()


def depth(value: Any) -> int:
    """Return how deep lists and mappings nest; of what nests beyond all bounds, only that it does."""
    level, found = [value], 0
    while (level := [part for part in level if isinstance(part, dict | list | tuple)]) and found <= MOST_DEPTH + WRAPPING:
        level, found = [child for part in level for child in (part.values() if isinstance(part, dict) else part)], found + 1
    return found


def digest(text: str) -> str:
    """Return the SHA-256 of canonical JSON, as hex."""
    return sha256(text.encode()).hexdigest()


def parsed(text: str) -> Any:
    """Return the value of canonical JSON, its whole numbers as such."""
    return json.loads(text)


def same(one: Any, other: Any) -> bool:
    """Tell whether two kept values are the same JSON: 1 and 1.0 are, 1 and true are not."""
    return rfc8785.dumps(one) == rfc8785.dumps(other)


def texts(value: Any) -> list[str]:
    """Return every text within a value, names of fields among them."""
    match value:
        case str():
            return [value]
        case dict():
            return [text for name, child in value.items() for text in (str(name), *texts(child))]
        case list():
            return [text for child in value for text in texts(child)]
        case _:
            return []
