"""Records as they come in, for those who watch: every one at least once, in the order in which they were written where that is known."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from database import Tx

# Whoever began before us and has not ended yet may still bring records, under any `seq`. Those of transactions below the mark are all
# there, so what is asked for the next time begins at it.
MARK = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"
SINCE = """
SELECT seq, id, kind, lineage, step, at, body, xid::text AS xid, pg_snapshot_xmin(pg_current_snapshot())::text AS mark FROM record
 WHERE tenant = $1 AND xid >= $2::text::xid8 AND ($3::text IS NULL OR lineage = $3) AND NOT (seq = ANY ($4)) ORDER BY xid, seq LIMIT $5
"""
BATCH = 500


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One record as a live page has it. ``mark`` and ``seq`` are where a page goes on that has seen it.

    Equal to itself alone, so that what was written of it can be kept for the next page that wants it.
    """

    seq: int
    kind: str
    lineage: str | None
    step: str | None
    at: datetime
    body: dict[str, Any]
    xid: int
    mark: int

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        mark = min(int(row["mark"]), int(row["xid"]))
        return cls(row["seq"], row["kind"], row["lineage"], row["step"], row["at"], row["body"], int(row["xid"]), mark)

    @property
    def id(self) -> str:
        """What a browser sends back as `Last-Event-ID`."""
        return f"{self.mark}-{self.seq}"


async def mark(tx: Tx) -> int:
    """Return the transaction below which nothing new will come."""
    return int(await tx.value(MARK))


async def since(tx: Tx, mark: int, *, lineage: str | None = None, seen: list[int] | None = None, limit: int = BATCH) -> list[Entry]:
    """Return records of transactions from ``mark`` on, but those ``seen`` (by seq)."""
    return [Entry.from_row(row) for row in await tx.fetch(SINCE, tx.tenant, str(mark), lineage, seen or [], limit)]
