"""The one interpreter of a plan: order, parallelism and what is skipped; it is told how a step is executed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from temporalio import workflow

from contracts.effects import ENDED
from contracts.plans import StepRef

Execute = Callable[[StepRef], Awaitable[str | None]]
"""Run one step to its end and return its status; None where it has not ended and the run goes on elsewhere."""

AGAIN = frozenset({"failed", "denied"})
"""Ends after which another plan may do better."""
BAD = AGAIN | {"unknown"}
"""Ends with which a run has failed."""


class PlanRun:
    """A plan under way. ``statuses`` has every step that has ended, in this execution or an earlier one."""

    def __init__(self, steps: Sequence[StepRef], statuses: Mapping[str, str], execute: Execute) -> None:
        self.steps = tuple(steps)
        self.statuses = dict(statuses)
        self._ids = frozenset(step.id for step in self.steps)
        self._execute = execute
        self._running: dict[str, asyncio.Task[str | None]] = {}
        self._reopened: set[str] = set()
        self._changed = False

    async def run(self, leaving: Callable[[], bool]) -> None:
        """Return when every step has ended or, once ``leaving``, when those have that could not be left as they are."""
        while True:
            if not leaving():
                self._start()
            if not self._running:
                return
            self._changed = False
            await workflow.wait_condition(lambda: self._changed or any(task.done() for task in self._running.values()) or leaving())
            if leaving():
                # Those that wait notice by themselves and return None; running activities come to their end.
                await asyncio.gather(*self._running.values())
            self._collect()

    async def cancel(self) -> None:
        """Cancel what runs, and wait until it has ended."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def ended(self, statuses: frozenset[str]) -> tuple[str, ...]:
        """Return the steps that ended with one of these statuses, in the plan's order."""
        return tuple(step.id for step in self.steps if self.statuses.get(step.id) in statuses)

    def reopen(self, id: str) -> None:
        """Let a step that ended badly be run again, and with it what was skipped because of it."""
        if id in self._running:
            # Its end is under way to us, or was when it was opened again.
            self._reopened.add(id)
        if id not in self._ids or self.statuses.get(id) == "done":
            return
        opened = {id}
        while more := {step.id for step in self.steps if step.id not in opened and opened.intersection(step.needs)}:
            opened |= more
        self.statuses = {
            step: status for step, status in self.statuses.items() if step != id and not (step in opened and status == "skipped")
        }
        self._changed = True

    def _start(self) -> None:
        """Skip the steps whose needs never will be done, and start those whose needs are."""
        fresh = [step for step in self.steps if step.id not in self.statuses and step.id not in self._running]
        while doomed := [step.id for step in fresh if any(need in ENDED - {"done"} for need in self._needs(step))]:
            self.statuses |= dict.fromkeys(doomed, "skipped")
            fresh = [step for step in fresh if step.id not in self.statuses]
        for step in fresh:
            if all(need == "done" for need in self._needs(step)):
                self._running[step.id] = asyncio.create_task(self._run(step))

    def _needs(self, step: StepRef) -> list[str]:
        # What is no step of this plan is one of an earlier window, and a plan may only need those that are done.
        return [self.statuses.get(need, "" if need in self._ids else "done") for need in step.needs]

    async def _run(self, step: StepRef) -> str | None:
        return await self._execute(step)

    def _collect(self) -> None:
        for id in [id for id, task in self._running.items() if task.done()]:
            # A step that raised takes the run with it: `execute` turns every end it knows into a status.
            status = self._running.pop(id).result()
            if status and (status == "done" or id not in self._reopened):
                self.statuses[id] = status
            self._reopened.discard(id)
