"""What a database looks for when it is to find a name in a text: made once for an erasure, not once a row."""

from typing import NamedTuple

from database import Tx
from memory import naming

SIEVE = "SELECT name_likes($1) AS likes, name_hidden($1) AS hidden, name_pattern($1) AS pattern"


class Sieve(NamedTuple):
    """likes, hidden: for `named`, which tells quickly what may have the name. pattern: for `forgotten`, which takes it out."""

    likes: list[str]
    hidden: str
    pattern: str


async def of(tx: Tx, subject: str) -> Sieve:
    """Return that for a subject as it was given."""
    row = await tx.row(SIEVE, naming.spellings(subject))
    return Sieve(**dict(row or {}))
