"""Activities under their real names that do what a test tells them: for what workflows decide alone."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from contracts import names
from contracts.approvals import ClimbRequest, Gate, RequestState, RuleRequest, RuleResult, Rung
from contracts.decisions import Decision, ProposeRequest
from contracts.effects import ActRequest, ActResult, GiveUpRequest, UndoRequest, UndoResult
from contracts.operations import LookRequest, Standing
from contracts.plans import StepRef
from contracts.runs import CloseRunRequest, Limits, OpenRunRequest, Run, RunRef, StartRequest
from worker import RUNNER, WORKFLOWS

OnAct = Callable[["World", str, int], Awaitable[ActResult]]
"""World, step, which call of it this is (from 1) -> its answer."""


async def ends(world: "World", step: str, nth: int) -> ActResult:
    """Let every step end at once."""
    return ActResult(status="done")


def gate(request: str, step: str, *rungs: tuple[float, str]) -> ActResult:
    """Answer that a person has to be asked. rungs: when (epoch seconds) and what."""
    made = tuple(Rung(at=int(at * 1000), kind=kind) for at, kind in rungs)  # pyright: ignore[reportArgumentType]
    return ActResult(status="needs_approval", gate=Gate(request=request, step=step, rungs=made))


@dataclass
class World:
    """What happened, and what is to happen."""

    steps: Sequence[str] = ("a",)
    on_act: OnAct = ends
    limits: Limits = field(default_factory=Limits)
    ruled: set[str] = field(default_factory=set[str])
    """Requests that have ended."""
    happened: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    standing: Standing = field(default_factory=Standing)
    """What people want of the run."""
    hold: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])
    """Activity -> what it waits for before it answers, whatever is cancelled meanwhile."""

    def of(self, name: str) -> list[Any]:
        """Return what happened in one activity."""
        return [what for of, what in self.happened if of == name]

    async def _note(self, name: str, what: Any) -> None:
        self.happened.append((name, what))
        while (held := self.hold.get(name)) and not held.is_set():
            with suppress(asyncio.CancelledError):
                await held.wait()

    @activity.defn(name=names.OPEN_RUN)
    async def open_run(self, request: OpenRunRequest) -> Run:
        await self._note(names.OPEN_RUN, request)
        return Run(ref=RunRef(tenant=request.tenant, lineage=request.lineage, bundle="b"), automation="fake", limits=self.limits)

    @activity.defn(name=names.CLOSE_RUN)
    async def close_run(self, request: CloseRunRequest) -> None:
        await self._note(names.CLOSE_RUN, request.status)

    @activity.defn(name=names.PROPOSE)
    async def propose(self, request: ProposeRequest) -> Decision:
        await self._note(names.PROPOSE, request.step)
        return Decision(seq=request.seq + 2, digest="d", steps=tuple(StepRef(id=id, tool="t") for id in self.steps))

    @activity.defn(name=names.ACT)
    async def act(self, request: ActRequest) -> ActResult:
        await self._note(names.ACT, request.step)
        return await self.on_act(self, request.step, self.of(names.ACT).count(request.step))

    @activity.defn(name=names.GIVE_UP)
    async def give_up(self, request: GiveUpRequest) -> ActResult:
        await self._note(names.GIVE_UP, request.step)
        return ActResult(status="failed")

    @activity.defn(name=names.UNDO)
    async def undo(self, request: UndoRequest) -> UndoResult:
        await self._note(names.UNDO, request.reason)
        return UndoResult()

    @activity.defn(name=names.RULE)
    async def rule(self, request: RuleRequest) -> RuleResult:
        await self._note(names.RULE, request.nth)
        named = request.claim.ruling.request if request.claim.ruling else ""
        self.ruled |= {named} if named else set()
        return RuleResult(accepted=bool(named), message="", request=named, ended=bool(named))

    @activity.defn(name=names.CLIMB)
    async def climb(self, request: ClimbRequest) -> RequestState:
        await self._note(names.CLIMB, request.rung)
        ended = request.rung.kind == "end" or request.request in self.ruled
        return RequestState(state="expired" if ended else "pending", ended=ended)

    @activity.defn(name=names.LOOK)
    async def look(self, request: LookRequest) -> Standing:
        await self._note(names.LOOK, request.lineage)
        return self.standing

    @asynccontextmanager
    async def started(self, client: Client, **options: Any) -> AsyncGenerator[WorkflowHandle[Any, Any]]:
        """Run a worker with these activities and start one run."""
        queue = f"fake-{secrets.token_hex(4)}"
        activities = [self.open_run, self.close_run, self.propose, self.act, self.give_up, self.undo, self.rule, self.climb, self.look]
        async with Worker(client, task_queue=queue, workflows=WORKFLOWS, activities=activities, workflow_runner=RUNNER, **options):
            yield await client.start_workflow(names.ORCHESTRATOR, StartRequest(automation="fake"), id=f"run-{queue}", task_queue=queue)
