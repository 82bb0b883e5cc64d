"""How the house is doing, in numbers: how long decisions take, what runs cost, how often calls fail and are tried again."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Self

from database import Tx

DECISIONS = """
SELECT count(*) AS count, coalesce(sum(fence - 1), 0) AS again,
       coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY took), 0)::float8 AS p50,
       coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY took), 0)::float8 AS p95,
       coalesce(percentile_cont(0.99) WITHIN GROUP (ORDER BY took), 0)::float8 AS p99
  FROM (SELECT fence, extract(epoch FROM done_at - started_at) AS took FROM decision
         WHERE tenant = $1 AND done_at > now() - make_interval(days => $2)) AS made
"""
RUNS = """
SELECT run.started_at::date AS day, count(*) AS runs, count(*) FILTER (WHERE run.status = 'completed') AS completed,
       count(*) FILTER (WHERE run.status = 'failed') AS failed,
       coalesce(sum(budget.spent), 0)::bigint AS spent,
       coalesce(sum(budget.spent) FILTER (WHERE run.status = 'completed'), 0)::bigint AS spent_completed
  FROM run LEFT JOIN budget ON budget.tenant = run.tenant AND budget.scope = 'run:' || run.lineage
 WHERE run.tenant = $1 AND run.started_at > now() - make_interval(days => $2)
 GROUP BY 1 ORDER BY 1
"""
TOOLS = """
SELECT tool, count(*) AS count, count(*) FILTER (WHERE state IN ('failed', 'unknown')) AS failed, sum(attempts - 1) AS again,
       coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - claimed_at)), 0)::float8 AS p50,
       coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - claimed_at)), 0)::float8 AS p95
  FROM effect WHERE tenant = $1 AND claimed_at > now() - make_interval(days => $2)
 GROUP BY tool ORDER BY count(*) DESC, tool LIMIT 20
"""


@dataclass(frozen=True, slots=True)
class Pace:
    """How decisions went. again: attempts that took the place of one that died; times in seconds."""

    count: int
    again: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Day:
    """The runs that began on one day. Money is in micro-dollars."""

    day: date
    runs: int
    completed: int
    failed: int
    spent: int
    spent_completed: int

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        return cls(**dict(row))


@dataclass(frozen=True, slots=True)
class ToolPace:
    """How one tool's calls went. again: attempts after the first; times in seconds."""

    tool: str
    count: int
    failed: int
    again: int
    p50: float
    p95: float


async def decisions(tx: Tx, days: int) -> Pace:
    """Return how decisions went that were made within so many days."""
    return Pace(**dict(await tx.row(DECISIONS, tx.tenant, days) or {}))


async def by_day(tx: Tx, days: int) -> list[Day]:
    """Return the runs of so many days, oldest first; days without any are left out."""
    return [Day.from_row(row) for row in await tx.fetch(RUNS, tx.tenant, days)]


async def by_tool(tx: Tx, days: int) -> list[ToolPace]:
    """Return how the calls of each tool went, the busiest first."""
    return [ToolPace(**dict(row)) for row in await tx.fetch(TOOLS, tx.tenant, days)]
