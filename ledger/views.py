"""What a decision and an action are judged by, each read in one round trip."""

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from database import Tx
from ledger import breakers
from ledger.approvals import Request
from ledger.breakers import Breaker
from ledger.effects import Effect
from ledger.runs import scope
from ledger.steps import StepRow

VIEW = f"""
SELECT to_jsonb(s) AS step, to_jsonb(e) AS effect, run.automation, run.workflow_id, run.input, run.bundle, run.status AS run_status,
       run.paused_at IS NOT NULL AS paused, run.ancestors,
       coalesce(d.result -> 'taint', '[]') AS taint,
       coalesce(extract(epoch FROM e.deadline - clock_timestamp())::float8, 0) AS wait,
       (SELECT limit_micros - spent - reserved FROM budget WHERE tenant = $1 AND scope = $4) AS left,
       (SELECT to_jsonb(a) FROM approval a WHERE a.tenant = $1 AND a.lineage = $2 AND a.step = $3
         ORDER BY a.created_at DESC, a.id LIMIT 1) AS request,
       (SELECT jsonb_object_agg(o.step, o.output) FROM plan_step o
         WHERE o.tenant = $1 AND o.lineage = $2 AND o.step = ANY (s.needs) AND o.status = 'done') AS outputs,
       (SELECT {breakers.STANDING} FROM breaker b
         WHERE b.tenant = $1 AND b.kind = 'tool' AND b.automation = run.automation AND b.name = s.tool) AS breaker
  FROM plan_step s
  JOIN run ON run.tenant = s.tenant AND run.lineage = s.lineage
  LEFT JOIN decision d ON d.tenant = s.tenant AND d.lineage = s.lineage AND d.step = s.decision
  LEFT JOIN effect e ON e.tenant = s.tenant AND e.key = concat_ws('/', s.lineage, s.step, s.n)
 WHERE s.tenant = $1 AND s.lineage = $2 AND s.step = $3
"""  # noqa: S608
FRAME = f"""
SELECT run.automation, run.input,
       coalesce(budget.limit_micros - budget.spent - budget.reserved, 0) AS left,
       (SELECT coalesce(jsonb_agg({breakers.STANDING}), '[]') FROM breaker b
         WHERE b.tenant = $1 AND (b.kind = 'model' OR b.automation = run.automation)) AS breakers,
       (SELECT coalesce(max(position), 0) FROM plan_step WHERE tenant = $1 AND lineage = $2) AS position
  FROM run LEFT JOIN budget ON budget.tenant = run.tenant AND budget.scope = 'run:' || $2::text
 WHERE run.tenant = $1 AND run.lineage = $2
"""  # noqa: S608
STEP, EFFECT, REQUEST = TypeAdapter(StepRow), TypeAdapter(Effect | None), TypeAdapter(Request | None)


@dataclass(frozen=True, slots=True)
class ActionView:
    """One step and everything around it. ``outputs`` has the steps it needs, ``left`` is in micro-dollars.

    request: the step's newest. taint: what the decision had read that planned the step.
    """

    lineage: str
    step: StepRow
    effect: Effect | None
    request: Request | None
    automation: str
    workflow_id: str
    input: dict[str, Any]
    bundle: str
    run_status: str
    paused: bool
    ancestors: list[str]
    """The lineages that a fork comes from."""
    taint: list[str]
    left: int
    wait: float
    """Seconds for which an attempt may still be at work on the effect, by the database's clock."""
    outputs: dict[str, Any]
    breaker: Breaker | None = None
    """That of its tool; None where it never failed."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a decision must know of its run. ``left`` is in micro-dollars, ``position`` that of the last planned step."""

    automation: str
    input: dict[str, Any]
    left: int
    position: int
    breakers: tuple[Breaker, ...]
    """Those of the automation's tools and of all models that ever failed."""


def frame(row: Any) -> Frame:
    """Map one row of `FRAME`."""
    return Frame(row["automation"], row["input"], row["left"], row["position"], tuple(breakers.standings(row["breakers"])))


async def action(tx: Tx, lineage: str, step: str) -> ActionView | None:
    """Return what an action is judged by, or None where the run has no such step."""
    row = await tx.row(VIEW, tx.tenant, lineage, step, scope(lineage))
    if row is None:
        return None
    return ActionView(
        lineage=lineage,
        step=STEP.validate_python(row["step"]),
        effect=EFFECT.validate_python(row["effect"]),
        request=REQUEST.validate_python(row["request"]),
        automation=row["automation"],
        workflow_id=row["workflow_id"],
        input=row["input"],
        bundle=row["bundle"],
        run_status=row["run_status"],
        paused=row["paused"],
        ancestors=row["ancestors"],
        taint=row["taint"],
        left=row["left"] or 0,
        wait=row["wait"],
        outputs=row["outputs"] or {},
        breaker=breakers.standing(row["breaker"]),
    )
