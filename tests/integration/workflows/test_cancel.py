"""A cancel: whatever the run is doing, it undoes, closes its row, and Temporal shows it as cancelled."""

import asyncio
import time

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import CancelledError

from contracts import names
from contracts.effects import ActResult
from tests.fake_activities import World, gate
from tests.house import House, plan, statuses, step
from tests.integration.workflows.conftest import HouseOf
from tests.servers import until

FIRST = step("a", note="one")


async def test_a_cancel_with_a_gate_open_undoes_and_cancels_its_request(house: House) -> None:
    handle = await house.start(plan(FIRST, step("b", "probe.write", "a", ask=True)))
    await house.waiting(handle)
    await handle.cancel()
    assert await house.ended(handle) == "CANCELED"
    found = await house.explained(handle)
    assert (found.run.status, found.run.summary) == ("cancelled", "cancelled by request")
    assert found.requests[0].state == "cancelled" and statuses(found) == {"a": "done", "b": "skipped"}
    assert await house.notes() == [] and list((await house.calls("erasures")).values()) == [1]


async def test_a_cancel_with_a_timer_running_undoes(house: House) -> None:
    await house.put("slot", "later", {"at": "2999-01-01T00:00:00Z"})
    handle = await house.start(plan(FIRST, step("b", "probe.slotted", "a", note="later")))
    await house.until(handle, lambda found: statuses(found).get("b") == "waiting")
    await handle.cancel()
    assert await house.ended(handle) == "CANCELED"
    assert (await house.explained(handle)).run.status == "cancelled" and await house.notes() == []


async def test_a_cancel_with_a_step_running_stops_it_finds_out_what_it_did_and_undoes_all(house_of: HouseOf) -> None:
    async with house_of(worker={"heartbeat_seconds": 1}, tools={"seconds=20)": "seconds=4)"}) as house:
        handle = await house.start(plan(FIRST, step("b", "probe.slow", "a", note="two", seconds=2)))

        async def running() -> bool:
            return len(await house.effects(handle)) == 2

        await until(running)
        await handle.cancel()
        assert await house.ended(handle) == "CANCELED"
        found = await house.explained(handle)
        assert (found.run.status, found.run.summary) == ("cancelled", "cancelled by request") and await house.notes() == []
        # Nobody saw how the call ended, so it was made again with its key: what it did is known then, and taken back.
        assert {effect.step: effect.state for effect in await house.effects(handle) if not effect.undoes} == {
            "a": "compensated",
            "b": "compensated",
        }


async def test_a_cancel_while_a_decision_is_made_ends_the_run_with_nothing_done(house_of: HouseOf) -> None:
    async with house_of(worker={"heartbeat_seconds": 1}) as house:
        handle = await house.start({**plan(FIRST), "delay": 15})

        async def asked() -> bool:
            return house.model.count == 1

        await until(asked)
        await handle.cancel()
        assert await house.ended(handle) == "CANCELED"
        found = await house.explained(handle)
        assert found.run.status == "cancelled" and found.steps == [] and await house.calls() == {}


async def _cancelled(client: Client, world: World, held: str) -> None:
    """Cancel a run while one activity is under way that ends well all the same."""
    world.hold[held] = asyncio.Event()
    async with world.started(client) as handle:

        async def under_way() -> bool:
            return bool(world.of(held))

        await until(under_way)
        await handle.cancel()
        await asyncio.sleep(0.3)
        world.hold[held].set()
        with pytest.raises(WorkflowFailureError) as failure:
            await handle.result()
        assert isinstance(failure.value.cause, CancelledError)


@pytest.mark.parametrize("held", [names.OPEN_RUN, names.PROPOSE])
async def test_a_cancel_is_heard_though_what_runs_ends_well(client: Client, held: str) -> None:
    world = World()
    await _cancelled(client, world, held)
    assert world.of(names.ACT) == [] and world.of(names.CLOSE_RUN) == ["cancelled"]


@pytest.mark.parametrize("answer", [gate("r1", "a", (time.time() + 86_400, "end")), ActResult(status="wait", at=4_000_000_000_000)])
async def test_a_cancel_while_a_step_finds_out_that_it_must_wait_ends_the_run(client: Client, answer: ActResult) -> None:
    async def waits(world: World, step: str, nth: int) -> ActResult:
        return answer

    world = World(on_act=waits)
    await _cancelled(client, world, names.ACT)
    assert world.of(names.ACT) == ["a"] and world.of(names.UNDO) == ["cancelled by request"] and world.of(names.CLOSE_RUN) == ["cancelled"]


async def test_a_cancel_during_the_undo_of_a_failed_run_does_not_stop_it(client: Client) -> None:
    async def fails(world: World, step: str, nth: int) -> ActResult:
        return ActResult(status="unknown")

    world = World(on_act=fails, hold={names.UNDO: asyncio.Event()})
    async with world.started(client) as handle:

        async def undoing() -> bool:
            return bool(world.of(names.UNDO))

        await until(undoing)
        await handle.cancel()
        await asyncio.sleep(0.3)
        assert world.of(names.CLOSE_RUN) == []
        world.hold[names.UNDO].set()
        with pytest.raises(WorkflowFailureError, match="Workflow execution failed"):
            await handle.result()
    assert world.of(names.CLOSE_RUN) == ["failed"] and len(world.of(names.UNDO)) == 1


async def test_a_cancel_while_a_claim_is_handed_over_still_answers_it(client: Client) -> None:
    async def waits(world: World, step: str, nth: int) -> ActResult:
        return gate("r1", step, (time.time() + 86_400, "end"))

    world = World(on_act=waits, hold={names.RULE: asyncio.Event()})
    async with world.started(client) as handle:
        await handle.signal("nonsense")
        await handle.signal("nonsense")

        async def ruling() -> bool:
            return bool(world.of(names.RULE)) and bool(world.of(names.ACT))

        await until(ruling)
        await handle.cancel()
        await asyncio.sleep(0.3)
        world.hold[names.RULE].set()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    assert world.of(names.RULE) == [0, 1] and world.of(names.CLOSE_RUN) == ["cancelled"]
