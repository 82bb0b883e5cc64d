"""Forks: where one leaves its original, what it takes along, and what its whole family has done.

A fork shares what its original did before the point: those steps are done in it too, under the keys of the original, and never run
again. Nothing here changes a row of the original.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.errors import BadInput
from database import Tx
from ledger import runs, steps
from ledger.runs import RunRow
from ledger.steps import StepRow

# A step that wrote something is done as long as its effect stands: what was undone since has to be done again, and so has what is
# being undone, or may have been.
UNDONE = """
SELECT s.step FROM plan_step s
  JOIN effect e ON e.tenant = s.tenant AND e.key = coalesce(s.inherited, concat_ws('/', s.lineage, s.step, s.n))
 WHERE s.tenant = $1 AND s.lineage = $2 AND s.status = 'done'
   AND (e.state <> 'done' OR EXISTS (SELECT FROM effect u WHERE u.tenant = e.tenant AND u.undoes = e.key AND u.state <> 'failed'))
"""
# Forks and undos of one family go one after the other: a fork shares nothing that is being undone, and an undo sees who shares.
ONE_BY_ONE = """
SELECT pg_advisory_xact_lock(hashtextextended(concat_ws('/', 'family', $1::text, coalesce(ancestors[1], lineage)), 0))
  FROM run WHERE tenant = $1 AND lineage = $2
"""
# A fork that failed or was cancelled counts on nothing any more.
SHARERS = """
WITH RECURSIVE below AS (
    SELECT lineage, workflow_id, status, started_at FROM run WHERE tenant = $1 AND parent = $2
    UNION SELECT run.lineage, run.workflow_id, run.status, run.started_at FROM run JOIN below ON run.parent = below.lineage
     WHERE run.tenant = $1
)
SELECT s.inherited AS key, below.workflow_id, below.status
  FROM below JOIN plan_step s ON s.tenant = $1 AND s.lineage = below.lineage AND s.status = 'done' AND s.inherited IS NOT NULL
 WHERE below.status IN ('running', 'completed')
 ORDER BY below.started_at, below.workflow_id
"""
DECISIONS = "SELECT step, result FROM decision WHERE tenant = $1 AND lineage = $2 AND step ~ '^d[0-9]+$' ORDER BY substr(step, 2)::int"
COPY_DECISIONS = """
INSERT INTO decision (tenant, lineage, step, fence, result, started_at, done_at)
SELECT tenant, $3, step, fence, result, started_at, done_at FROM decision WHERE tenant = $1 AND lineage = $2 AND step = ANY ($4)
ON CONFLICT (tenant, lineage, step) DO NOTHING
"""
COPY_STEPS = """
INSERT INTO plan_step (tenant, lineage, step, decision, position, tool, arguments, needs, why, approval, status, n, detail, output,
                       ended_at, inherited)
SELECT tenant, $3, step, decision, position, tool, arguments, needs, why, approval,
       CASE WHEN given.open THEN 'planned' ELSE status END,
       CASE WHEN given.open THEN 1 ELSE n END,
       CASE WHEN given.open THEN '' ELSE detail END,
       CASE WHEN given.open THEN NULL ELSE output END,
       CASE WHEN given.open THEN NULL ELSE ended_at END,
       CASE WHEN given.open THEN NULL ELSE coalesce(inherited, concat_ws('/', lineage, step, n)) END
  FROM plan_step, LATERAL (SELECT step = ANY ($5) AS open) AS given
 WHERE tenant = $1 AND lineage = $2 AND decision = ANY ($4)
ON CONFLICT (tenant, lineage, step) DO NOTHING
"""
FORKS = "SELECT * FROM run WHERE tenant = $1 AND parent = $2 ORDER BY started_at"
# The family: up to the first original, and down to every fork of it. What may have been done counts like what was.
ALONE = """
SELECT pg_advisory_xact_lock(hashtextextended(concat_ws('/', $1::text, ancestors[1], $3::text, $4::text), 0))
  FROM run WHERE tenant = $1 AND lineage = $2
"""
DONE_IN_FAMILY = """
WITH RECURSIVE family AS (
    SELECT ancestors[1] AS lineage FROM run WHERE tenant = $1 AND lineage = $2
    UNION SELECT run.lineage FROM run JOIN family ON run.parent = family.lineage WHERE run.tenant = $1
)
SELECT effect.key, effect.state, run.workflow_id
  FROM family
  JOIN effect ON effect.tenant = $1 AND effect.lineage = family.lineage AND effect.tool = $3 AND effect.digest = $4
  JOIN run ON run.tenant = $1 AND run.lineage = family.lineage
 WHERE family.lineage <> $2 AND effect.state IN ('done', 'claimed', 'unknown') AND effect.undoes IS NULL
 ORDER BY effect.state = 'done' DESC, effect.claimed_at LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Point:
    """Where a fork leaves its original. ``window`` counts the decisions it keeps, ``seq`` the turns.

    again: the steps of those windows that are open in the fork. kept: those it shares as done.
    """

    window: int
    seq: int
    kept: tuple[str, ...]
    again: tuple[str, ...]

    @property
    def decisions(self) -> list[str]:
        """The names of the decisions it keeps."""
        return [f"d{number}" for number in range(1, self.window + 1)]


async def point(tx: Tx, run: RunRow, name: str) -> Point:
    """Return where a fork of ``run`` from a step, or from a decision (`d2`), begins. No undo of its family begins until the end of ``tx``.

    Raises: BadInput where the run is under way, or has no such step or decision.
    """
    if run.status == "running":
        raise BadInput(
            f"{run.workflow_id} is under way and may still undo what a fork would share: wait for its end, or `starter.py cancel "
            f"{run.workflow_id} --leave`"
        )
    await one_by_one(tx, run.lineage)
    planned = await steps.of_run(tx, run.lineage)
    made = {row["step"]: row["result"] for row in await tx.fetch(DECISIONS, tx.tenant, run.lineage)}
    step = next((row for row in planned if row.step == name), None)
    if step is None and name not in made:
        known = ", ".join(row.step for row in planned) or "none"
        raise BadInput(f"{run.workflow_id} has no step {name[:80]!r}; steps: {known}; decisions: {', '.join(made) or 'none'}")
    window = int(step.decision[1:]) if step else int(name[1:]) - 1
    undone = {row["step"] for row in await tx.fetch(UNDONE, tx.tenant, run.lineage)}
    within = [row for row in planned if int(row.decision[1:]) <= window]
    again = _again(within, {name} if step else set(), undone, f"d{window}" if step else "")
    kept = tuple(row.step for row in within if row.status == "done" and row.step not in again)
    seq = made[f"d{window}"]["seq"] if window else 0
    return Point(window, seq, kept, tuple(row.step for row in within if row.step in again))


def _again(within: Sequence[StepRow], chosen: Collection[str], undone: Collection[str], current: str) -> set[str]:
    """Return the steps that are open in the fork. current: the window that is gone through again, if one is."""
    found = {row.step for row in within if row.step in chosen or row.step in undone or (row.decision == current and row.status != "done")}
    while more := {row.step for row in within if row.step not in found and row.status == "done" and found.intersection(row.needs)}:
        found |= more
    return found


async def take_along(tx: Tx, parent: str, child: str, at: Point) -> None:
    """Copy what lies before the point into a fork, once. Its turns are the session's to copy."""
    await tx.execute(COPY_DECISIONS, tx.tenant, parent, child, at.decisions)
    await tx.execute(COPY_STEPS, tx.tenant, parent, child, at.decisions, list(at.again))


@dataclass(frozen=True, slots=True)
class Inherited:
    """Where a fork begins, as its own rows say. ``plan`` is the skeleton of each step still to go through, ``statuses`` those ended."""

    window: int
    seq: int
    done: bool
    plan: list[dict[str, Any]]
    statuses: dict[str, str]
    earlier: list[str]
    """How the steps of earlier windows ended that are not in ``plan``."""


async def inherited(tx: Tx, lineage: str, at: str) -> Inherited:
    """Read back where a fork begins. at: the step or decision it was forked from. A reset reads the same."""
    rows = {row.step: row for row in await steps.of_run(tx, lineage)}
    window = int(rows[at].decision[1:]) if at in rows and rows[at].inherited is None else int(at[1:]) - 1
    made = [row["result"] for row in await tx.fetch(DECISIONS, tx.tenant, lineage)][:window]
    if not made:
        return Inherited(0, 0, False, [], {}, [])
    earlier = [ref for result in made[:-1] for ref in result["steps"]]
    plan = [ref for ref in earlier if rows[ref["id"]].inherited is None] + made[-1]["steps"]
    statuses = {ref["id"]: rows[ref["id"]].status for ref in plan if rows[ref["id"]].inherited is not None}
    ended = [rows[ref["id"]].status for ref in earlier if rows[ref["id"]].inherited is not None]
    return Inherited(window, made[-1]["seq"], made[-1]["done"], plan, statuses, ended)


async def forks(tx: Tx, lineage: str) -> list[RunRow]:
    """Return the forks of a run, oldest first."""
    return [RunRow.from_row(row) for row in await tx.fetch(FORKS, tx.tenant, lineage)]


async def one_by_one(tx: Tx, lineage: str) -> None:
    """Let no fork and no undo of the family of a run begin until the end of this transaction but those that it makes itself."""
    await tx.execute(ONE_BY_ONE, tx.tenant, lineage)


async def sharers(tx: Tx, lineage: str) -> dict[str, str]:
    """Return which steps of a run are done in a fork as well that is under way or completed: their keys, with a sentence that names it."""
    found: dict[str, list[str]] = {}
    for row in await tx.fetch(SHARERS, tx.tenant, lineage):
        how = "is under way" if row["status"] == "running" else "is completed"
        found.setdefault(row["key"], []).append(f"the fork {row['workflow_id']}, which {how}")
    more = {key: f" (and {len(forks) - 1} more)" if len(forks) > 1 else "" for key, forks in found.items()}
    return {key: f"it is shared with {forks[0]}{more[key]}" for key, forks in found.items()}


async def done_in_family(tx: Tx, lineage: str, tool: str, digest: str) -> str | None:
    """Say where in the family of a fork the same was done, or may have been; None where it was not."""
    # Two forks at once would each see that nobody has done it: they look one after the other, each until its claim is committed.
    await tx.execute(ALONE, tx.tenant, lineage, tool, digest)
    row = await tx.row(DONE_IN_FAMILY, tx.tenant, lineage, tool, digest)
    if row is None:
        return None
    did = "done already" if row["state"] == "done" else "perhaps done already"
    return f"{did} in {row['workflow_id']} ({row['key']})"


async def original(tx: Tx, run: RunRow) -> RunRow | None:
    """Return the run that a fork was forked from."""
    return await runs.read(tx, run.parent) if run.parent else None
