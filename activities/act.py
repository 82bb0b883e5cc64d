"""`act`: the one gate. A step is admitted, its tool called with the effect's key, and its end recorded."""

import asyncio
import time
from typing import Any

import structlog
from temporalio import activity

from activities import breakers, metrics
from activities.actions import Action
from activities.admission import Admission, Uncertain
from activities.breakers import Open
from activities.calls import answer, looked_up, parsed, slot
from activities.services import Services
from contracts import names
from contracts.effects import ENDED, ActRequest, ActResult, GiveUpRequest
from contracts.errors import BadInput, PermanentError, ToolFailed, ToolRetry, ToolUnknown, TransientError
from ledger import effects, records, steps, views
from ledger.views import ActionView
from policies.references import resolve
from tools.calls import Incapable
from tools.contract import Due, ToolContext

LOG = structlog.get_logger(__name__)


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
        try:
            outcome = await self._admitted(request, Admission(self._services, bundle))
        except Open as error:
            await self._left(request, error)
            raise
        if isinstance(outcome, Action):
            outcome = await self._run(request, outcome)
        metrics.ACT_SECONDS.labels(outcome.status).observe(time.perf_counter() - started)
        return outcome.model_copy(update={"step": request.step})

    async def _left(self, request: ActRequest, error: Open) -> None:
        """Say why a step does not run now: what it had begun in its transaction is gone."""
        async with self._database.transaction(request.run.tenant) as tx:
            await steps.mark(tx, request.run.lineage, request.step, "waiting", f"its turn: {error}")
            await breakers.held(tx, error.breaker, request.run.lineage, request.step)

    async def _admitted(self, request: ActRequest, admission: Admission) -> ActResult | Action:
        tenant = request.run.tenant
        async with self._database.transaction(tenant) as tx:
            view = await _view(tx, request)
            try:
                has_slot = admission.tool(view).due is not None and view.effect is None and view.step.ended_at is None
            except ToolFailed as error:
                return await admission.fail(tx, view, str(error))
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
        try:
            arguments = parsed(tool, resolve(view.step.arguments, view.outputs))
            action = admission.action(request.run.tenant, view)
            return await slot(tool, arguments, self._context(request, action, admission))
        except (BadInput, ToolRetry, ToolFailed) as error:
            return str(error)

    async def _looked_up(self, request: ActRequest, admission: Admission, action: Action) -> ActResult | Action:
        """Ask the tool what became of an effect whose end nobody saw."""
        found = await looked_up(action.tool, action.claim.key, self._context(request, action, admission))
        async with self._database.transaction(request.run.tenant) as tx:
            if found is None:
                return await admission.ask_again(tx, action)
            if not found.happened:
                return await admission.next_attempt(tx, action, "a look-up says that it did not happen")
            attempt = action.view.effect.attempts if action.view.effect else None
            said = "found by a look-up"
            if not await effects.resolve(tx, action.claim.key, "done", output=found.output, detail=said, attempt=attempt):
                raise TransientError("another attempt holds this effect", retry_after=1.0)
            return await admission.end(tx, action.view, "done", said, output=found.output)

    async def _run(self, request: ActRequest, action: Action) -> ActResult:
        """Call the tool and record how it ended."""
        tenant = request.run.tenant
        admission = Admission(self._services, await self._services.bundles.get(tenant, request.run.bundle))
        try:
            answered = await answer(action.tool, action.parsed, self._context(request, action, admission))
        except asyncio.CancelledError as error:
            await self._cut(request, action, error)
            raise
        except (ToolFailed, ToolRetry) as error:
            if isinstance(error, Incapable) and action.doubt:
                async with self._database.transaction(tenant) as tx:
                    return await admission.fail(tx, action.view, str(error))
            return await self._record(request, action, "failed", str(error), error=error)
        except TransientError as error:
            async with self._database.transaction(tenant) as tx:
                await action.passage.ended(tx, error, request.run.lineage, request.step)
                if action.writes:
                    await effects.release(tx, action.claim, str(error), doubt=action.doubt)
            raise
        except ToolUnknown as error:
            await self._unknown(request, action, error, str(error))
            # The next attempt calls again with the same key, looks it up, or asks a person: whatever the tool's guarantee is.
            raise TransientError(str(error)) from error
        return await self._record(request, action, "done", answered.note, answered.output)

    async def _record(
        self,
        request: ActRequest,
        action: Action,
        state: str,
        detail: str,
        output: dict[str, Any] | None = None,
        error: Exception | None = None,
    ) -> ActResult:
        body = self._body(action, state, detail)
        alone = action.writes and action.passage.healthy and error is None
        async with (self._database.once if alone else self._database.transaction)(request.run.tenant) as tx:
            await action.passage.ended(tx, error, request.run.lineage, request.step)
            if not action.writes:
                await steps.end(tx, request.run.lineage, request.step, state, detail, output)
                await records.append(tx, f"{action.claim.key}/{state}", "effect", request.run.lineage, request.step, body)
            elif not await effects.finish(tx, action.claim, state, body, output=output, detail=detail):
                raise TransientError("a later attempt holds this effect; its end is the one that counts")
        return ActResult(status="done" if state == "done" else "failed", detail=detail[:200])

    async def _cut(self, request: ActRequest, action: Action, error: BaseException) -> None:
        """Note that a call was cut off. Where that cannot be noted, the claim says the same: nobody saw its end."""
        try:
            await self._unknown(request, action, error, f"{action.tool.name} was cancelled while it ran; it may have acted")
        except Exception as failure:
            LOG.warning("a cancelled call could not be noted", key=action.claim.key, error=f"{type(failure).__name__}: {failure}")

    async def _unknown(self, request: ActRequest, action: Action, error: BaseException, detail: str) -> None:
        async with self._database.transaction(request.run.tenant) as tx:
            await action.passage.ended(tx, error, request.run.lineage, request.step)
            if not action.writes:
                return
            await effects.record(tx, action.claim, "unknown", detail=detail)
            body = self._body(action, "unknown", detail)
            # By the claim's number: the activity's attempts are counted anew when somebody has it tried at once.
            attempt = action.claim.attempt
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
            deadline=action.claim.until,
            input=action.view.input,
            ancestors=action.view.ancestors,
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
            return await admission.fail(tx, view, request.why)


async def _view(tx: Any, request: ActRequest | GiveUpRequest) -> ActionView:
    view = await views.action(tx, request.run.lineage, request.step)
    if view is None:
        raise PermanentError(f"the run {request.run.lineage} has no step {request.step!r}")
    return view
