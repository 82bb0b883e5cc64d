"""Lists for people: runs with what they cost and wait for, found by their words."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from database import Tx

RUNS = """
SELECT run.lineage, run.workflow_id, run.automation, run.status, run.summary, run.starter, run.started_at, run.ended_at,
       run.paused_at IS NOT NULL AND run.status = 'running' AS paused, coalesce(budget.spent, 0) AS spent,
       coalesce(budget.limit_micros, 0) AS limit_micros,
       (SELECT count(*) FROM approval a WHERE a.tenant = $1 AND a.lineage = run.lineage AND a.state = 'pending') AS waiting
  FROM run LEFT JOIN budget ON budget.tenant = run.tenant AND budget.scope = 'run:' || run.lineage
 WHERE run.tenant = $1
   AND ($2::text IS NULL OR run.status = $2)
   AND ($3::text IS NULL OR run.automation = $3)
   AND ($4 = '' OR run.workflow_id ILIKE $4 OR run.summary ILIKE $4 OR run.starter ILIKE $4 OR run.lineage ILIKE $4)
   AND ($5::timestamptz IS NULL OR (run.started_at, run.lineage) < ($5, $6))
 ORDER BY run.started_at DESC, run.lineage DESC LIMIT $7
"""
AUTOMATIONS = "SELECT DISTINCT automation FROM alias WHERE tenant = $1 ORDER BY automation"
CALLS = """
SELECT step, idx, fence, kind, state, name, cost, started_at, ended_at, fence < max(fence) OVER (PARTITION BY step, idx) AS superseded
  FROM journal WHERE tenant = $1 AND lineage = $2 ORDER BY started_at, step, idx, fence LIMIT 500
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """One run of a list. Money is in micro-dollars, ``waiting`` counts what waits for a person; times are UTC."""

    lineage: str
    workflow_id: str
    automation: str
    status: str
    summary: str
    starter: str
    started_at: datetime
    ended_at: datetime | None
    paused: bool
    spent: int
    limit_micros: int
    waiting: int

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        return cls(**dict(row))

    @property
    def state(self) -> str:
        """Its status, or that it is paused."""
        return "paused" if self.paused else self.status


@dataclass(frozen=True, slots=True)
class Called:
    """One model call or look-up. superseded: an attempt after it took its place."""

    step: str
    idx: int
    fence: int
    kind: str
    state: str
    name: str
    cost: int
    started_at: datetime
    ended_at: datetime | None
    superseded: bool


async def runs(
    tx: Tx, *, status: str | None = None, automation: str | None = None, words: str = "", before: tuple[datetime, str] | None = None,
    limit: int = 100,
) -> list[Listed]:  # fmt: skip
    """Return runs, newest first. words: found in name, summary or starter. before: start and lineage of the last one seen."""
    pattern = f"%{_literally(words)}%" if words else ""
    at, lineage = before or (None, None)
    return [Listed.from_row(row) for row in await tx.fetch(RUNS, tx.tenant, status, automation, pattern, at, lineage, limit)]


async def automations(tx: Tx) -> list[str]:
    """Return the names of what was applied."""
    return [row["automation"] for row in await tx.fetch(AUTOMATIONS, tx.tenant)]


async def calls(tx: Tx, lineage: str) -> list[Called]:
    """Return a run's model calls and look-ups, oldest first."""
    return [Called(**dict(row)) for row in await tx.fetch(CALLS, tx.tenant, lineage)]


def _literally(words: str) -> str:
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
