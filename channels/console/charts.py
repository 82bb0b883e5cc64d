"""Bars: each with its name and its number, so that it needs no axis and reads as a list too."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["", "bad"]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar. ``said`` is its number as people read it, ``width`` its length in hundredths of the longest."""

    label: str
    said: str
    width: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars below a title. kind: a class of the style sheet."""

    title: str
    bars: tuple[Bar, ...]
    kind: Kind = ""


def chart(title: str, rows: Sequence[tuple[str, float, str]], kind: Kind = "") -> Chart:
    """Draw rows of name, number, and the number as people read it."""
    most = max((value for _, value, _ in rows), default=0.0) or 1.0
    return Chart(title, tuple(Bar(label, said, round(100 * value / most, 1)) for label, value, said in rows), kind)
