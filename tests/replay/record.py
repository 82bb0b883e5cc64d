"""Record the histories of this folder again, from runs on real servers: `python -m tests.replay.record`.

Only for what changes how a workflow behaves on purpose: a history that does not replay any more is a run in the world that would stop.
"""

import asyncio
import json
import re
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory

from contracts import names
from contracts.upkeep import ExpireRequest, ReconcileRequest
from database import Database
from devstack import temporal_program
from devstack.progress import to_stderr
from settings import ROOT, Settings
from tests import operators, servers
from tests.house import Handle, House, opened, plan, statuses, step
from tests.probes import copied

HISTORIES = Path(__file__).parent / "histories"


@dataclass(frozen=True)
class Scene:
    """One run worth keeping. changes: of the probe's configuration."""

    play: Callable[[House], Awaitable[Handle]]
    changes: dict[str, Any] = field(default_factory=dict[str, Any])


async def approval_and_slot(house: House) -> Handle:
    """A plan that is completed: a step, a person, a timer that is moved, and a quick step."""
    await house.put("slot", "page", {"at": "2999-01-01T00:00:00Z"})
    handle = await house.start(
        plan(
            step("a", note="one"),
            step("b", "probe.write", "a", note="two", ask=True),
            step("c", "probe.slotted", "b", note="page"),
            step("d", "probe.final", "c", note="three"),
        )
    )
    for _ in range(2):
        await house.decide(handle, (await house.waiting(handle)).waiting[0].id)
        if not house.settings.automations.joinpath("moved").exists():
            await house.until(handle, lambda found: statuses(found).get("c") == "waiting")
            house.settings.automations.joinpath("moved").touch()
            await house.put("slot", "page", {"at": (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()})
            await handle.signal(names.WAKE, {})
    return handle


async def another_plan_and_undo(house: House) -> Handle:
    """A step that fails, a second plan that fails too, and the undo of what was done."""
    bad = step("b", "probe.write", note="two", fail="failed")
    return await house.start(plan(step("a", note="one"), {**bad, "needs": ["a"]}, step("c", "probe.write", "b")), plan(bad), plan(bad))


async def refusal_and_edit(house: House) -> Handle:
    """Two requests: one is rejected, one edited."""
    handle = await house.start(plan(step("a", note="one", ask=True), step("b", note="two", ask=True), step("c", "probe.write", "a")))
    first, second = (await house.waiting(handle, 2)).waiting
    await house.decide(handle, first.id, "reject", reason="not today")
    await house.decide(handle, second.id, "edit", arguments={"note": "better"})
    return handle


async def silence(house: House) -> Handle:
    """A request nobody answers: a reminder, and the end."""
    return await house.start(plan(step("a", note="one", ask=True)))


async def continued(house: House) -> Handle:
    """A run of several executions, with a request and signals that pass from one to the next."""
    chained = [step(f"s{nth}", "probe.write", *([f"s{nth - 1}"] if nth else []), note=f"{nth}") for nth in range(14)]
    handle = await house.start(plan(step("ask", note="asked", ask=True), *chained))
    await house.until(handle, lambda found: list(statuses(found).values()).count("done") == 14)
    for _ in range(3):
        await house.client.get_workflow_handle(handle.id).signal("nonsense")
    await house.decide(handle, (await house.waiting(handle)).waiting[0].id)
    return handle


async def cancelled(house: House) -> Handle:
    """A cancel while a person is asked."""
    handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", ask=True)))
    await house.waiting(handle)
    await handle.cancel()
    return handle


async def cancelled_at_work(house: House) -> Handle:
    """A cancel while a tool is at work."""
    handle = await house.start(plan(step("b", "probe.slow", note="two", seconds=15)))

    async def running() -> bool:
        return len(await house.effects(handle)) == 1

    await servers.until(running)
    await handle.cancel()
    return handle


async def bad_signals(house: House) -> Handle:
    """Signals of every wrong kind, and then the right one."""
    handle = await house.start(plan(step("a", note="one", ask=True)))
    request = (await house.waiting(handle)).waiting[0].id
    ruling = {"request": request, "verdict": "approve", "by": "eve"}
    for name, inputs in (
        (names.DECIDE, [{**ruling, "request": "apr-none"}]), (names.DECIDE, [{**ruling, "verdict": "maybe"}]), (names.DECIDE, []),
        (names.DECIDE, [ruling, ruling]), (names.DECIDE, [None]), (names.DECIDE, ["approve"]), (names.WAKE, [{}]),
        (names.WAKE, [{"request": request}]), ("approve", [ruling]),
    ):  # fmt: skip
        await handle.signal(name, args=inputs)
    await house.until(handle, lambda found: len(found.refusals) == 7)
    await house.decide(handle, request)
    return handle


async def unknown_type(house: House) -> Handle:
    """A start of a type that nobody has."""
    return await house.start(kind="Nonsense")


async def quick(house: House) -> Handle:
    """Quick steps, the first of which fails beside the workflow task and is tried again through the server."""
    return await house.start(plan(step("a", note="one", fail="transient:1"), step("b", "probe.write", "a", note="two")))


async def quick_planner(house: House) -> Handle:
    """Decisions beside the workflow task, the second of which meets a busy model and is made through the server."""
    return await house.start(plan(step("a", note="one"), done=False), {"fault": "429", "retry_after": 0.1}, plan(step("b", note="two")))


async def paused(house: House) -> Handle:
    """A pause by raw signal while a person is asked, a ruling meanwhile, and the resume by a wake-up."""
    handle = await house.start(plan(step("a", note="one", ask=True), step("b", "probe.write", "a", note="two")))
    request = (await house.waiting(handle)).waiting[0].id
    await handle.signal(names.PAUSE, {"by": "ann", "reason": "lunch"})
    await house.until(handle, lambda found: found.run.paused_at is not None)
    await house.decide(handle, request)
    await house.until(handle, lambda found: not found.waiting)
    await operators.resume(house, handle)
    await house.until(handle, lambda found: statuses(found)["a"] == "done")
    return handle


async def paused_unheard(house: House) -> Handle:
    """A pause whose wake-up is lost: the next decision finds out for itself."""
    handle = await house.start(plan(step("a", "probe.slow", note="one", seconds=1), done=False), plan(step("b", note="two")))

    async def running() -> bool:
        return len(await house.effects(handle)) == 1

    async def knows() -> bool:
        return bool((await handle.query(names.PROGRESS)).get("paused"))

    await servers.until(running)
    await operators.pause(house, handle, wake=False)
    await servers.until(knows)
    await operators.resume(house, handle)
    return handle


async def retried(house: House) -> Handle:
    """A step that failed is opened again while another is at work, and what was skipped because of it follows."""
    failing = step("a", note="one", fail="failed:1")
    handle = await house.start(plan(failing, step("b", "probe.write", "a"), step("slow", "probe.slow", note="slow", seconds=2)))
    await house.until(handle, lambda found: statuses(found).get("a") == "failed")
    await operators.retry(house, handle, "a")
    return handle


async def forked(house: House) -> Handle:
    """A fork at a step, whose repetition passes a person."""
    original = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", note="two")))
    await house.ended(original)
    handle = await operators.fork(house, original, "b")
    await house.decide(handle, (await house.waiting(handle)).waiting[0].id)
    return handle


async def undo_left_to_a_person(house: House) -> Handle:
    """The undo of a run that failed, one of whose compensations fails: a person has it tried again."""
    await house.put("trouble", "erase", {"fail": "failed:1"})
    handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", fail="failed")))
    await house.ended(handle)
    request = (await house.waiting(handle)).waiting[0]
    undo: Handle = house.client.get_workflow_handle(request.workflow_id)
    await undo.signal(names.DECIDE, {"request": request.id, "verdict": "approve", "by": "ann", "reason": "the site is back"})
    return undo


async def reconciled(house: House) -> Handle:
    """A comparison as a Schedule starts it, which finds nothing."""
    await house.ended(await house.start(plan()))
    request = ReconcileRequest(tenant="default")
    return await house.client.start_workflow(names.RECONCILE_ALL, request, id="reconcile", task_queue=house.settings.task_queue)


async def expired(house: House) -> Handle:
    """A tidying up as a Schedule starts it, which finds nothing."""
    await house.ended(await house.start(plan()))
    return await house.client.start_workflow(
        names.EXPIRE_ALL, ExpireRequest(tenant="default"), id="expire", task_queue=house.settings.task_queue
    )


async def cancelled_and_left(house: House) -> Handle:
    """A cancel that leaves what was done, of a paused run."""
    handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", ask=True)))
    await house.waiting(handle)
    await operators.pause(house, handle)
    await operators.cancel(house, handle, "keep")
    return handle


async def answered(house: House) -> Handle:
    """Words as updates: wrong ones, the right ones of two people, and an escalation between them."""
    handle = await house.start(plan(step("a", note="one", ask=True), step("b", "probe.write", "a", note="two")))
    request = (await house.waiting(handle)).waiting[0].id
    ruling = {"request": request, "verdict": "approve", "by": "ann"}
    for given in ([], [{**ruling, "request": "apr-none"}], [ruling], [ruling]):
        await handle.execute_update(names.DECIDE, args=given)
    await house.until(handle, lambda found: any(moment.body.get("event") == "escalated" for moment in found.timeline))
    await handle.execute_update(names.DECIDE, {**ruling, "by": "bob"})
    return handle


SCENES = {
    "approval-and-slot": Scene(approval_and_slot),
    "another-plan-and-undo": Scene(another_plan_and_undo),
    "refusal-and-edit": Scene(refusal_and_edit),
    "silence": Scene(silence, {"approvals": {"deadline": "PT1S", "remind": ["PT0.5S"]}}),
    "continued": Scene(continued, {"limits": {"history_events": 50}}),
    "answered": Scene(answered, {"approvals": {"quorum": 2, "escalate": "PT1S", "escalation": [{"groups": ["lead"]}]}}),
    "cancelled": Scene(cancelled),
    "cancelled-at-work": Scene(cancelled_at_work),
    "bad-signals": Scene(bad_signals),
    "unknown-type": Scene(unknown_type),
    "paused": Scene(paused),
    "paused-unheard": Scene(paused_unheard),
    "retried": Scene(retried),
    "forked": Scene(forked),
    "cancelled-and-left": Scene(cancelled_and_left),
    "undo-left-to-a-person": Scene(undo_left_to_a_person, {"limits": {"replans": 0}}),
    "reconciled": Scene(reconciled),
    "expired": Scene(expired),
    "quick-planner": Scene(quick_planner, {"models": {"planner": {"quick": True}}}),
    "quick": Scene(quick, {"tools": {'"probe.write", effect="write"': '"probe.write", quick=True, effect="write"'}}),
}


@asynccontextmanager
async def house(scene: Scene, temporal_address: str, owner_url: str, template: str, folder: Path) -> AsyncGenerator[House]:
    """Open a house for one scene, on a database of its own."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(servers.scratch_database(owner_url, template))
        database = await Database.connect(servers.as_app(url), size=10)
        stack.push_async_callback(database.close)
        async with database.transaction("default") as tx:
            await tx.execute("INSERT INTO tenant (tenant) VALUES ('default')")
        automations = copied(folder / "automations", **scene.changes)
        made = await stack.enter_async_context(opened(database, temporal_address, folder, folder=automations))
        await stack.enter_async_context(made.worker(heartbeat_seconds=1))
        yield made


async def chain(house: House, handle: Handle) -> list[WorkflowHistory]:
    """Return the histories of a run's executions, first one first."""
    found, run_id = list[WorkflowHistory](), (await house.client.get_workflow_handle(handle.id).describe()).run_id
    while run_id:
        found.insert(0, await house.client.get_workflow_handle(handle.id, run_id=run_id).fetch_history())
        run_id = found[0].events[0].workflow_execution_started_event_attributes.continued_execution_run_id
    return found


def scrubbed(history: WorkflowHistory, queue: str) -> str:
    """Return a history as JSON that names no machine: workers, traces and folders are taken out, which replay does not read."""
    text = json.dumps(_without_machine(history.to_json_dict()), indent=1, ensure_ascii=False)
    text = text.replace(queue, "perdure").replace(socket.gethostname(), "worker")
    assert str(ROOT) not in text and str(Path.home()) not in text, "a path of this machine is left"
    return text + "\n"


def _without_machine(value: Any) -> Any:
    match value:
        case dict():
            blank = {"identity": "worker", "stackTrace": "", "clusterId": "0"}
            return {name: blank.get(name) if name in blank else _without_machine(child) for name, child in value.items()}
        case list():
            return [_without_machine(child) for child in value]
        case str():
            return re.sub(r"\b\d+@[\w.-]+", "worker", value)
        case _:
            return value


async def record(only: list[str]) -> None:
    """Play every scene (or those named) and write its histories."""
    async with AsyncExitStack() as stack:
        owner_url = await stack.enter_async_context(servers.embedded_postgres())
        template = await stack.enter_async_context(servers.migrated_template(owner_url))
        program = await temporal_program.find(Settings().cache, to_stderr)
        temporal = await stack.enter_async_context(servers.embedded_temporal(program))
        for name in only or SCENES:
            with tempfile.TemporaryDirectory() as folder:
                async with house(SCENES[name], temporal, owner_url, template, Path(folder)) as made:
                    handle = await SCENES[name].play(made)
                    await made.ended(handle)
                    histories = await chain(made, handle)
                    for nth, history in enumerate(histories, 1):
                        path = HISTORIES / (f"{name}.json" if len(histories) == 1 else f"{name}-{nth}.json")
                        path.write_text(scrubbed(history, made.settings.task_queue))
                        to_stderr(path.name, f"{len(history.events)} events")


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1:]))
