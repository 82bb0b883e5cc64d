"""`act`: the one gate. A step is admitted, its tool called with the effect's key, and its end recorded."""

import time
from typing import Any

from temporalio import activity

from activities import metrics
from activities.admission import Action, Admission, Uncertain
from activities.calls import call, parsed
from activities.services import Services
from contracts import names
from contracts.effects import ENDED, ActRequest, ActResult, GiveUpRequest
from contracts.errors import BadInput, PermanentError, ToolFailed, ToolRetry, ToolUnknown, TransientError
from ledger import effects, records, steps, views
from ledger.views import ActionView
from policies.references import resolve
from tools.contract import Due, ToolContext


class Acting:
    """Activities that carry out the steps of plans."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._database = services.database

    @activity.defn(name=names.ACT)
    async def act(self, request: ActRequest) -> ActResult:
        """Bring a step as far as it can come now.

        Safe to retry: a step that has ended is answered from its row, a claim is taken anew only after its deadline and with the same key.
        """
        started = time.perf_counter()
        bundle = await self._services.bundles.get(request.run.tenant, request.run.bundle)
        outcome = await self._admitted(request, Admission(self._services, bundle))
        if isinstance(outcome, Action):
            outcome = await self._run(request, outcome)
        metrics.ACT_SECONDS.labels(outcome.status).observe(time.perf_counter() - started)
        return outcome

    async def _admitted(self, request: ActRequest, admission: Admission) -> ActResult | Action:
        tenant = request.run.tenant
        async with self._database.transaction(tenant) as tx:
            view = await _view(tx, request)
            try:
                has_slot = admission.tool(view).due is not None and view.effect is None and view.step.ended_at is None
            except ToolFailed as error:
                return await admission.end(tx, view, "failed", str(error))
            outcome = None if has_slot else await admission.admit(tx, view, None)
        if outcome is None:
            due = await self._due(request, admission, view)
            async with self._database.transaction(tenant) as tx:
                # Read again: the slot was looked up outside of any transaction.
                view = await _view(tx, request)
                if isinstance(due, str):
                    return await admission.end(tx, view, "failed", due)
                outcome = await admission.admit(tx, view, due)
        return await self._looked_up(request, admission, outcome.action) if isinstance(outcome, Uncertain) else outcome

    async def _due(self, request: ActRequest, admission: Admission, view: ActionView) -> Due | str | None:
        """Ask the tool when the step is due; a string says why it cannot run at all."""
        tool = admission.tool(view)
        assert tool.due is not None
        try:
            arguments = parsed(tool, resolve(view.step.arguments, view.outputs))
            action = admission.action(request.run.tenant, view)
            return await tool.due(arguments, self._context(request, action, admission))
        except (BadInput, ToolRetry, ToolFailed) as error:
            return str(error)

    async def _looked_up(self, request: ActRequest, admission: Admission, action: Action) -> ActResult | Action:
        """Ask the tool what became of an effect whose end nobody saw."""
        assert action.tool.lookup is not None
        found = await action.tool.lookup(action.claim.key, self._context(request, action, admission))
        async with self._database.transaction(request.run.tenant) as tx:
            if found is None:
                return await admission.ask_again(tx, action)
            if not found.happened:
                return await admission.next_attempt(tx, action, "a look-up says that it did not happen")
            await effects.resolve(tx, action.claim.key, "done", output=found.output, detail="found by a look-up")
            return await admission.end(tx, action.view, "done", "found by a look-up", output=found.output)

    async def _run(self, request: ActRequest, action: Action) -> ActResult:
        """Call the tool and record how it ended."""
        bundle = await self._services.bundles.get(request.run.tenant, request.run.bundle)
        context = self._context(request, action, Admission(self._services, bundle))
        try:
            output = await call(action.tool, action.parsed, context)
        except (ToolFailed, ToolRetry) as error:
            return await self._record(request, action, "failed", str(error))
        except TransientError as error:
            if action.writes:
                async with self._database.transaction(request.run.tenant) as tx:
                    await effects.release(tx, action.claim, str(error))
            raise
        except ToolUnknown as error:
            await self._unknown(request, action, str(error))
            # The next attempt calls again with the same key, looks it up, or asks a person: whatever the tool's guarantee is.
            raise TransientError(str(error)) from error
        return await self._record(request, action, "done", "", output)

    async def _record(
        self, request: ActRequest, action: Action, state: str, detail: str, output: dict[str, Any] | None = None
    ) -> ActResult:
        body = self._body(action, state, detail)
        async with self._database.transaction(request.run.tenant) as tx:
            if not action.writes:
                await steps.end(tx, request.run.lineage, request.step, state, detail, output)
                await records.append(tx, f"{action.claim.key}/{state}", "effect", request.run.lineage, request.step, body)
            elif not await effects.finish(tx, action.claim, state, body, output=output, detail=detail):
                raise TransientError("a later attempt holds this effect; its end is the one that counts")
        return ActResult(status="done" if state == "done" else "failed", detail=detail[:200])

    async def _unknown(self, request: ActRequest, action: Action, detail: str) -> None:
        async with self._database.transaction(request.run.tenant) as tx:
            await effects.record(tx, action.claim, "unknown", detail=detail)
            body = self._body(action, "unknown", detail)
            attempt = activity.info().attempt
            await records.append(tx, f"{action.claim.key}/unknown/{attempt}", "effect", request.run.lineage, request.step, body)

    def _body(self, action: Action, state: str, detail: str) -> dict[str, Any]:
        return {
            "event": state,
            "tool": action.tool.name,
            "tool_version": action.tool.version[:12],
            "effect": action.tool.effect,
            "key": action.claim.key if action.writes else None,
            "digest": action.digest,
            **action.because,
            "cost_micros": action.tool.cost_micros,
            "attempt": activity.info().attempt,
            "detail": detail[:2000],
            "build": self._services.build,
        }

    def _context(self, request: ActRequest, action: Action, admission: Admission) -> ToolContext:
        return self._services.context(
            admission.bundle,
            action.tool,
            tenant=request.run.tenant,
            lineage=request.run.lineage,
            step=request.step,
            key=action.claim.key,
            deadline=action.claim.deadline,
            input=action.view.input,
        )

    @activity.defn(name=names.GIVE_UP)
    async def give_up(self, request: GiveUpRequest) -> ActResult:
        """End a step whose attempts are used up. Safe to retry: an ended step is answered from its row."""
        bundle = await self._services.bundles.get(request.run.tenant, request.run.bundle)
        admission = Admission(self._services, bundle)
        async with self._database.transaction(request.run.tenant) as tx:
            view = await _view(tx, request)
            if view.step.status in ENDED and view.step.ended_at is not None:
                return ActResult(status=view.step.status, detail=view.step.detail)  # pyright: ignore[reportArgumentType]
            effect = view.effect
            if effect is None or effect.released or effect.state == "failed":
                if effect is not None:
                    await effects.resolve(tx, effect.key, "failed", detail=request.why)
                return await admission.end(tx, view, "failed", request.why)
            await effects.resolve(tx, effect.key, "unknown", detail=request.why)
            return await admission.end(tx, view, "unknown", f"nobody knows whether {effect.tool} happened: {request.why}")


async def _view(tx: Any, request: ActRequest | GiveUpRequest) -> ActionView:
    view = await views.action(tx, request.run.lineage, request.step)
    if view is None:
        raise PermanentError(f"the run {request.run.lineage} has no step {request.step!r}")
    return view
