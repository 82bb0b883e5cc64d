"""Facts: what is believed, from where it is known, when it holds in the world and when it was believed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from database import Tx
from memory import bounds, likeness, storing, writes
from memory.storing import NewFact, Stored, Written
from memory.writes import WriteKey, digest

COLUMNS = """
id, num, scope, kind, subject, session, speaker, body, at, valid_from, valid_to, recorded_at, superseded_at, superseded_by, revises,
confidence, near, lineage, step
"""
READ = f"SELECT {COLUMNS} FROM fact WHERE tenant = $1 AND id = $2"  # noqa: S608
AS_OF = f"""
SELECT {COLUMNS} FROM fact
 WHERE tenant = $1 AND scope = $2 AND ($3::text IS NULL OR subject = $3)
   AND recorded_at <= coalesce($4, statement_timestamp()) AND (superseded_at IS NULL OR superseded_at > coalesce($4, statement_timestamp()))
   AND (valid_from IS NULL OR valid_from <= coalesce($5, statement_timestamp()))
   AND (valid_to IS NULL OR valid_to > coalesce($5, statement_timestamp()))
 ORDER BY num LIMIT $6
"""  # noqa: S608
HISTORY = f"""
WITH RECURSIVE family AS (
    SELECT id, revises, superseded_by FROM fact WHERE tenant = $1 AND id = $2
    UNION
    SELECT f.id, f.revises, f.superseded_by FROM family AS seen, fact AS f
     WHERE f.tenant = $1 AND (f.id = seen.revises OR f.id = seen.superseded_by)
)
SELECT {COLUMNS} FROM fact WHERE tenant = $1 AND (id IN (SELECT id FROM family) OR id = $2) ORDER BY num
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Fact:
    """One row. Believed from ``recorded_at`` until ``superseded_at``; ``revises`` is the row whose place it took."""

    id: str
    num: int
    scope: str
    kind: str
    subject: str
    session: str
    speaker: str
    body: str
    at: datetime
    valid_from: datetime | None
    valid_to: datetime | None
    recorded_at: datetime
    superseded_at: datetime | None
    superseded_by: str | None
    revises: str | None
    confidence: float | None
    near: str | None
    lineage: str | None
    step: str | None

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        return cls(**dict(row))


async def write(tx: Tx, key: WriteKey, facts: Sequence[NewFact], *, recalled: Sequence[str] = ()) -> Written:
    """Remember facts once, however often this is repeated with the same key: a repetition gets the first answer.

    recalled: ids of facts that the writer had been shown; what merely repeats one of them is not stored.
    Raises: BadInput for what cannot be kept, and then nothing is; also where the key was used for another content.
    """
    if (first := await writes.begin(tx, key, digest("write", *facts))) is not None:
        return answer(first)
    stored = await storing.put(tx, key, facts, recalled=recalled)
    await likeness.link_near(tx, [one.num for one in stored if one.num is not None and one.outcome == "new"])
    await writes.settle(tx, key, [asdict(one) for one in stored])
    return Written(tuple(stored))


async def read(tx: Tx, id: str) -> Fact | None:
    """Return one fact, whether it is still believed or not."""
    row = await tx.row(READ, tx.tenant, id)
    return Fact.from_row(row) if row else None


async def as_of(
    tx: Tx,
    *,
    scope: str = "default",
    subject: str | None = None,
    believed: datetime | None = None,
    valid: datetime | None = None,
    limit: int = 100,
) -> list[Fact]:
    """Return what was believed at one moment to hold at another, oldest first; None: now, any subject."""
    moments = bounds.moment(believed, "believed"), bounds.moment(valid, "valid")
    return [Fact.from_row(row) for row in await tx.fetch(AS_OF, tx.tenant, scope, subject, *moments, limit)]


async def history(tx: Tx, id: str) -> list[Fact]:
    """Return every row that a fact took its place from or gave it to, oldest first."""
    return [Fact.from_row(row) for row in await tx.fetch(HISTORY, tx.tenant, id)]


def answer(first: Any) -> Written:
    """Return the answer that a write was given the first time."""
    return Written(tuple(Stored(**one) for one in first), repeated=True)
