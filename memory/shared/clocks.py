"""Hybrid logical clocks: close to the time of day, and never behind what its writer has seen."""

from collections.abc import Callable
from typing import NamedTuple, Self

from contracts.errors import BadInput

TIE_BITS = 16
MOST_TIE = 2**TIE_BITS - 1
MOST_MILLIS = 2**47 - 1
"""What fits, with the count, into a bigint."""
DRIFT_MILLIS = 60_000
"""How far ahead of the database's clock a stamp may be: one from the far future would win for ever."""


class Stamp(NamedTuple):
    """A moment: milliseconds since 1970 (UTC), and a count of what happened within them. Stamps are ordered.

    Source: Kulkarni et al., Logical Physical Clocks, OPODIS 2014: figure 5, and section 6.2 for the 48 and 16 bits.
    """

    millis: int
    tie: int = 0

    @classmethod
    def of(cls, packed: int) -> Self:
        """Return the stamp that was packed into one number."""
        return cls(packed >> TIE_BITS, packed & MOST_TIE)

    @property
    def packed(self) -> int:
        """Return the stamp as one number of at most 63 bits that orders as stamps do."""
        return self.millis << TIE_BITS | self.tie

    def __str__(self) -> str:
        return f"{self.millis}.{self.tie}"


ZERO = Stamp(0)


def after(now: int, *seen: Stamp) -> Stamp:
    """Return a stamp behind everything ``seen``, the clock's own last one among it, and not before ``now`` (milliseconds)."""
    latest = max(seen, default=ZERO)
    if now > latest.millis:
        return Stamp(now)
    if latest.tie < MOST_TIE:
        return Stamp(latest.millis, latest.tie + 1)
    # The count is full: what drifts by a millisecond is still ordered.
    return Stamp(latest.millis + 1)


def bounded(stamp: Stamp, now: int) -> Stamp:
    """Return a writer's stamp. Raises: BadInput where it is none, or too far ahead of ``now`` (milliseconds, the database's)."""
    if not (0 <= stamp.millis <= MOST_MILLIS and 0 <= stamp.tie <= MOST_TIE):
        raise BadInput(f"stamp {stamp} is none: milliseconds since 1970 and a count from 0 to {MOST_TIE} are right")
    if stamp.millis > now + DRIFT_MILLIS:
        ahead = (stamp.millis - now) // 1000
        raise BadInput(f"stamp {stamp} is {ahead} s ahead of the database's clock; at most {DRIFT_MILLIS // 1000} are taken: set the clock")
    return stamp


class Clock:
    """One writer's clock. now: returns milliseconds since 1970."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.last = ZERO

    def tick(self) -> Stamp:
        """Return the stamp of something that happens here."""
        return self.receive(ZERO)

    def receive(self, stamp: Stamp) -> Stamp:
        """Take in what another writer did, so that whatever happens here next is behind it; return the stamp of taking it in."""
        self.last = after(self._now(), self.last, stamp)
        return self.last
