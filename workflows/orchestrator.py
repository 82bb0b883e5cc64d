"""Pattern 1, centralized: one planner decides, and every step of its plan is one `act`."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from contracts import names
from contracts.decisions import Decision, ProposeRequest
from contracts.runs import Carried, Progress, RunResult, StartRequest
from workflows import steps
from workflows.lifecycle import NO_START, Lifecycle
from workflows.plan import AGAIN, BAD, PlanRun


@workflow.defn(name=names.ORCHESTRATOR)
class Orchestrator:
    """Started by anyone with a StartRequest; ends when its planner says done, or knows nothing better for what failed.

    Signals: `decide` with a Ruling, `pause`, `resume` and `retry` with who says so, `wake`. Update: `decide`.
    Queries: `pending`, `progress`.
    """

    @workflow.init  # Handlers may run before `run` does.
    def __init__(self, start: StartRequest = NO_START) -> None:
        self.life = Lifecycle(start or NO_START)
        self.window, self.seq, self.replans, self.done = 0, 0, 0, False
        self.plan = PlanRun((), {}, self.life.act)
        self.life.control.reopen = lambda step: self.plan.reopen(step)
        if carried := self.life.carried:
            self.take_up(carried)

    def take_up(self, carried: Carried) -> None:
        """Begin where an earlier execution, or the original of a fork, was."""
        self.window, self.seq, self.replans, self.done = carried.window, carried.seq, carried.replans, carried.done
        self.plan = PlanRun(carried.plan, carried.statuses, self.life.act)

    @workflow.run
    async def run(self, start: StartRequest = NO_START) -> RunResult:
        await self.life.open()
        try:
            summary, failed = await self.decide_and_act()
        except (asyncio.CancelledError, ActivityError) as error:
            # What ends well all the same, and then would wait for a person, must not begin to.
            self.life.gates.leaving = True
            await self.plan.cancel()
            if is_cancelled_exception(error):
                await self.life.end("cancelled", "cancelled by request", self.window)
                raise
            assert isinstance(error, ActivityError)
            summary, failed = steps.reason(error), True
        return await self.life.end("failed" if failed else "completed", summary, self.window)

    async def decide_and_act(self) -> tuple[str, bool]:
        """Go from window to window; return how it ended, and whether badly."""
        limits = self.life.run.limits
        if inherited := await self.life.inherit():
            self.take_up(inherited)
        while True:
            self.life.go_on()
            await self.plan.run(self.life.leaving)
            if await self.life.held() and not self.life.leaving():
                continue  # Steps may have been opened again meanwhile.
            if self.life.leaving():
                await self.life.continue_as_new(self.carried())
            self.life.counts.update(self.plan.statuses.values())
            again, bad = self.plan.ended(AGAIN), self.plan.ended(BAD)
            if (self.done or bad) and not (again and self.replans < limits.replans):
                return self.summary(bad), bool(bad)
            if self.window >= limits.windows:
                return f"{self.window} decisions are the most this run may take (limits.windows)", True
            self.replans += bool(again)
            decision = await self.propose(again)
            self.seq, self.done = decision.seq, decision.done
            self.plan = PlanRun(decision.steps, {}, self.life.act)

    async def propose(self, failed: tuple[str, ...]) -> Decision:
        """Make the next decision."""
        self.window += 1
        last = self.window == self.life.run.limits.windows
        return await self.life.decide(ProposeRequest(run=self.life.run.ref, step=f"d{self.window}", seq=self.seq, failed=failed, last=last))

    def summary(self, bad: tuple[str, ...]) -> str:
        """Say how the steps ended."""
        counted = ", ".join(f"{count} {status}" for status, count in sorted(self.life.counts.items())) or "no steps"
        return f"{counted}; {', '.join(bad[:5])} failed" if bad else counted

    def carried(self) -> Carried:
        """Return what the next execution needs of this one."""
        run, plan = self.life.run, self.plan
        at = Carried(run=run, window=self.window, seq=self.seq, replans=self.replans, done=self.done)
        return at.model_copy(update={"plan": plan.steps, "statuses": plan.statuses})

    @workflow.query(name=names.PROGRESS)
    def progress(self) -> Progress:
        return Progress(window=self.window, statuses=self.plan.statuses, paused=self.life.control.paused)
