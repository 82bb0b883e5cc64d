"""The undo of a run that has ended: it takes back what it can, and waits for people where they must say."""

import asyncio

from temporalio import workflow

from contracts import names
from contracts.approvals import Gate
from contracts.effects import UndoCarried, UndoRequest, UndoResult, UndoStart
from contracts.runs import Limits, RunRef
from workflows import steps
from workflows.approval import CLAIMS_CARRIED, Gates
from workflows.lifecycle import refusal

NO_START = UndoStart(tenant="none", lineage="none", order="none")
"""What the workflow takes a missing input for: without a default the server would offer the start again for ever."""
EVENTS = 4000
"""Of one execution: what people say while it waits may not fill its history."""


@workflow.defn(name=names.UNDO_RUN)
class Undo:
    """Started by `starter.py undo`, by a run that ended with something left, or by reconcile; ends when nothing is left to ask.

    Signals: `decide` with a Ruling, `wake`. Update: `decide`. Query: `pending`.
    A cancel ends the waiting, and leaves what is left as it is.
    """

    @workflow.init  # Handlers may run before `run` does.
    def __init__(self, start: UndoStart = NO_START) -> None:
        self.gates = Gates(None)
        start = start or NO_START
        # Claims are numbered on from the start's time: the run's own, and those of an earlier undo, have lower numbers.
        self.gates.claimed = int(workflow.info().start_time.timestamp() * 1000)
        # By request: two attempts of one step are two effects, and each may be asked about.
        self._by_request = workflow.patched("gates-by-request")
        if carried := start.carried:
            self.gates.gates = {self._key(gate): gate for gate in carried.gates}
            self.gates.claims, self.gates.claimed = list(carried.claims), carried.claimed

    @workflow.run
    async def run(self, start: UndoStart = NO_START) -> UndoResult:
        if start is NO_START or (start.carried and not workflow.info().continued_run_id):
            given = "no input was given" if start is NO_START else "`carried` is what one execution gives the next"
            await self.gates.dismiss("this undo did not begin")
            raise refusal(f"{given}: `starter.py undo RUN` starts this workflow")
        ref = RunRef(tenant=start.tenant, lineage=start.lineage, bundle="")
        request = UndoRequest(run=ref, order=start.order)
        claims = asyncio.create_task(self.gates.hand_over(ref))
        try:
            result = await self._undone(request)
        except asyncio.CancelledError:
            # Shielded, so that no request stays open for which nobody waits.
            await asyncio.shield(asyncio.create_task(steps.undo(request.model_copy(update={"leave": True}), Limits())))
            await self.gates.dismiss("the undo was cancelled")
            raise
        self.gates.leaving = True
        await workflow.wait_condition(claims.done)
        if result.gates:
            await self.gates.hand_over_rest(ref, but=CLAIMS_CARRIED)
            workflow.continue_as_new(start.model_copy(update={"carried": self._carried()}))
        await self.gates.hand_over_rest(ref)
        return result

    async def _undone(self, request: UndoRequest) -> UndoResult:
        """Undo until nobody need be asked any more, or until this execution has grown enough."""
        while True:
            result = await steps.undo(request, Limits())
            held = {gate.request: gate for gate in self.gates.gates.values()}
            # One that is known already has fewer rungs ahead than its row.
            self.gates.gates = {self._key(gate): held.get(gate.request, gate) for gate in result.gates}
            if not result.gates:
                return result
            await self._one_ruled(request.run)
            if self.gates.leaving:
                return result

    async def _one_ruled(self, ref: RunRef) -> None:
        """Wait until one of the requests is ruled or expires, or this execution has grown enough."""
        waiting = [asyncio.create_task(self.gates.passed(step, ref)) for step in list(self.gates.gates)]
        woken = self.gates.wakes
        # A wake that names no request tells of another order.
        await workflow.wait_condition(lambda: any(task.done() for task in waiting) or self.gates.wakes > woken or self._grown())
        self.gates.leaving = self._grown()
        if not self.gates.leaving:
            for task in waiting:
                task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    def _key(self, gate: Gate) -> str:
        return gate.request if self._by_request else gate.step

    def _grown(self) -> bool:
        info = workflow.info()
        return info.get_current_history_length() >= EVENTS or info.is_continue_as_new_suggested()

    def _carried(self) -> UndoCarried:
        carried = self.gates.carried()
        return UndoCarried(gates=carried["gates"], claims=carried["claims"], claimed=carried["claimed"])
