"""What surrounds a request: of its run, what the rules look at, and what a card shows."""

from dataclasses import dataclass
from typing import Any

from database import Tx
from ledger.runs import scope

OF = """
SELECT run.automation, run.input, coalesce(d.result -> 'taint', '[]') AS taint, coalesce(b.spent, 0) AS spent,
       coalesce(b.reserved, 0) AS reserved, coalesce(b.limit_micros, 0) AS limit_micros,
       (SELECT coalesce(array_agg(DISTINCT j.name), '{}') FROM journal j
         WHERE j.tenant = run.tenant AND j.lineage = run.lineage AND j.step = s.decision AND j.kind = 'lookup' AND j.state = 'done') AS read
  FROM run
  LEFT JOIN plan_step s ON s.tenant = run.tenant AND s.lineage = run.lineage AND s.step = $3
  LEFT JOIN decision d ON d.tenant = run.tenant AND d.lineage = run.lineage AND d.step = s.decision
  LEFT JOIN budget b ON b.tenant = run.tenant AND b.scope = $4
 WHERE run.tenant = $1 AND run.lineage = $2
"""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Money is in micro-dollars. taint: what kinds of sources its decision had read; read: by which tools."""

    automation: str
    input: dict[str, Any]
    taint: tuple[str, ...]
    read: tuple[str, ...]
    spent: int
    reserved: int
    limit: int

    @property
    def left(self) -> int:
        """What the run may still spend."""
        return self.limit - self.spent - self.reserved


async def of(tx: Tx, lineage: str, step: str) -> Surroundings | None:
    """Return what surrounds a step of a run; None where there is no such run."""
    row = await tx.row(OF, tx.tenant, lineage, step, scope(lineage))
    if row is None:
        return None
    return Surroundings(
        automation=row["automation"], input=row["input"], taint=tuple(row["taint"]), read=tuple(sorted(row["read"])),
        spent=row["spent"], reserved=row["reserved"], limit=row["limit_micros"],
    )  # fmt: skip
