"""How the tools of other people's servers differ from what a person accepted of them."""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import rfc8785

from tools.lock import Definition

State = Literal["pinned", "added", "changed", "gone"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One tool of a source. lines: what differs, as a diff; empty where nothing does."""

    tool: str
    state: State
    lines: list[str]


def differences(accepted: Mapping[str, Definition], found: Sequence[Definition]) -> list[Difference]:
    """Compare what a source has now with what was accepted, by name."""
    now = {one.name: one for one in found}
    return [_difference(name, accepted.get(name), now.get(name)) for name in sorted({*accepted, *now})]


def _difference(name: str, before: Definition | None, now: Definition | None) -> Difference:
    state: State = "added" if before is None else "gone" if now is None else "pinned" if _same(before, now) else "changed"
    if state == "pinned":
        return Difference(name, state, [])
    lines = difflib.unified_diff(list(_lines(before)), list(_lines(now)), n=2, lineterm="")
    # The first two name files, and there are none.
    return Difference(name, state, [line for line in list(lines)[2:] if not line.startswith("@@")])


def _same(before: Definition, now: Definition) -> bool:
    try:
        return before.pin == now.pin
    except rfc8785.CanonicalizationError:
        return False


def _lines(definition: Definition | None) -> Iterator[str]:
    if definition is None:
        return
    for part, value in definition.as_json().items():
        if part == "name" or not value:
            continue
        yield f"{part}:"
        text = value if isinstance(value, str) else _readable(value)
        yield from (f"  {line}" for line in text.splitlines())


def _readable(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
