"""Long waits, with a server that skips time: a deadline is a moment, however many executions pass before it."""

import sys
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from contracts import names
from contracts.converter import DATA_CONVERTER
from contracts.effects import ActResult
from contracts.runs import Limits
from tests.fake_activities import World, gate
from tests.integration.workflows.test_continue_as_new import executions

SERVER = Path(sys.executable).parent / "temporal-test-server"
DAY = 86_400.0


@pytest.fixture
async def skipping() -> AsyncGenerator[WorkflowEnvironment]:
    """A server whose clock jumps to the next timer."""
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=str(SERVER), data_converter=DATA_CONVERTER) as made:
        yield made


class Deadline:
    """A request that nobody rules on: reminders after each half day, the end after three."""

    def __init__(self, begun: datetime) -> None:
        at = begun.timestamp()
        halves = [(at + nth * DAY / 2, "remind") for nth in range(1, 6)]
        self.rungs = (*halves, (at + 2.75 * DAY, "escalate"), (at + 3 * DAY, "end"))

    async def act(self, world: World, step: str, nth: int) -> ActResult:
        ended = any(rung.kind == "end" for rung in world.of(names.CLIMB))
        return ActResult(status="refused") if ended else gate("r1", step, *self.rungs)


async def _waited(client: Client, begun: datetime, chatter: int, limits: Limits) -> tuple[World, timedelta, int]:
    deadline = Deadline(begun)
    world = World(on_act=deadline.act, limits=limits)
    async with world.started(client) as handle:
        for _ in range(chatter):
            await client.get_workflow_handle(handle.id).signal("nonsense")
        # By the handle of the start: only that one lets the server skip time.
        await handle.result()
        last = await client.get_workflow_handle(handle.id).describe()
        assert last.close_time is not None
        count = len(await executions(client, handle.id)) if chatter else 1
    assert [rung.at for rung in world.of(names.CLIMB)] == [int(at * 1000) for at, _ in deadline.rungs], "each rung once and in order"
    return world, last.close_time - begun, count


async def test_a_deadline_of_three_days_is_three_days(skipping: WorkflowEnvironment) -> None:
    _, waited, _ = await _waited(skipping.client, await skipping.get_current_time(), 0, Limits())
    assert timedelta(days=3) <= waited < timedelta(days=3, minutes=1)


async def test_a_deadline_of_three_days_stays_three_days_over_several_executions(skipping: WorkflowEnvironment) -> None:
    world, waited, count = await _waited(skipping.client, await skipping.get_current_time(), 60, Limits(history_events=50))
    assert timedelta(days=3) <= waited < timedelta(days=3, minutes=1)
    assert count >= 3 and world.of(names.RULE) == list(range(60)) and len(world.of(names.OPEN_RUN)) == 1
