"""What a ledger holds open, and how it is settled where nobody works on it any more."""

from typing import Any

from database import Tx
from ledger.runs import RunRow, scope

RUNNING = "SELECT * FROM run WHERE tenant = $1 AND status = 'running' ORDER BY started_at LIMIT $2"
RECENT = "SELECT * FROM run WHERE tenant = $1 ORDER BY started_at DESC LIMIT $2"
KNOWN = "SELECT lineage FROM run WHERE tenant = $1 AND lineage = ANY ($2)"
# Effects of runs that have ended: claims whose holder never wrote down how they ended, and what was done while the run was being
# closed. Compensations are their undo's, whose order is open. What an order was given for since is that order's.
LEFT_BEHIND = """
SELECT DISTINCT effect.lineage FROM effect JOIN run USING (tenant, lineage)
 WHERE tenant = $1 AND run.status <> 'running' AND effect.undoes IS NULL
   AND run.ended_at < clock_timestamp() - make_interval(secs => $2)
   AND (effect.state = 'claimed' AND effect.deadline <= clock_timestamp()
        OR effect.state IN ('done', 'unknown') AND run.status <> 'completed' AND effect.ended_at > run.ended_at)
   AND NOT EXISTS (SELECT FROM record o WHERE o.tenant = effect.tenant AND o.lineage = effect.lineage AND o.kind = 'configuration'
                    AND o.body ->> 'event' = 'undo ordered' AND o.at > coalesce(effect.ended_at, effect.deadline))
"""
# Requests of runs that have ended: by an undo, whose workflow may still wait, or left by a run that was ended from outside.
LEFT_OPEN = """
SELECT approval.id, approval.lineage, approval.workflow_id, approval.question FROM approval JOIN run USING (tenant, lineage)
 WHERE tenant = $1 AND run.status <> 'running' AND approval.state = 'pending'
"""
CANCEL = "UPDATE approval SET state = 'cancelled' WHERE tenant = $1 AND id = $2 AND state = 'pending'"
# Steps that wait for a word that was given some time ago: the wake-up got lost.
UNWOKEN = """
SELECT run.workflow_id, run.lineage, newest.id FROM plan_step s
  JOIN run ON run.tenant = s.tenant AND run.lineage = s.lineage AND run.status = 'running'
  JOIN LATERAL (SELECT a.id, a.state, a.ruled_at FROM approval a
                 WHERE a.tenant = s.tenant AND a.lineage = s.lineage AND a.step = s.step ORDER BY a.created_at DESC LIMIT 1) newest ON true
 WHERE s.tenant = $1 AND s.status = 'needs_approval' AND s.ended_at IS NULL AND newest.state <> 'pending'
   AND newest.ruled_at < clock_timestamp() - make_interval(secs => $2)
"""
# Calls of a model that an ended run began and nobody saw end: the provider may have billed them.
LOSE = """
WITH lost AS (
    UPDATE journal SET state = 'lost', cost = reserved, ended_at = now()
     WHERE tenant = $1 AND lineage = $2 AND state = 'started'
    RETURNING step, idx, fence, name, reserved
), booked AS (
    UPDATE budget SET reserved = reserved - total, spent = spent + total
      FROM (SELECT coalesce(sum(reserved), 0) AS total FROM lost) AS given
     WHERE tenant = $1 AND scope = $3 AND total > 0
), noted AS (
    INSERT INTO record (tenant, id, kind, lineage, step, body)
    SELECT $1, concat_ws('/', $2, step, idx, fence, 'lost'), 'spend', $2, step,
           jsonb_build_object('event', 'lost', 'model', name, 'cost_micros', reserved)
      FROM lost
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM lost
"""
STARTED = """
SELECT DISTINCT journal.lineage FROM journal JOIN run USING (tenant, lineage)
 WHERE tenant = $1 AND run.status <> 'running' AND journal.state = 'started'
"""
# What a history knows to be done and the ledger does not: the row says so, without what only the ledger had.
STEP_DONE = """
UPDATE plan_step SET status = 'done', detail = $4, ended_at = now() WHERE tenant = $1 AND lineage = $2 AND step = $3 AND status <> 'done'
"""
EFFECT_DONE = """
INSERT INTO effect (tenant, key, lineage, step, n, tool, tool_version, guarantee, digest, arguments, state, deadline, detail, undo_with,
                    ended_at)
SELECT $1, concat_ws('/', $2::text, $3::text, n), $2, $3, n, $4, '', $5, '', '{}', 'done', now(), $6, $7, now()
  FROM (SELECT coalesce((SELECT n FROM plan_step WHERE tenant = $1 AND lineage = $2 AND step = $3), 1) AS n) AS nth
ON CONFLICT (tenant, key) DO UPDATE SET state = 'done', detail = excluded.detail, ended_at = now()
 WHERE effect.state IN ('claimed', 'unknown')
"""


async def running(tx: Tx, *, limit: int = 10_000) -> list[RunRow]:
    """Return the runs that the ledger has under way, oldest first."""
    return [RunRow.from_row(row) for row in await tx.fetch(RUNNING, tx.tenant, limit)]


async def recent(tx: Tx, *, limit: int = 20) -> list[RunRow]:
    """Return the newest runs, whatever became of them."""
    return [RunRow.from_row(row) for row in await tx.fetch(RECENT, tx.tenant, limit)]


async def unknown(tx: Tx, lineages: list[str]) -> set[str]:
    """Return which of these runs the ledger does not know."""
    return set(lineages) - {row["lineage"] for row in await tx.fetch(KNOWN, tx.tenant, lineages)}


async def left_behind(tx: Tx, older: float) -> list[str]:
    """Return the runs that ended more than so many seconds ago and left effects that nobody looks after."""
    return [row["lineage"] for row in await tx.fetch(LEFT_BEHIND, tx.tenant, older)]


async def left_open(tx: Tx) -> list[dict[str, Any]]:
    """Return the open requests of ended runs: id, lineage, workflow_id, question."""
    return [dict(row) for row in await tx.fetch(LEFT_OPEN, tx.tenant)]


async def cancel(tx: Tx, id: str) -> None:
    """Cancel a request for which nobody waits."""
    await tx.execute(CANCEL, tx.tenant, id)


async def unwoken(tx: Tx, older: float) -> list[dict[str, Any]]:
    """Return the steps of running runs that wait for a word given more than so many seconds ago: workflow_id, lineage, id."""
    return [dict(row) for row in await tx.fetch(UNWOKEN, tx.tenant, older)]


async def left_started(tx: Tx) -> list[str]:
    """Return the ended runs with model calls that nobody saw end."""
    return [row["lineage"] for row in await tx.fetch(STARTED, tx.tenant)]


async def lose(tx: Tx, lineage: str) -> int:
    """Book an ended run's open model calls as lost, at their worst case; return how many."""
    return await tx.value(LOSE, tx.tenant, lineage, scope(lineage))


async def step_done(tx: Tx, lineage: str, step: str, detail: str) -> bool:
    """Note that a step was done, as its history says; False where the ledger knew, or never planned it."""
    return await tx.execute(STEP_DONE, tx.tenant, lineage, step, detail) > 0


async def effect_done(tx: Tx, lineage: str, step: str, tool: str, guarantee: str, undo_with: str | None, detail: str) -> bool:
    """Note that an effect was done, as its history says; False where the ledger knew."""
    return await tx.execute(EFFECT_DONE, tx.tenant, lineage, step, tool, guarantee, detail, undo_with) > 0
