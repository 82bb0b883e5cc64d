"""Workers come and go: what one was in the middle of when it was killed, another takes over."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise

from settings import ROOT
from tests.house import House, plan, statuses, step
from tests.integration.workflows.conftest import HouseOf
from tests.servers import free_port, until

SHORT = {"heartbeat_seconds": 2, "sticky_seconds": 1}


@asynccontextmanager
async def process(house: House, database_url: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run a worker of its own, as `python worker.py` does, with its settings in the environment."""
    settings = house.settings
    named = {
        "PERDURE_STATE": settings.state, "PERDURE_AUTOMATIONS": settings.automations, "PERDURE_TASK_QUEUE": settings.task_queue,
        "PERDURE_DATABASE_URL": database_url, "TEMPORAL_ADDRESS": settings.temporal_address, "OPENAI_BASE_URL": settings.openai_base_url,
        "PERDURE_MODEL": "scripted", "PERDURE_ONE_MACHINE": "true", "PERDURE_METRICS_PORT": free_port(),
        **{f"PERDURE_{name.upper()}": value for name, value in SHORT.items()},
    }  # fmt: skip
    environment = {**os.environ, **{name: str(value) for name, value in named.items()}}
    made = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "worker.py"), env=environment, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield made
    finally:
        if made.returncode is None:
            made.kill()
        await made.wait()


async def test_a_worker_that_is_killed_in_the_middle_of_everything_is_replaced_and_nothing_is_lost_or_done_twice(
    house_of: HouseOf, database_url: str
) -> None:
    look = {"answer": {"look_ups": [{"tool": "probe.read", "arguments": {"what": "x"}}]}}
    async with house_of(alone=True, tools={"seconds=20)": "seconds=4)"}) as house:
        house.model.set_script(
            [
                {"match": "acting", **plan(step("a", "probe.slow", note="acted", seconds=3), step("b", "probe.write", "a", note="after"))},
                {"match": "waiting", **plan(step("a", note="waited", ask=True))},
                {"match": "deciding", **look, "times": 1},
                {"match": "probe.read: ", "delay": 60, "times": 1, **plan()},
                {"match": "probe.read: ", **plan(step("a", note="decided"))},
            ]
        )
        async with process(house, database_url) as first:
            acting, waiting, deciding = [await house.start(input={"say": say}) for say in ("acting", "waiting", "deciding")]
            request = (await house.waiting(waiting)).waiting[0].id

            async def in_the_middle() -> bool:
                return len(await house.effects(acting)) == 1 and house.model.count == 4

            await until(in_the_middle)
            first.send_signal(signal.SIGKILL)
            await first.wait()
        await house.decide(waiting, request)
        async with house.worker(**SHORT):
            assert [await house.ended(handle) for handle in (acting, waiting, deciding)] == ["COMPLETED"] * 3
        assert await house.notes() == ["acted", "after", "decided", "waited"]
        assert set((await house.calls()).values()) == {1} and set((await house.calls("reads")).values()) == {1}
        assert [(effect.step, effect.state, effect.attempts) for effect in await house.effects(acting)] == [
            ("a", "done", 2),
            ("b", "done", 1),
        ]
        found = await house.explained(deciding)
        # The call that was under way may have been paid for: it is booked as lost, at its worst case, and asked again.
        assert house.model.count == 5 and any(moment.body["event"] == "lost" for moment in found.timeline if moment.kind == "spend")
        assert statuses(found) == {"a": "done"} and found.reserved == 0


async def test_a_worker_that_remembers_nothing_runs_a_whole_plan(house_of: HouseOf) -> None:
    """Every workflow task replays its history from the first event."""
    async with house_of(worker={"max_cached_workflows": 0}, limits={"history_events": 60}) as house:
        await house.put("slot", "page", {"at": "2000-01-01T00:00:00Z"})
        handle = await house.start(
            plan(step("a", note="one"), step("b", "probe.write", "a", ask=True), step("c", "probe.slotted", "b", note="page"), done=False),
            plan(step("bad", "probe.write", note="two", fail="failed")),
            plan(*(step(f"s{nth}", "probe.write", note=f"more {nth}") for nth in range(6))),
        )
        await house.client.get_workflow_handle(handle.id).signal("nonsense")
        await house.decide(handle, (await house.waiting(handle)).waiting[0].id)
        assert await house.ended(handle) == "COMPLETED"
        found = await house.explained(handle)
        assert list(statuses(found).values()).count("done") == 9 and len(found.refusals) == 1
        assert set((await house.calls()).values()) == {1}


async def test_history_stays_as_short_for_each_decision_from_the_third_to_the_thirtieth(house_of: HouseOf) -> None:
    async with house_of(limits={"windows": 40}) as house:
        script = [plan(step("a", note=f"{nth:02}"), done=nth == 29) for nth in range(30)]
        found = await house.run(*script)
        assert found.run.status == "completed"
        history = await house.handles[0].fetch_history()
        begins = [
            place
            for place, event in enumerate(history.events)
            if event.activity_task_scheduled_event_attributes.activity_type.name == "propose"
        ]
        sizes = [sum(event.ByteSize() for event in history.events[begin:end]) for begin, end in pairwise(begins)]
        assert len(begins) == 30 and abs(sizes[-1] / sizes[2] - 1) < 0.1
        assert max(sizes) < 3 * 1024
