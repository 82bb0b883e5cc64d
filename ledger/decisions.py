"""Decisions and their journal: taken with a fencing number, resumed after the last entry, recorded once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from contracts.errors import BudgetExceeded, PermanentError, Superseded
from contracts.plans import PlanStep
from database import Tx
from ledger import views
from ledger.runs import scope
from ledger.views import Frame

# Read with what the decision must know of its run. A paused one is not taken: until it is resumed the last plan is the newest, and
# its steps may be tried again.
TAKE = f"""
WITH frame AS ({views.FRAME}), taken AS (
    INSERT INTO decision (tenant, lineage, step)
    SELECT tenant, lineage, $3 FROM run WHERE tenant = $1 AND lineage = $2 AND paused_at IS NULL
    ON CONFLICT (tenant, lineage, step) DO UPDATE SET fence = decision.fence + (decision.result IS NULL)::int
    RETURNING fence, result
)
SELECT frame.*, taken.* FROM frame LEFT JOIN taken ON true
"""  # noqa: S608
DONE_ENTRIES = """
SELECT DISTINCT ON (idx) idx, kind, name, digest, reply, cost FROM journal
 WHERE tenant = $1 AND lineage = $2 AND step = $3 AND state = 'done' ORDER BY idx, fence DESC
"""
# A call that an earlier attempt began and nobody saw end: the provider may have billed it, so it is spent at its worst case.
LOSE = """
WITH lost AS (
    UPDATE journal SET state = 'lost', cost = reserved, ended_at = now()
     WHERE tenant = $1 AND lineage = $2 AND step = $3 AND state = 'started' AND fence < $4
    RETURNING idx, fence, name, reserved
), booked AS (
    UPDATE budget SET reserved = reserved - total, spent = spent + total
      FROM (SELECT coalesce(sum(reserved), 0) AS total FROM lost) AS given
     WHERE tenant = $1 AND scope = $5 AND total > 0
), noted AS (
    INSERT INTO record (tenant, id, kind, lineage, step, body)
    SELECT $1, concat_ws('/', $2, $3, idx, fence, 'lost'), 'spend', $2, $3,
           jsonb_build_object('event', 'lost', 'model', name, 'cost_micros', reserved)
      FROM lost
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM lost
"""
HELD = "SELECT FROM decision WHERE tenant = $1 AND lineage = $2 AND step = $3 AND fence = $4 AND result IS NULL FOR SHARE"
# Reserve the worst case, note the call as started, both or neither, and only for the attempt that holds the fence.
BEGIN_CALL = f"""
WITH held AS ({HELD}), granted AS (
    UPDATE budget SET reserved = reserved + $8
     WHERE tenant = $1 AND scope = $9 AND spent + reserved + $8 <= limit_micros AND EXISTS (SELECT FROM held)
    RETURNING limit_micros - spent - reserved AS remaining
), noted AS (
    INSERT INTO journal (tenant, lineage, step, fence, idx, kind, state, name, digest, reserved)
    SELECT $1, $2, $3, $4, $5, 'model', 'started', $6, $7, $8 FROM granted
)
SELECT EXISTS (SELECT FROM held) AS held, (SELECT remaining FROM granted) AS remaining
"""  # noqa: S608
END_CALL = f"""
WITH held AS ({HELD}), ended AS (
    UPDATE journal SET state = $6, reply = $7, cost = $8, ended_at = now()
     WHERE tenant = $1 AND lineage = $2 AND step = $3 AND fence = $4 AND idx = $5 AND state = 'started' AND EXISTS (SELECT FROM held)
    RETURNING reserved
), settled AS (
    UPDATE budget SET reserved = budget.reserved - ended.reserved, spent = spent + $8 FROM ended WHERE tenant = $1 AND scope = $9
)
SELECT count(*) FROM ended
"""  # noqa: S608
NOTE_LOOK_UP = f"""
WITH held AS ({HELD})
INSERT INTO journal (tenant, lineage, step, fence, idx, kind, state, name, digest, reply, ended_at)
SELECT $1, $2, $3, $4, $5, 'lookup', 'done', $6, $7, $8, now() FROM held
"""  # noqa: S608
# A decision is recorded whole or not at all: its result, its plan, its record and the end of its last call are one statement.
FINISH = f"""
WITH held AS ({HELD}), finished AS (
    UPDATE decision SET result = $5, done_at = now()
     WHERE tenant = $1 AND lineage = $2 AND step = $3 AND EXISTS (SELECT FROM held)
    RETURNING step
), planned AS (
    INSERT INTO plan_step (tenant, lineage, decision, position, step, tool, arguments, needs, why, approval)
    SELECT $1, $2, $3, $6 + position, given.step, tool, arguments, string_to_array(needs, ' '), why, approval
      FROM finished, unnest($7::text[], $8::text[], $9::jsonb[], $10::text[], $11::text[], $12::boolean[])
           WITH ORDINALITY AS given (step, tool, arguments, needs, why, approval, position)
    ON CONFLICT (tenant, lineage, step) DO NOTHING
), noted AS (
    INSERT INTO record (tenant, id, kind, lineage, step, body)
    SELECT $1, concat_ws('/', $2, $3), 'decision', $2, $3, $13 FROM finished
    ON CONFLICT (tenant, id) DO NOTHING
), ended AS (
    UPDATE journal SET state = 'done', reply = $15, cost = $16, ended_at = now() FROM finished
     WHERE tenant = $1 AND lineage = $2 AND journal.step = $3 AND fence = $4 AND idx = $14 AND state = 'started'
    RETURNING reserved
), settled AS (
    UPDATE budget SET reserved = budget.reserved - ended.reserved, spent = spent + $16 FROM ended WHERE tenant = $1 AND scope = $17
)
SELECT count(*) FROM finished
"""  # noqa: S608
COST = "SELECT coalesce(sum(cost), 0)::bigint FROM journal WHERE tenant = $1 AND lineage = $2 AND step = $3"


@dataclass(frozen=True, slots=True)
class Entry:
    """One finished model call or look-up of a decision."""

    idx: int
    kind: str
    name: str
    digest: str
    reply: dict[str, Any]
    cost: int


@dataclass(frozen=True, slots=True)
class Hold:
    """A decision as one attempt holds it; every write under an older fence fails."""

    lineage: str
    step: str
    fence: int

    @property
    def key(self) -> tuple[str, str, int]:
        """Arguments 2 to 4 of every statement here."""
        return self.lineage, self.step, self.fence


@dataclass(frozen=True, slots=True)
class LastCall:
    """The call of a model that gave the decision. cost: micro-dollars."""

    idx: int
    reply: dict[str, Any]
    cost: int


@dataclass(frozen=True, slots=True)
class Taken:
    """A decision that was taken: the hold, the result if it was made before, and the entries an earlier attempt left by index."""

    hold: Hold
    frame: Frame
    result: dict[str, Any] | None = None
    entries: Mapping[int, Entry] = field(default_factory=dict[int, Entry])


async def take(tx: Tx, lineage: str, step: str) -> Taken | None:
    """Take a decision; None where the run is paused. Raises: PermanentError where there is no run of this lineage."""
    row = await tx.row(TAKE, tx.tenant, lineage, step)
    if row is None:
        raise PermanentError(f"there is no run {lineage!r}")
    if row["fence"] is None:
        return None
    taken = Taken(Hold(lineage, step, row["fence"]), views.frame(row), row["result"])
    if taken.result is not None or taken.hold.fence == 1:
        return taken
    await tx.execute(LOSE, tx.tenant, *taken.hold.key, scope(lineage))
    rows = await tx.fetch(DONE_ENTRIES, tx.tenant, lineage, step)
    return replace(taken, entries={row["idx"]: Entry(**dict(row)) for row in rows})


async def begin_call(tx: Tx, hold: Hold, idx: int, model: str, digest: str, reserve: int) -> int:
    """Reserve a model call's worst case and return the micro-dollars then left.

    Raises: Superseded; BudgetExceeded where the run's budget cannot hold it.
    """
    row = await tx.row(BEGIN_CALL, tx.tenant, *hold.key, idx, model, digest, reserve, scope(hold.lineage))
    assert row is not None
    if not row["held"]:
        raise Superseded
    if row["remaining"] is None:
        raise BudgetExceeded(
            f"a model call may cost {reserve} micro-dollars, more than this run's budget has left: raise budget.run_micros"
        )
    return row["remaining"]


async def end_call(tx: Tx, hold: Hold, idx: int, *, reply: dict[str, Any] | None, cost: int) -> None:
    """Journal how a model call ended and settle it. reply: None for a call that failed. Raises: Superseded."""
    state = "failed" if reply is None else "done"
    if not await tx.value(END_CALL, tx.tenant, *hold.key, idx, state, reply, cost, scope(hold.lineage)):
        raise Superseded


async def note_look_up(tx: Tx, hold: Hold, idx: int, tool: str, digest: str, reply: dict[str, Any]) -> None:
    """Journal one look-up. Raises: Superseded."""
    if not await tx.execute(NOTE_LOOK_UP, tx.tenant, *hold.key, idx, tool, digest, reply):
        raise Superseded


async def finish(
    tx: Tx,
    hold: Hold,
    result: dict[str, Any],
    body: dict[str, Any],
    *,
    after: int = 0,
    steps: Sequence[PlanStep] = (),
    last: LastCall | None = None,
) -> None:
    """Record a decision with its plan; from here on it is returned, never made anew. A step that is there already stays as it is.

    after: the position of the run's last planned step. last: the call of a model that is settled with it. Raises: Superseded.
    """
    last = last or LastCall(-1, {}, 0)
    columns = (
        [step.id for step in steps],
        [step.tool for step in steps],
        [step.arguments for step in steps],
        [" ".join(step.needs) for step in steps],
        [step.why for step in steps],
        [step.approval for step in steps],
    )
    if not await tx.value(
        FINISH, tx.tenant, *hold.key, result, after, *columns, body, last.idx, last.reply, last.cost, scope(hold.lineage)
    ):
        raise Superseded


async def cost(tx: Tx, hold: Hold) -> int:
    """Return what a decision has cost so far, lost calls included, in micro-dollars."""
    return await tx.value(COST, tx.tenant, hold.lineage, hold.step)
