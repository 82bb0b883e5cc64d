"""Operating one run: each function changes the run's rows once, says so on record, and leaves a wake-up.

Every channel ends here. A refusal is a result; the caller records it.
"""

from contracts.approvals import Wake
from contracts.operations import Operated, Paused, Standing, StepWord, Word
from database import Tx
from ledger import outbox, records, runs, steps
from ledger.runs import RunRow
from ledger.steps import StepRow

# Whoever speaks takes the run's row, so that of two words at once the second sees what the first did.
TAKE = "SELECT FROM run WHERE tenant = $1 AND lineage = $2 FOR UPDATE"
PAUSE = "UPDATE run SET paused_by = $3, paused_at = now(), paused_reason = $4 WHERE tenant = $1 AND lineage = $2"
RESUME = "UPDATE run SET paused_by = NULL, paused_at = NULL, paused_reason = '' WHERE tenant = $1 AND lineage = $2"
CANCEL = "UPDATE run SET cancelled_by = $3, cancelled_at = now(), ending = $4 WHERE tenant = $1 AND lineage = $2"
RETRIES = "SELECT step, retries FROM plan_step WHERE tenant = $1 AND lineage = $2 AND retries > 0"
DECISIONS = """
SELECT step, result IS NULL AS open FROM decision WHERE tenant = $1 AND lineage = $2 AND step ~ '^d[0-9]+$' ORDER BY substr(step, 2)::int
"""
# An attempt that failed surely did nothing, so the next has a number and a key of its own. One that nobody saw end keeps both:
# whether it happened is settled by the gate (the same key, a look-up, or a person), and never by opening the step.
REOPEN = """
UPDATE plan_step SET status = 'planned', detail = '', output = NULL, ended_at = NULL, inherited = NULL, retries = retries + 1,
                     n = n + CASE status WHEN 'unknown' THEN 0 ELSE 1 END
 WHERE tenant = $1 AND lineage = $2 AND step = $3
"""
# A person was asked about it and said no, or nothing; whoever opens it wants to be asked anew. What was said stays on record.
ASK_ANEW = """
UPDATE approval SET state = 'stale'
 WHERE tenant = $1 AND lineage = $2 AND step = $3 AND question = 'again' AND state IN ('rejected', 'expired')
"""
HEARD = "SELECT EXISTS (SELECT FROM record WHERE tenant = $1 AND id = $2)"
NOW = "SELECT extract(epoch FROM now())::text"
OPENABLE = ("failed", "denied", "unknown")
FORK = "starter.py fork {run} --from {step}"


async def pause(tx: Tx, lineage: str, word: Word, *, channel: str) -> Operated:
    """Let nothing new begin in a run until it is resumed."""
    run = await _taken(tx, lineage)
    if run is None or run.status != "running":
        return _over(run, "paused")
    if run.cancelled_at:
        return _refused(_ending(run))
    if run.paused_at:
        return Operated(accepted=True, changed=False, message=f"{run.workflow_id} is {held(run)} already")
    await tx.execute(PAUSE, tx.tenant, lineage, word.by, word.reason)
    await _note(tx, run, "paused", word, channel)
    return Operated(accepted=True, message=f"{run.workflow_id} is paused: what runs comes to its end, and nothing new begins")


async def resume(tx: Tx, lineage: str, word: Word, *, channel: str) -> Operated:
    """Let a paused run go on."""
    run = await _taken(tx, lineage)
    if run is None or run.status != "running":
        return _over(run, "resumed")
    if run.paused_at is None:
        return Operated(accepted=True, changed=False, message=f"{run.workflow_id} is not paused")
    await tx.execute(RESUME, tx.tenant, lineage)
    await _note(tx, run, "resumed", word, channel)
    return Operated(accepted=True, message=f"{run.workflow_id} goes on")


async def cancel(tx: Tx, lineage: str, word: Word, *, channel: str, ending: str | None) -> Operated:
    """Note who ends a run, and how. ending: undo or keep what it did; None leaves that to its bundle. Temporal is told by the caller."""
    run = await _taken(tx, lineage)
    if run is None or run.status != "running":
        return _over(run, "cancelled")
    if run.cancelled_at:
        return Operated(accepted=True, changed=False, message=f"{_ending(run)}; that stands")
    await tx.execute(CANCEL, tx.tenant, lineage, word.by, ending)
    await _note(tx, run, "cancel", word, channel, ending=ending)
    done = {"undo": "what it did is undone", "keep": "what it did is left"}.get(ending or "", "what it did ends as its bundle says")
    return Operated(accepted=True, message=f"{run.workflow_id} is being cancelled: {done}")


async def retry(tx: Tx, lineage: str, word: StepWord, *, channel: str, claim: str) -> Operated:
    """Open a step again that ended badly. One that has not ended is told apart by ``open``: it may be tried at once.

    claim: names this word, so that hearing it twice opens the step once.
    """
    run = await _taken(tx, lineage)
    if run is None or run.status != "running":
        hint = f": `{FORK.format(run=run.workflow_id, step=word.step)}` begins a new run there" if run else ""
        refused = _over(run, "retried")
        return refused.model_copy(update={"message": refused.message + hint})
    if run.cancelled_at:
        return _refused(_ending(run))
    if await tx.value(HEARD, tx.tenant, _id(lineage, "retried", claim)):
        return Operated(accepted=True, message=f"{word.step} is open again")
    step, decisions = await steps.read(tx, lineage, word.step), await tx.fetch(DECISIONS, tx.tenant, lineage)
    if step is None:
        if any(row["step"] == word.step and row["open"] for row in decisions):
            return Operated(accepted=True, open=True, message=f"{word.step} is being decided")
        known = ", ".join(row.step for row in await steps.of_run(tx, lineage)) or "none yet"
        return _refused(f"{run.workflow_id} has no step {word.step[:80]!r}; there are: {known}")
    if step.ended_at is None:
        needed = [row for row in await steps.of_run(tx, lineage) if row.step in step.needs and row.ended_at and row.status != "done"]
        return Operated(accepted=True, open=True, message=_open(run, step, needed))
    if refused := _not_openable(run, step, decisions[-1]["step"] if decisions else step.decision):
        return _refused(refused)
    await tx.execute(REOPEN, tx.tenant, lineage, step.step)
    await tx.execute(ASK_ANEW, tx.tenant, lineage, step.step)
    await _note(tx, run, "retried", word, channel, claim=claim, step=step.step, ended=f"{step.status}: {step.detail}")
    when = "as soon as the run is resumed" if run.paused_at else "at once"
    return Operated(accepted=True, message=f"{step.step} is open again and begins {when}; what was skipped because of it follows")


async def hastened(tx: Tx, lineage: str, word: StepWord, *, channel: str, claim: str) -> None:
    """Put on record that an activity which was to be tried later is tried at once."""
    body = {"event": "hastened", "by": word.by, "reason": word.reason, "channel": channel}
    await records.append(tx, _id(lineage, "hastened", claim), "configuration", lineage, word.step, body)


async def standing(tx: Tx, lineage: str) -> Standing:
    """Return what people want of a run."""
    run = await runs.read(tx, lineage)
    if run is None:
        return Standing()
    retries = {row["step"]: row["retries"] for row in await tx.fetch(RETRIES, tx.tenant, lineage)}
    ending = run.ending if run.ending in ("undo", "keep") else None
    if run.paused_at is None or run.paused_by is None or run.status != "running":
        return Standing(ending=ending, retries=retries)
    paused = Paused(by=run.paused_by, since=run.paused_at.isoformat(timespec="seconds"), reason=run.paused_reason)
    return Standing(paused=paused, ending=ending, retries=retries)


def held(run: RunRow) -> str:
    """Say who paused a run, since when and why; empty where it is not paused."""
    if run.paused_at is None or run.status != "running":
        return ""
    why = f": {run.paused_reason}" if run.paused_reason else ""
    return f"paused by {run.paused_by} since {run.paused_at:%Y-%m-%d %H:%M:%S} UTC{why}"


async def _taken(tx: Tx, lineage: str) -> RunRow | None:
    await tx.row(TAKE, tx.tenant, lineage)
    return await runs.read(tx, lineage)


async def _note(
    tx: Tx, run: RunRow, event: str, word: Word, channel: str, claim: str = "", step: str | None = None, **more: object
) -> None:
    """Put a word on record and wake the run."""
    body = {"event": event, "by": word.by, "reason": word.reason, "channel": channel, **more}
    # A word that came by itself has no name; the transaction's time tells two of a kind apart.
    claim = claim or await tx.value(NOW)
    await records.append(tx, _id(run.lineage, event, claim), "configuration", run.lineage, step, body)
    await outbox.put(tx, run.workflow_id, Wake(run=True))


def _id(lineage: str, event: str, claim: str) -> str:
    return f"{lineage}/{event}/{claim}"


def _over(run: RunRow | None, word: str) -> Operated:
    if run is None:
        return _refused("there is no such run")
    when = f" since {run.ended_at:%Y-%m-%d %H:%M:%S} UTC" if run.ended_at else ""
    return _refused(f"{run.workflow_id} is {run.status}{when}: only a run under way can be {word}")


def _ending(run: RunRow) -> str:
    kept = {"undo": ", undoing what it did", "keep": ", leaving what it did"}.get(run.ending or "", "")
    return f"{run.workflow_id} is being cancelled by {run.cancelled_by} since {run.cancelled_at:%Y-%m-%d %H:%M:%S} UTC{kept}"


def _refused(why: str) -> Operated:
    return Operated(accepted=False, changed=False, message=why)


def _open(run: RunRow, step: StepRow, needed: list[StepRow]) -> str:
    if needed:
        return f"{step.step} needs {needed[0].step}, which is {needed[0].status}: retry that"
    if run.paused_at:
        return f"{step.step} has not ended; it goes on when the run is resumed"
    waits = {"needs_approval": "waits for a person", "waiting": f"waits {step.detail}"}
    return f"{step.step} {waits.get(step.status, 'has not ended, and no call of it waits to be tried again')}: there is nothing to retry"


def _not_openable(run: RunRow, step: StepRow, decision: str) -> str | None:
    """Say why a step that has ended stays as it is, or None."""
    fork = f"`{FORK.format(run=run.workflow_id, step=step.step)}` begins a new run there"
    if step.status == "done":
        return f"{step.step} is done; a done step is never run again"
    if step.status == "refused":
        return f"{step.step} was refused ({step.detail}); a person's no is not retried. When the run has ended, {fork}"
    if step.status not in OPENABLE:
        return f"{step.step} was {step.status} ({step.detail}): a step is retried that failed, was denied, or has an unknown end"
    if step.decision != decision:
        return f"{step.step} belongs to {step.decision}, and {decision} took its place. When the run has ended, {fork}"
    return None
