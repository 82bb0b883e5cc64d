"""What may be remembered: texts, names and moments that everything which keeps them can keep."""

import re
import unicodedata
from datetime import UTC, datetime

from contracts.errors import BadInput
from database import kept

TEXT_BYTES = 100_000
"""What one episode or fact may have at most, as UTF-8; a book comes in pieces."""
NAME_LENGTH = 200
SHOWN = 60  # characters of a value that an error repeats
HIDDEN = frozenset({"Cc", "Cs"})
# What a reader does not see, as in `bare` of migration 0015. Source: Unicode, DerivedCoreProperties.txt, Default_Ignorable_Code_Point.
UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    "\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def text(value: str, what: str) -> str:
    """Return a text as it is kept. Raises: BadInput where there is nothing to read in it, or too much."""
    found = kept(value)
    if not (found if found.isascii() else UNSEEN.sub("", found)).strip():
        raise BadInput(f"{what} is empty: there is nothing to remember")
    if (size := len(found.encode())) > TEXT_BYTES:
        raise BadInput(f"{what} has {size:,} bytes; {TEXT_BYTES:,} is the most: cut it into pieces with ids of their own")
    return found


def name(value: str, what: str, *, empty: bool = True) -> str:
    """Return a name (of a subject, session, speaker, scope or kind; an id). Raises: BadInput where it cannot be one."""
    if not value and not empty:
        raise BadInput(f"{what} is empty")
    if len(value) > NAME_LENGTH:
        raise BadInput(f"{what} has {len(value):,} characters; {NAME_LENGTH} is the most")
    if not value.isprintable() and any(unicodedata.category(character) in HIDDEN for character in value):
        raise BadInput(f"{what} {value[:SHOWN]!r} has control characters")
    return value


def id(value: str, what: str) -> str:
    """Return an id. Raises: BadInput where it cannot be one, or where somebody who reads it would take it for another."""
    name(value, what, empty=False)
    if not value.isascii() and (unseen := UNSEEN.search(value)):
        raise BadInput(f"{what} {value[:SHOWN]!a} has a character that nobody sees, U+{ord(unseen.group()):04X}: leave it out")
    return value


def moment(value: datetime | None, what: str) -> datetime | None:
    """Return a moment in UTC. Raises: BadInput where it has no time zone or lies outside the years 1 to 9999."""
    if value is None:
        return None
    if value.tzinfo is None:
        raise BadInput(f"{what} {value.isoformat()} has no time zone: write {value.isoformat()}Z for UTC")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise BadInput(f"{what} {value.isoformat()} lies outside the years 1 to 9999 in UTC") from None


def period(begin: datetime | None, end: datetime | None, what: str) -> tuple[datetime | None, datetime | None]:
    """Return from when until when. Raises: BadInput where it ends before it begins."""
    begin, end = moment(begin, f"{what}: valid_from"), moment(end, f"{what}: valid_to")
    if begin and end and begin >= end:
        raise BadInput(f"{what}: valid_to {end.isoformat()} is not after valid_from {begin.isoformat()}")
    return begin, end
