"""Forks: a run that begins where another one was, takes along what lies before that point, and touches nothing of it."""

from collections import Counter

from temporalio import activity

from activities.services import Services
from contracts import names
from contracts.errors import BadInput, PermanentError
from contracts.plans import StepRef
from contracts.runs import Carried, Fork, InheritRequest, OpenRunRequest
from database import Tx
from ledger import lineage, records, runs, steps
from ledger.lineage import Point
from ledger.runs import RunRow
from memory import sessions, states, summaries


class Forking:
    """The activity with which a fork begins, once its row is there."""

    def __init__(self, services: Services) -> None:
        self._database = services.database

    @activity.defn(name=names.INHERIT)
    async def inherit(self, request: InheritRequest) -> Carried:
        """Read back where the fork begins. Safe to retry or reset: what was taken along does not change."""
        ref = request.run.ref
        async with self._database.transaction(ref.tenant) as tx:
            row = await runs.read(tx, ref.lineage)
            if row is None or row.parent_step is None:
                raise PermanentError(f"the run {ref.lineage} is no fork")
            found = await lineage.inherited(tx, ref.lineage, row.parent_step)
        plan = tuple(StepRef.model_validate(ref) for ref in found.plan)
        return Carried(
            run=request.run,
            window=found.window,
            seq=found.seq,
            done=found.done,
            plan=plan,
            statuses=found.statuses,
            counts=dict(Counter(found.earlier)),
        )


async def original(tx: Tx, request: OpenRunRequest, fork: Fork) -> RunRow:
    """Return the run that a start wants to fork. Raises: BadInput where it cannot."""
    found = await runs.read(tx, fork.lineage)
    if found is None:
        raise BadInput(f"tenant {request.tenant} has no run {fork.lineage!r} to fork: `starter.py list` shows them")
    if found.automation != request.automation:
        raise BadInput(f"{found.workflow_id} is a run of {found.automation}, so its forks are too, and not of {request.automation}")
    if request.input and request.input != found.input:
        raise BadInput(f"a fork has the input of its original: leave `input` out, or run {request.automation} anew")
    await lineage.point(tx, found, fork.step)
    return found


async def take_along(tx: Tx, parent: RunRow, child: RunRow, fork: Fork, at: Point | None = None) -> None:
    """Copy what lies before the point into the fork, once, and put it on record. at: the point, where it is known."""
    at = at or await lineage.point(tx, parent, fork.step)
    await lineage.take_along(tx, parent.lineage, child.lineage, at)
    await sessions.copy(tx, parent.lineage, child.lineage, at.seq)
    await summaries.copy(tx, parent.lineage, child.lineage, at.seq)
    await states.copy(tx, parent.lineage, child.lineage)
    kept = {row.step: row.inherited for row in await steps.of_run(tx, child.lineage) if row.inherited and row.status == "done"}
    body = {
        "event": "forked", "by": child.starter, "reason": fork.reason, "from": parent.workflow_id, "parent": parent.lineage,
        "at": fork.step, "kept": kept, "again": list(at.again), "bundle": child.bundle, "bundle_before": parent.bundle,
    }  # fmt: skip
    await records.append(tx, f"{child.lineage}/forked", "configuration", child.lineage, None, body)
