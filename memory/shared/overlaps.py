"""Where two edits of a text meet: both texts stand after the join, and nobody has read them together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memory.shared.edits import Edit
from memory.shared.merges import Clash, Since

MOST_SPANS = 50
"""Of one clash; how many there were stands in its reason."""
MOST_SHOWN = 1024
"""Bytes of each side of a span."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes ``start`` to ``end`` of a text were taken out, and others put there."""

    start: int
    end: int
    inserted: str = ""


def spans(delta: Sequence[Mapping[str, Any]]) -> list[Span]:
    """Return what a delta of the library changed, in order. Its lengths are bytes."""
    found: list[Span] = []
    at = 0
    for part in delta:
        if "retain" in part:
            at += part["retain"]
            continue
        last = found.pop() if found and found[-1].end == at else Span(at, at)
        if "delete" in part:
            at += part["delete"]
        found.append(Span(last.start, at, last.inserted + part.get("insert", "")))
    return found


def clashes(text: str, mine: Sequence[Span], theirs: Sequence[Span], edit: Edit, since: Sequence[Since]) -> tuple[Clash, ...]:
    """Return one clash with all places in which both sides changed the text that ``edit`` had seen, or none."""
    met = _met(mine, theirs)
    if not met:
        return ()
    raw, others = text.encode(), ", ".join(dict.fromkeys(one.writer for one in since[-5:]))
    ours = list(dict.fromkeys(one for one, _ in met))
    their = list(dict.fromkeys(one for _, one in met))
    reason = (
        f"{edit.writer} wrote on version {edit.base} in {len(ours)} places where {others} had written since then:"
        " both texts stand, and nobody has read them together"
    )
    part = f"characters {_position(raw, met[0][0].start)} to {_position(raw, met[-1][0].end)} of version {edit.base}"
    return (Clash(_shown(raw, their), others, _shown(raw, ours), edit.writer, reason, part=part, kind="both"),)


def _met(mine: Sequence[Span], theirs: Sequence[Span]) -> list[tuple[Span, Span]]:
    met: list[tuple[Span, Span]] = []
    first = 0
    for one in mine:
        while first < len(theirs) and theirs[first].end < one.start:
            first += 1
        reached = first
        while reached < len(theirs) and theirs[reached].start <= one.end:
            other, reached = theirs[reached], reached + 1
            if _meet(one, other) and (one.inserted or other.inserted):
                met.append((one, other))
    return met


def _meet(one: Span, other: Span) -> bool:
    if one.start == one.end and other.start == other.end:
        return one.start == other.start
    if one.start == one.end:
        return other.start < one.start < other.end
    if other.start == other.end:
        return one.start < other.start < one.end
    return max(one.start, other.start) < min(one.end, other.end)


def _shown(raw: bytes, found: Sequence[Span]) -> list[dict[str, Any]]:
    return [
        {"at": _position(raw, span.start), "removed": _text(raw[span.start : span.end]), "inserted": _text(span.inserted.encode())}
        for span in found[:MOST_SPANS]
    ]


def _text(raw: bytes) -> str:
    return raw[:MOST_SHOWN].decode(errors="replace")


def _position(raw: bytes, at: int) -> int:
    return len(raw[:at].decode(errors="replace"))
