"""A run's life in every pattern: it opens, acts step by step, goes on as a new execution, and ends."""

import asyncio
from collections import Counter

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

from contracts.effects import ENDED, ActRequest, GiveUpRequest, UndoRequest
from contracts.plans import StepRef
from contracts.runs import Carried, CloseRunRequest, Ending, OpenRunRequest, Run, RunResult, StartRequest
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
        self.counts = Counter(self.carried.counts if self.carried else {})
        self.run: Run

    async def open(self) -> None:
        """Pin the run, and begin to hand over claims. Raises: ApplicationError where the run may not start.

        A cancel that comes meanwhile is seen after it, in `go_on`: a row that was inserted has to be closed.
        """
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
            # People and calendars are waited for outside of this: only calls take a place.
            async with self._slots:
                if self.gates.leaving:
                    return None
                try:
                    result = await steps.act(ActRequest(run=self.run.ref, step=step.id), self.run.limits, quick=step.quick)
                except ActivityError as error:
                    if is_cancelled_exception(error):
                        raise
                    result = await steps.give_up(GiveUpRequest(run=self.run.ref, step=step.id, why=steps.reason(error)))
            if result.status in ENDED:
                return result.status
            self.gates.note(step.id, result)
        return None

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
        await workflow.wait_condition(self._claims.done)
        self._claims.result()

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
        if status != "completed" and self.run.on_failure == "undo":
            summary += await self._undone(summary)
        await steps.close_run(CloseRunRequest(run=self.run.ref, status=status, summary=summary[:2000]))
        await self._quiet()
        await self.gates.hand_over_rest(self.run.ref)
        if status == "failed":
            raise ApplicationError(summary, type="RunFailed", non_retryable=True)
        return RunResult(lineage=self.run.ref.lineage, status=status, summary=summary, decisions=decisions, statuses=dict(self.counts))

    async def _undone(self, summary: str) -> str:
        """Undo what the run did; say what is left, if anything."""
        try:
            left = (await steps.undo(UndoRequest(run=self.run.ref, reason=summary), self.run.limits)).left
        except ActivityError as error:
            # The row is closed all the same: a run that stays open would say less.
            return f"; the undo failed: {steps.reason(error)}"
        return f"; not undone: {'; '.join(left)}" if left else ""
