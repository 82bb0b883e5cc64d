"""Steps of a plan: their arguments, reasons, states and outputs, which history never carries."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from database import Tx

COLUMNS = "step, decision, tool, arguments, needs, why, approval, status, n, detail, output, ended_at, inherited, retries"
OF_RUN = f"SELECT {COLUMNS} FROM plan_step WHERE tenant = $1 AND lineage = $2 ORDER BY position, step"  # noqa: S608
READ = f"SELECT {COLUMNS} FROM plan_step WHERE tenant = $1 AND lineage = $2 AND step = $3"  # noqa: S608
END = """
UPDATE plan_step SET status = $4, detail = $5, output = $6, ended_at = now()
 WHERE tenant = $1 AND lineage = $2 AND step = $3 AND ended_at IS NULL
"""
MARK = "UPDATE plan_step SET status = $4, detail = $5 WHERE tenant = $1 AND lineage = $2 AND step = $3 AND ended_at IS NULL"
REWRITE = "UPDATE plan_step SET arguments = $4 WHERE tenant = $1 AND lineage = $2 AND step = $3 AND ended_at IS NULL"
AGAIN = "UPDATE plan_step SET n = $4 WHERE tenant = $1 AND lineage = $2 AND step = $3 AND n = $4 - 1"
LEFT_OPEN = """
UPDATE plan_step SET status = 'skipped', detail = $3, ended_at = now() WHERE tenant = $1 AND lineage = $2 AND ended_at IS NULL
"""
DONE = "SELECT step FROM plan_step WHERE tenant = $1 AND lineage = $2 AND step = ANY($3) AND status = 'done'"
FAILED = "SELECT step, tool, detail FROM plan_step WHERE tenant = $1 AND lineage = $2 AND step = ANY($3) ORDER BY position"


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step. ``n`` counts the attempts that may have taken effect; see contracts.effects."""

    step: str
    decision: str
    tool: str
    arguments: dict[str, Any]
    needs: list[str]
    why: str
    approval: bool
    status: str
    n: int
    detail: str
    output: dict[str, Any] | None
    ended_at: datetime | None
    inherited: str | None = None
    """In a fork: the key under which the original did it."""
    retries: int = 0
    """How often it was opened again after it had ended."""

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        return cls(**dict(row))


async def of_run(tx: Tx, lineage: str) -> list[StepRow]:
    """Return a run's steps in the order they were planned."""
    return [StepRow.from_row(row) for row in await tx.fetch(OF_RUN, tx.tenant, lineage)]


async def read(tx: Tx, lineage: str, step: str) -> StepRow | None:
    """Return one step."""
    row = await tx.row(READ, tx.tenant, lineage, step)
    return StepRow.from_row(row) if row else None


async def end(tx: Tx, lineage: str, step: str, status: str, detail: str = "", output: dict[str, Any] | None = None) -> None:
    """End a step."""
    await tx.execute(END, tx.tenant, lineage, step, status, detail[:500], output)


async def mark(tx: Tx, lineage: str, step: str, status: str, detail: str = "") -> None:
    """Say what an open step waits for, so that `show` can explain it."""
    await tx.execute(MARK, tx.tenant, lineage, step, status, detail[:500])


async def rewrite(tx: Tx, lineage: str, step: str, arguments: dict[str, Any]) -> None:
    """Take over the arguments that a person wrote instead."""
    await tx.execute(REWRITE, tx.tenant, lineage, step, arguments)


async def again(tx: Tx, lineage: str, step: str, n: int) -> None:
    """Raise a step's ``n``: the attempt before it did not happen, was undone, or a person allowed another."""
    await tx.execute(AGAIN, tx.tenant, lineage, step, n)


async def skip_open(tx: Tx, lineage: str, reason: str) -> int:
    """End every open step as skipped; return how many there were."""
    return await tx.execute(LEFT_OPEN, tx.tenant, lineage, reason)


async def done_among(tx: Tx, lineage: str, steps: list[str]) -> list[str]:
    """Return those of the named steps that are done."""
    return [row["step"] for row in await tx.fetch(DONE, tx.tenant, lineage, steps)] if steps else []


async def failures(tx: Tx, lineage: str, steps: list[str]) -> list[dict[str, Any]]:
    """Return step, tool and detail of the named steps, in the plan's order."""
    return [dict(row) for row in await tx.fetch(FAILED, tx.tenant, lineage, steps)] if steps else []
