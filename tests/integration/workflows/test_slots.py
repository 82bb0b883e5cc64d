"""Slots: a durable timer that follows its entry, and what becomes of a slot that was missed."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client

from activities.sweeper import Sweeper
from contracts import names
from contracts.approvals import Wake
from contracts.effects import ActResult
from ledger import outbox
from tests.fake_activities import World
from tests.house import Handle, House, plan, statuses, step
from tests.servers import until

PLAN = plan(step("a", "probe.slotted", note="page"))


SOON = 6.0
"""Seconds until a slot that a run is to be waiting for when it comes, on a slow machine too."""
PROMPT = timedelta(seconds=1)
"""Within this a step has run because its slot came."""


async def at(house: House, seconds: float, **more: Any) -> datetime:
    """Put the slot so many seconds from now."""
    when = datetime.now(UTC) + timedelta(seconds=seconds)
    await house.put("slot", "page", {"at": when.isoformat(), **more})
    return when


async def waits(house: House) -> Handle:
    """Start the run and wait until its timer runs."""
    handle = await house.start(PLAN)
    await house.until(handle, lambda found: statuses(found).get("a") == "waiting")
    return handle


async def claimed(house: House, handle: Handle) -> datetime:
    """Wait for the run's end and return when its effect was claimed."""
    assert await house.ended(handle) == "COMPLETED"
    [effect] = await house.effects(handle)
    return effect.claimed_at


async def test_a_step_with_a_slot_runs_then_and_not_before(house: House) -> None:
    when = await at(house, SOON)
    handle = await waits(house)
    late = await claimed(house, handle) - when
    assert timedelta(0) <= late < PROMPT


async def test_a_slot_that_is_moved_earlier_moves_the_timer(house: House) -> None:
    await at(house, 86_400)
    handle = await waits(house)
    when = await at(house, 0.5)
    async with house.database.transaction("default") as tx:
        await outbox.put(tx, handle.id, Wake(request=None))
    await Sweeper(house.database, house.client, "default").sweep()
    assert await claimed(house, handle) - when < PROMPT


async def test_a_slot_that_is_moved_later_moves_the_timer(house: House) -> None:
    await at(house, SOON)
    handle = await waits(house)
    when = await at(house, SOON)
    await handle.signal(names.WAKE, {})
    assert timedelta(0) <= await claimed(house, handle) - when < PROMPT


async def test_a_slot_that_is_moved_later_without_a_word_is_still_not_run_early(house: House) -> None:
    await at(house, SOON)
    handle = await waits(house)
    when = await at(house, SOON)
    assert await claimed(house, handle) >= when


async def test_a_missed_slot_that_may_run_late_runs(house: House) -> None:
    await at(house, -3600, missed="run")
    found = await house.run(PLAN)
    assert statuses(found) == {"a": "done"}


async def test_a_missed_slot_that_is_to_be_skipped_is_skipped(house: House) -> None:
    await at(house, -3600, missed="skip")
    found = await house.run(PLAN)
    assert found.run.status == "completed" and statuses(found) == {"a": "skipped"} and await house.calls() == {}
    assert "nobody was there" in found.steps[0].detail


@pytest.mark.parametrize(("verdict", "status"), [("approve", "done"), ("reject", "refused")])
async def test_a_missed_slot_that_a_person_is_to_be_asked_about_asks(house: House, verdict: str, status: str) -> None:
    await at(house, -3600, missed="ask")
    handle = await house.start(PLAN)
    found = await house.waiting(handle)
    assert found.waiting[0].question == "late" and "run it now?" in found.waiting[0].reason
    await house.decide(handle, found.waiting[0].id, verdict)
    assert await house.ended(handle) == "COMPLETED" and statuses(await house.explained(handle)) == {"a": status}


async def test_a_slot_within_its_grace_is_not_missed(house: House) -> None:
    await at(house, -5, missed="skip", grace=60)
    assert statuses(await house.run(PLAN)) == {"a": "done"}


async def test_a_slot_that_is_moved_while_it_is_being_read_is_read_again(client: Client) -> None:
    async def old_then_done(world: World, step: str, nth: int) -> ActResult:
        return ActResult(status="done") if nth > 1 else ActResult(status="wait", at=4_000_000_000_000)

    world = World(on_act=old_then_done, hold={names.ACT: asyncio.Event()})
    async with world.started(client) as handle:

        async def reading() -> bool:
            return bool(world.of(names.ACT))

        await until(reading)
        await handle.signal(names.WAKE, {})
        await asyncio.sleep(0.2)
        world.hold[names.ACT].set()
        await asyncio.wait_for(handle.result(), 5)
    assert world.of(names.ACT) == ["a", "a"]


async def test_a_clock_that_is_behind_does_not_make_a_step_ask_without_a_pause(client: Client) -> None:
    async def behind(world: World, step: str, nth: int) -> ActResult:
        return ActResult(status="done") if nth > 2 else ActResult(status="wait", at=1_000)

    world = World(on_act=behind)
    async with world.started(client) as handle:
        await asyncio.sleep(0.5)
        assert world.of(names.ACT) == ["a"]
        await handle.result()
