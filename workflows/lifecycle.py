"""A run's life in every pattern: it opens, acts step by step, goes on as a new execution, and ends."""

import asyncio
from collections import Counter

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

from contracts import names
from contracts.decisions import Decision, ProposeRequest
from contracts.effects import ENDED, ActRequest, GiveUpRequest, UndoRequest, UndoResult, UndoStart
from contracts.operations import LookRequest
from contracts.plans import StepRef
from contracts.runs import Carried, CloseRunRequest, Ending, InheritRequest, OpenRunRequest, Run, RunResult, StartRequest
from workflows import steps
from workflows.approval import CLAIMS_CARRIED, Gates

NO_START = StartRequest(automation="none", tenant="none", starter="")
"""What a workflow takes a missing input for: without a default the server would offer the start again for ever."""


def refusal(why: str) -> ApplicationError:
    """Return the error of a run that may not start."""
    return ApplicationError(why, type="NotOpened", non_retryable=True)


class Lifecycle:
    """What a workflow's code shares whatever its pattern. Made in the workflow's constructor, opened in its `run`."""

    def __init__(self, start: StartRequest) -> None:
        self._start = start
        self.carried = start.carried
        self.gates = Gates(self.carried)
        self.control = self.gates.control
        self.counts = Counter(self.carried.counts if self.carried else {})
        self.run: Run

    async def open(self) -> None:
        """Pin the run, and begin to hand over claims. Raises: ApplicationError where the run may not start.

        A cancel that comes meanwhile is seen after it, in `go_on`: a row that was inserted has to be closed.
        """
        try:
            await self._open()
        except ApplicationError as error:
            await self.gates.dismiss(f"the run did not open: {error.message}")
            raise

    async def _open(self) -> None:
        if self._start is NO_START:
            raise refusal('no input was given; right is {"automation": "…", "input": {…}}')
        info = workflow.info()
        if info.cron_schedule:
            # Its firings are one chain, so they would share a lineage and thus the first one's row, decisions and effects.
            raise refusal("a cron start is refused: use a Temporal Schedule, which starts a run of its own each time")
        if self.carried and not self._continues(self.carried, info):
            raise refusal("`carried` is what one execution gives the next: a start has `automation` and `input`")
        self.run = self.carried.run if self.carried else await self._opened()
        self._slots = asyncio.Semaphore(self.run.limits.parallel)
        self._claims = asyncio.create_task(self.gates.hand_over(self.run.ref))
        self._watch = asyncio.create_task(self.control.watch(self.run.ref))

    def _continues(self, carried: Carried, info: workflow.Info) -> bool:
        """Return whether an earlier execution of this very chain carried it: who starts a chain cannot know its first run id."""
        ref = carried.run.ref
        return bool(info.continued_run_id) and ref.lineage == info.first_execution_run_id and ref.tenant == self._start.tenant

    async def _opened(self) -> Run:
        info = workflow.info()
        request = OpenRunRequest(
            tenant=self._start.tenant,
            lineage=info.first_execution_run_id,
            workflow_id=info.workflow_id,
            workflow_type=info.workflow_type,
            automation=self._start.automation,
            input=self._start.input,
            starter=self._start.starter,
            **({"fork": self._start.fork} if self._start.fork else {}),
        )
        try:
            return await steps.open_run(request)
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            raise refusal(steps.reason(error)) from error

    def go_on(self) -> None:
        """Raise CancelledError where a cancel came while an activity ended well: the SDK then keeps it to itself."""
        if workflow.cancellation_reason() is not None:
            raise asyncio.CancelledError

    async def act(self, step: StepRef) -> str | None:
        """Act on a step until it has ended; None where it waits and the run goes on elsewhere."""
        while await self.gates.passed(step.id, self.run.ref):
            if not await self.control.going():
                return None
            # People and calendars are waited for outside of this: only calls take a place.
            async with self._slots:
                if self.gates.leaving:
                    return None
                if self.control.paused:
                    continue
                try:
                    result = await steps.act(ActRequest(run=self.run.ref, step=step.id), self.run.limits, quick=step.quick)
                except ActivityError as error:
                    if is_cancelled_exception(error):
                        raise
                    result = await steps.give_up(GiveUpRequest(run=self.run.ref, step=step.id, why=steps.reason(error)))
            if result.status in ENDED:
                return result.status
            if result.status == "paused":
                # The row said so before the wake did.
                await self.control.look()
            self.gates.note(step.id, result)
        return None

    async def decide(self, request: ProposeRequest) -> Decision:
        """Make one decision, now or once the run is resumed. Raises: ActivityError where it cannot be made."""
        while True:
            try:
                decision = await steps.propose(request, self.run.limits, quick=self.run.quick)
            except ActivityError as error:
                if not is_cancelled_exception(error):
                    # What then ends the run, and may undo it, has to wait as well.
                    await workflow.wait_condition(lambda: not self.control.paused)
                raise
            if not decision.paused:
                return decision
            await self.control.look()
            await workflow.wait_condition(lambda: not self.control.paused)

    async def held(self) -> bool:
        """Wait while the run is paused, before what comes of a plan is seen; return whether it was."""
        if not self.control.paused:
            return False
        await workflow.wait_condition(lambda: not self.control.paused or self.leaving())
        return True

    async def inherit(self) -> Carried | None:
        """Return where a fork begins; None for every other run, and for a fork that is under way."""
        if self._start.fork is None or self.carried:
            return None
        inherited = await steps.inherit(InheritRequest(run=self.run))
        self.counts.update(inherited.counts)
        return inherited

    def leaving(self) -> bool:
        """Return whether this execution has grown enough: nothing new is started from then on."""
        info = workflow.info()
        grown = info.get_current_history_length() >= self.run.limits.history_events
        self.gates.leaving = self.gates.leaving or grown or info.is_continue_as_new_suggested()
        return self.gates.leaving

    async def continue_as_new(self, carried: Carried) -> None:
        """Go on in a new execution, with every wait and every claim. Nothing runs any more; does not return."""
        await self._quiet()
        await self.gates.hand_over_rest(self.run.ref, but=CLAIMS_CARRIED)
        # From here to the end nothing is awaited, so no signal can come between.
        carried = carried.model_copy(update={"counts": dict(self.counts), **self.gates.carried()})
        workflow.continue_as_new(self._start.model_copy(update={"carried": carried, "input": {}}))

    async def _quiet(self) -> None:
        """Wait until the claim that is being handed over is answered; a cancel of the wait must not cancel that."""
        self.gates.leaving = True
        await workflow.wait_condition(lambda: self._claims.done() and self._watch.done())
        self._claims.result()
        self._watch.result()

    async def end(self, status: Ending, summary: str, decisions: int) -> RunResult:
        """Undo what a failed run did, end its row and answer what people still said. A cancel does not stop it.

        Raises: ApplicationError where the run failed, so that Temporal shows it as failed.
        """
        ending = asyncio.create_task(self._ended(status, summary, decisions))
        try:
            await workflow.wait_condition(ending.done)
        except asyncio.CancelledError:
            await workflow.wait_condition(ending.done)
        return ending.result()

    async def _ended(self, status: Ending, summary: str, decisions: int) -> RunResult:
        undone = None
        if status != "completed" and await self._on_failure() == "undo":
            undone = await self._undone(summary)
            summary += _left(undone)
        await steps.close_run(CloseRunRequest(run=self.run.ref, status=status, summary=summary[:2000]))
        if isinstance(undone, UndoResult) and undone.asks:
            await steps.ask_about_rest(UndoStart(tenant=self.run.ref.tenant, lineage=self.run.ref.lineage, order=names.AT_END))
        await self._quiet()
        await self.gates.hand_over_rest(self.run.ref)
        if status == "failed":
            raise ApplicationError(summary, type="RunFailed", non_retryable=True)
        return RunResult(lineage=self.run.ref.lineage, status=status, summary=summary, decisions=decisions, statuses=dict(self.counts))

    async def _on_failure(self) -> str:
        """Return what becomes of what the run did: what a cancel said of it, else what the bundle says."""
        if not workflow.patched("operate"):
            return self.run.on_failure
        ref = self.run.ref
        return (await steps.look(LookRequest(tenant=ref.tenant, lineage=ref.lineage))).ending or self.run.on_failure

    async def _undone(self, summary: str) -> UndoResult | str:
        """Undo what the run did; a string says why that failed."""
        try:
            return await steps.undo(UndoRequest(run=self.run.ref, reason=summary), self.run.limits)
        except ActivityError as error:
            # The row is closed all the same: a run that stays open would say less.
            return steps.reason(error)


def _left(undone: UndoResult | str) -> str:
    if isinstance(undone, str):
        return f"; the undo failed: {undone}"
    asked = f" ({undone.asks} of them are asked about)" if undone.asks else ""
    return f"; not undone: {'; '.join(undone.left)}{asked}" if undone.left else ""
