"""What a prompt is put together from: the parts that fit into a budget of tokens, and the names of those that did not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

Counter = Callable[[str], int]
"""Tells how many tokens a text has; one that is not exact must err upwards."""
SEPARATOR = "\n\n"
CUT = "\n[…]"
"""Stands where a part was cut off."""


def bound(text: str) -> int:
    """Return the most tokens a text can have: no tokenizer makes more of them than the text has bytes."""
    return len(text.encode(errors="replace"))


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of what the model might read.

    rank: 0 comes into the budget first; equal ranks in the order given. cut: whether its beginning alone is of use.
    """

    name: str
    text: str
    rank: int = 0
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Left:
    """A part that is not there, or not all of it. tokens: what was left out, as the counter says."""

    name: str
    tokens: int
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """What fits, in the order the parts were given. used: tokens of ``text``, never more than the budget."""

    parts: tuple[Part, ...]
    used: int
    left_out: tuple[Left, ...]

    @property
    def text(self) -> str:
        """The whole of it."""
        return SEPARATOR.join(part.text for part in self.parts)


def assemble(parts: Sequence[Part], budget_tokens: int, *, count: Counter = bound) -> Context:
    """Return what fits into the budget, and what was left out; the same parts and budget give the same context.

    Parts enter by rank. One that does not fit is cut where it allows that, else left out; a smaller one behind it may still fit.
    """
    held: dict[int, Part] = {}
    for nth in sorted(range(len(parts)), key=lambda nth: (parts[nth].rank, nth)):
        if not parts[nth].text:
            continue
        if _used(held | {nth: parts[nth]}, count) <= budget_tokens:
            held[nth] = parts[nth]
        elif parts[nth].cut and (beginning := _beginning(held, nth, parts[nth], budget_tokens, count)):
            held[nth] = beginning
    chosen = tuple(held[nth] for nth in sorted(held))
    left = tuple(_left(part, held.get(nth), count) for nth, part in enumerate(parts) if part.text and held.get(nth) != part)
    return Context(chosen, _used(held, count), left)


def _used(held: dict[int, Part], count: Counter) -> int:
    # The joined text is what is counted: a tokenizer may make more of two texts together than of each by itself.
    return count(SEPARATOR.join(held[nth].text for nth in sorted(held))) if held else 0


def _beginning(held: dict[int, Part], nth: int, part: Part, budget: int, count: Counter) -> Part | None:
    """Return as much of a part as fits, up to the end of a word, or None."""
    fits, too_long, found = 0, len(part.text), None
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        tried = replace(part, text=_trimmed(part.text[:middle]) + CUT)
        if _used(held | {nth: tried}, count) <= budget:
            fits, found = middle, tried
        else:
            too_long = middle
    return found if found and found.text != CUT else None


def _trimmed(text: str) -> str:
    at = max(text.rfind(" "), text.rfind("\n"))
    return text[:at].rstrip() if at > 0 else text


def _left(part: Part, kept: Part | None, count: Counter) -> Left:
    if kept is None:
        return Left(part.name, count(part.text))
    return Left(part.name, max(0, count(part.text) - count(kept.text.removesuffix(CUT))), cut=True)
