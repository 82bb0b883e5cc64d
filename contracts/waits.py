"""How long the other side asks us to wait."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST = 3600.0
"""Seconds that anybody may make us wait in one go: whoever means longer says so again."""


def retry_after(said: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, clipped; None where it says nothing. Source: RFC 9110, 10.2.3.

    now: the sender's own time, where it is known (its `Date` header), so that its clock need not be ours.
    """
    if not said:
        return None
    try:
        seconds = float(said)
    except ValueError:
        at = date(said)
        if at is None:
            return None
        seconds = (at - (now or datetime.now(UTC))).total_seconds()
    return clipped(seconds)


def date(said: str | None) -> datetime | None:
    """Return the time of an HTTP header, UTC; None where it is none. Source: RFC 9110, 5.6.7."""
    try:
        at = parsedate_to_datetime(said or "")
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def clipped(seconds: object) -> float | None:
    """Return a wait as it may be: at least 0, and not longer than anybody may ask for; None for what is no number."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or (isinstance(seconds, float) and math.isnan(seconds)):
        return None
    return float(min(LONGEST, max(0.0, seconds)))
