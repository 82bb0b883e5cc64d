"""Runs: one row for each lineage, inserted once, with its bundle pinned."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from database import Tx

# The row is inserted once and then only read: whatever a retry or a reset would pin, the first answer stands.
OPEN = """
INSERT INTO run (tenant, lineage, workflow_id, automation, pattern, bundle, starter, input, parent, parent_step, ancestors)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (tenant, lineage) DO NOTHING
"""
BUDGET = "INSERT INTO budget (tenant, scope, limit_micros) VALUES ($1, $2, $3) ON CONFLICT (tenant, scope) DO NOTHING"
READ = "SELECT * FROM run WHERE tenant = $1 AND lineage = $2"
FIND = "SELECT * FROM run WHERE tenant = $1 AND (workflow_id = $2 OR lineage = $2) ORDER BY started_at DESC LIMIT 1"
LATEST = "SELECT * FROM run WHERE tenant = $1 AND ($2::text IS NULL OR status = $2) ORDER BY started_at DESC LIMIT $3"
CLOSE = """
UPDATE run SET status = $3, summary = $4, ended_at = now() WHERE tenant = $1 AND lineage = $2 AND status = 'running'
"""
COUNTS = "SELECT status, count(*) AS count FROM run WHERE tenant = $1 GROUP BY status"
SPENT = "SELECT limit_micros, reserved, spent FROM budget WHERE tenant = $1 AND scope = $2"


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. Times are UTC."""

    lineage: str
    workflow_id: str
    automation: str
    pattern: str
    bundle: str
    starter: str
    input: dict[str, Any]
    status: str
    summary: str
    started_at: datetime
    ended_at: datetime | None
    paused_by: str | None = None
    paused_at: datetime | None = None
    paused_reason: str = ""
    cancelled_by: str | None = None
    cancelled_at: datetime | None = None
    ending: str | None = None
    """What a cancel said about what the run did: undo or keep."""
    parent: str | None = None
    """The lineage of the run it was forked from, and the step or decision where."""
    parent_step: str | None = None
    ancestors: list[str] = field(default_factory=list[str])
    """The lineages before its own, the first original first."""

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        return cls(**{name: row[name] for name in cls.__slots__})


def scope(lineage: str) -> str:
    """Return the name of a run's budget."""
    return f"run:{lineage}"


async def open_run(tx: Tx, run: RunRow, *, limit_micros: int) -> RunRow:
    """Insert the run and its budget once and return the row that stands. ``run``'s status and times are not used."""
    await tx.execute(
        OPEN, tx.tenant, run.lineage, run.workflow_id, run.automation, run.pattern, run.bundle, run.starter, run.input,
        run.parent, run.parent_step, run.ancestors,
    )  # fmt: skip
    await tx.execute(BUDGET, tx.tenant, scope(run.lineage), limit_micros)
    return RunRow.from_row(await tx.row(READ, tx.tenant, run.lineage))


async def read(tx: Tx, lineage: str) -> RunRow | None:
    """Return one run by its lineage."""
    row = await tx.row(READ, tx.tenant, lineage)
    return RunRow.from_row(row) if row else None


async def find(tx: Tx, name: str) -> RunRow | None:
    """Return the newest run of a workflow ID, or the run of a lineage."""
    row = await tx.row(FIND, tx.tenant, name)
    return RunRow.from_row(row) if row else None


async def latest(tx: Tx, *, status: str | None = None, limit: int = 50) -> list[RunRow]:
    """Return runs, newest first."""
    return [RunRow.from_row(row) for row in await tx.fetch(LATEST, tx.tenant, status, limit)]


async def close(tx: Tx, lineage: str, status: str, summary: str) -> bool:
    """End a run; return False where it had ended before."""
    return await tx.execute(CLOSE, tx.tenant, lineage, status, summary) > 0


async def spending(tx: Tx, lineage: str) -> tuple[int, int, int]:
    """Return a run's budget in micro-dollars: limit, reserved, spent."""
    row = await tx.row(SPENT, tx.tenant, scope(lineage))
    return (row["limit_micros"], row["reserved"], row["spent"]) if row else (0, 0, 0)


async def counts(tx: Tx) -> dict[str, int]:
    """Return how many runs have each status."""
    return {row["status"]: row["count"] for row in await tx.fetch(COUNTS, tx.tenant)}
