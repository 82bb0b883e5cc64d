"""Undo: compensations, newest first, each an effect of its own under the key of what it undoes."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from temporalio import activity

from activities.calls import call, deadline, parsed
from activities.services import Services, digest, facts
from contracts import names
from contracts.effects import UndoRequest, UndoResult
from contracts.errors import PermanentError, ToolFailed, ToolRetry, ToolUnknown, TransientError
from ledger import approvals, effects, records, runs, steps
from ledger.effects import Claim, Effect
from ledger.runs import RunRow
from policies.bundles import Bundle
from tools.contract import Tool

UNSEEN = ("claimed", "unknown")
TRIES = 5
"""Attempts after which a compensation that keeps losing its answer is left to a person."""


@dataclass(frozen=True, slots=True)
class Left:
    """What undo left as it is, and why: a person has to look at it."""

    why: str


class Undoing:
    """The activity that takes back what a run did."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._database = services.database

    @activity.defn(name=names.UNDO)
    async def undo(self, request: UndoRequest) -> UndoResult:
        """Undo every done effect of the run, newest first; one that cannot be undone is left and named.

        Safe to retry: what is undone is not done any more, and a compensation has a key of its own.
        """
        tenant, lineage = request.run.tenant, request.run.lineage
        bundle = await self._services.bundles.get(tenant, request.run.bundle)
        async with self._database.transaction(tenant) as tx:
            run = await runs.read(tx, lineage)
            assert run is not None
            if run.status != "running":
                # A run that has ended undoes nothing by itself any more, whoever asks in its name.
                raise PermanentError(f"the run {run.workflow_id} is {run.status}: only a run under way is undone from within")
            await approvals.cancel_open(tx, lineage)
            await steps.skip_open(tx, lineage, f"not run: {request.reason}"[:400])
            unseen = [effect for effect in await effects.of_run(tx, lineage) if effect.state in UNSEEN and not effect.undoes]
            for effect in unseen:
                state = "failed" if effect.released else "unknown"
                await effects.resolve(tx, effect.key, state, detail=effect.detail or "the run ended before anybody saw how it ended")
            done = await effects.done(tx, lineage)
        left = [f"{effect.key} ({effect.tool}) may have happened" for effect in unseen if not effect.released]
        undone: list[str] = []
        for effect in done:
            outcome = await self._undone(tenant, run, bundle, effect)
            if isinstance(outcome, Left):
                left.append(f"{effect.key} ({effect.tool}): {outcome.why}")
            else:
                undone.append(effect.key)
        return UndoResult(undone=tuple(undone[:100]), left=tuple(left[:20]))

    async def _undone(self, tenant: str, run: RunRow, bundle: Bundle, effect: Effect) -> Left | None:
        tools = self._services.registry.tools(bundle.automation)
        tool = tools.get(effect.tool)
        if tool is None or tool.compensate_with is None:
            return Left("it cannot be undone" if tool else "its tool is gone")
        back = tools[tool.compensate_with]
        arguments = back.undo_arguments(effect.output or {})
        claim = Claim(
            key=f"{effect.key}/undo",
            lineage=run.lineage,
            step=effect.step,
            n=effect.n,
            tool=back.name,
            tool_version=back.version,
            guarantee=back.guarantee,
            digest=digest(arguments),
            arguments=arguments,
            deadline=deadline(back),
            undoes=effect.key,
        )
        if refused := await self._claimed(tenant, run, bundle, back, claim):
            return refused
        return await self._called(tenant, run, bundle, back, claim)

    async def _claimed(self, tenant: str, run: RunRow, bundle: Bundle, back: Tool, claim: Claim) -> Left | None:
        async with self._database.transaction(tenant) as tx:
            known = await effects.read(tx, claim.key)
            if known and known.state == "done":
                await effects.compensated(tx, claim.undoes or "")
                return None
            if known and known.state == "failed":
                return Left(known.detail)
            if known and not known.released and back.guarantee == "guarded":
                return Left(f"{back.name} may have happened")
            judged = facts(
                back, claim.arguments, tenant=tenant, automation=run.automation, input=run.input, taint=[], left=0
            )  # Undo is never stopped by an empty budget.
            judgement = bundle.rules.judge(judged)
            if judgement.outcome != "allow":
                return Left(f"{back.name}: {judgement.because}")
            if await effects.claim(tx, claim) is None:
                raise TransientError("an earlier undo may be at work", retry_after=2.0)
        return None

    async def _called(self, tenant: str, run: RunRow, bundle: Bundle, back: Tool, claim: Claim) -> Left | None:
        context = self._services.context(
            bundle, back, tenant=tenant, lineage=run.lineage, step=claim.step, key=claim.key, deadline=claim.deadline, input=run.input
        )
        state, detail, output = "done", "", None
        try:
            output = await call(back, parsed(back, claim.arguments), context)
        except (ToolFailed, ToolRetry) as error:
            state, detail = "failed", str(error)
        except ToolUnknown as error:
            state, detail = "unknown", str(error)
        except TransientError as error:
            async with self._database.transaction(tenant) as tx:
                await effects.release(tx, claim, str(error))
            raise
        async with self._database.transaction(tenant) as tx:
            if not await effects.record(tx, claim, state, output=output, detail=detail):
                raise TransientError("another undo holds this effect")
            if state == "done":
                await effects.compensated(tx, claim.undoes or "")
            id = f"{claim.key}/{state}/{activity.info().attempt}" if state == "unknown" else f"{claim.key}/{state}"
            await records.append(tx, id, "effect", run.lineage, claim.step, self._body(back, claim, state, detail))
        if state == "unknown" and back.guarantee == "idempotent" and activity.info().attempt < TRIES:
            raise TransientError(detail, retry_after=max(0.1, (claim.deadline - datetime.now(UTC)).total_seconds() + 0.1))
        return None if state == "done" else Left(detail)

    def _body(self, back: Tool, claim: Claim, state: str, detail: str) -> dict[str, Any]:
        event = {"done": "undone", "failed": "undo failed", "unknown": "undo unknown"}[state]
        named = {"tool": back.name, "key": claim.key, "undoes": claim.undoes, "detail": detail}
        return {"event": event, **named, "build": self._services.build}
