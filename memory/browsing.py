"""What is believed, for people to look through: the newest first, with the turns that it comes from."""

from dataclasses import dataclass
from datetime import datetime

from database import Tx

FIND = """
SELECT f.id, f.body, f.kind, f.subject, f.recorded_at, f.lineage, f.step,
       ARRAY(SELECT concat_ws(': ', nullif(e.speaker, ''), left(e.body, 400)) FROM fact_source source
               JOIN episode e ON e.tenant = $1 AND e.id = source.episode
              WHERE source.tenant = $1 AND source.fact = f.id ORDER BY e.session, e.seq LIMIT 5) AS sources
  FROM fact f
 WHERE f.tenant = $1 AND f.superseded_at IS NULL AND ($2 = '' OR f.body ILIKE $2 OR f.subject ILIKE $2)
 ORDER BY f.num DESC LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class Remembered:
    """One fact that is believed. ``sources`` are its first turns, in short; ``lineage`` and ``step`` say who wrote it."""

    id: str
    body: str
    kind: str
    subject: str
    recorded_at: datetime
    lineage: str | None
    step: str | None
    sources: list[str]


async def find(tx: Tx, words: str, *, limit: int = 50) -> list[Remembered]:
    """Return facts with these words in them, or any."""
    literally = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return [Remembered(**dict(row)) for row in await tx.fetch(FIND, tx.tenant, f"%{literally}%" if words else "", limit)]
