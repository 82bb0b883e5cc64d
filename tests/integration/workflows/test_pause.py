"""A pause: nothing new begins, whoever wakes the run and wherever it goes on; a resume lets it go on as if nothing had been."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts import names
from tests import operators
from tests.house import Handle, House, plan, statuses, step
from tests.integration.workflows.conftest import HouseOf
from tests.integration.workflows.test_continue_as_new import SMALL, executions
from tests.integration.workflows.test_reset import reset
from tests.servers import until

ASKED_THEN_B = plan(step("a", note="one", ask=True), step("b", "probe.write", "a", note="two"))


async def paused(house: House, handle: Handle) -> dict[str, Any]:
    """Wait until the workflow knows that it is paused, and return what its query says."""
    seen: list[dict[str, Any]] = []

    async def knows() -> bool:
        seen[:] = [await house.client.get_workflow_handle(handle.id).query(names.PROGRESS)]
        return bool(seen[0].get("paused"))

    await until(knows)
    return seen[0]


async def resumed_to_the_end(house: House, handle: Handle) -> None:
    """Resume a run that has done nothing of its `b` yet, and see it done once."""
    assert statuses(await house.explained(handle))["b"] == "planned"
    assert (await operators.resume(house, handle)).changed
    assert await house.ended(handle) == "COMPLETED"
    assert await house.notes() == ["one", "two"] and set((await house.calls()).values()) == {1}


@pytest.mark.parametrize("cached", [1000, 0])
async def test_a_ruling_is_taken_while_paused_and_its_step_begins_after_the_resume(house_of: HouseOf, cached: int) -> None:
    async with house_of(worker={"max_cached_workflows": cached}) as house:
        handle = await house.start(ASKED_THEN_B)
        request = (await house.waiting(handle)).waiting[0].id
        assert (await operators.pause(house, handle)).changed
        said = (await paused(house, handle))["paused"]
        assert (said["by"], said["reason"]) == ("ann", "so") and said["since"].startswith("20")
        pending = await house.client.get_workflow_handle(handle.id).query(names.PENDING)
        assert pending[0]["paused"]["by"] == "ann"
        await house.decide(handle, request)
        found = await house.until(handle, lambda found: found.requests[0].state == "approved")
        assert statuses(found) == {"a": "needs_approval", "b": "planned"} and await house.calls() == {}
        await resumed_to_the_end(house, handle)


async def test_a_step_at_work_comes_to_its_end_and_the_next_does_not_begin(house: House) -> None:
    handle = await house.start(plan(step("a", "probe.slow", note="one", seconds=1.5), step("b", "probe.write", "a", note="two")))

    async def running() -> bool:
        return len(await house.effects(handle)) == 1

    await until(running)
    await operators.pause(house, handle)
    await house.until(handle, lambda found: statuses(found)["a"] == "done")
    await paused(house, handle)
    await resumed_to_the_end(house, handle)


async def test_a_pause_whose_wake_up_is_lost_holds_all_the_same(house: House) -> None:
    handle = await house.start(ASKED_THEN_B)
    request = (await house.waiting(handle)).waiting[0].id
    await operators.pause(house, handle, wake=False)
    await house.decide(handle, request)
    await paused(house, handle)
    assert await house.calls() == {}
    await resumed_to_the_end(house, handle)


async def test_no_decision_is_made_while_paused(house: House) -> None:
    handle = await house.start(plan(step("a", "probe.slow", note="one", seconds=1.5), done=False), plan(step("b", note="two")))

    async def running() -> bool:
        return len(await house.effects(handle)) == 1

    await until(running)
    await operators.pause(house, handle, wake=False)
    await paused(house, handle)
    assert house.model.count == 1
    await operators.resume(house, handle)
    assert await house.ended(handle) == "COMPLETED"
    assert house.model.count == 2 and await house.notes() == ["one", "two"]


async def test_a_pause_passes_continue_as_new_and_another_worker(house_of: HouseOf) -> None:
    async with house_of(alone=True, **SMALL) as house:
        async with house.worker():
            handle = await house.start(ASKED_THEN_B)
            request = (await house.waiting(handle)).waiting[0].id
            await operators.pause(house, handle)
            for nth in range(25):
                await house.client.get_workflow_handle(handle.id).signal("nonsense")
                await house.until(handle, lambda found, nth=nth: len(found.refusals) == nth + 1)
            await house.decide(handle, request)
            await house.until(handle, lambda found: found.requests[0].state == "approved")
        async with house.worker():
            await paused(house, handle)
            assert len(await executions(house.client, handle.id)) > 1 and await house.calls() == {}
            await resumed_to_the_end(house, handle)


async def test_a_reset_of_a_paused_run_stays_paused(house: House) -> None:
    handle = await house.start(ASKED_THEN_B)
    request = (await house.waiting(handle)).waiting[0].id
    await operators.pause(house, handle)
    await paused(house, handle)
    await reset(house, handle)
    await house.decide(handle, request)
    await paused(house, handle)
    assert await house.calls() == {}
    await resumed_to_the_end(house, handle)


@pytest.mark.parametrize(("missed", "status"), [("run", "done"), ("skip", "skipped")])
async def test_a_slot_that_passes_while_paused_is_a_missed_slot(house: House, missed: str, status: str) -> None:
    at = datetime.now(UTC) + timedelta(seconds=2)
    await house.put("slot", "page", {"at": at.isoformat(), "missed": missed, "grace": 0})
    handle = await house.start(plan(step("c", "probe.slotted", note="page")))
    await house.until(handle, lambda found: statuses(found).get("c") == "waiting")
    await operators.pause(house, handle)
    await paused(house, handle)
    await asyncio.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()) + 0.3)
    assert await house.calls() == {}
    await operators.resume(house, handle)
    await house.ended(handle)
    assert statuses(await house.explained(handle)) == {"c": status}


@pytest.mark.parametrize(("ending", "notes"), [(None, []), ("keep", ["one"]), ("undo", [])])
async def test_a_cancel_of_a_paused_run_works_and_its_word_on_the_effects_holds(house: House, ending: str | None, notes: list[str]) -> None:
    handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", note="two", ask=True)))
    await house.waiting(handle)
    await operators.pause(house, handle)
    assert (await operators.cancel(house, handle, ending)).changed
    assert await house.ended(handle) == "CANCELED"
    assert await house.notes() == notes
    again = await operators.cancel(house, handle, "keep")
    assert not again.accepted and "is cancelled since" in again.message


async def test_a_cancel_that_says_undo_undoes_what_the_bundle_would_keep(house_of: HouseOf) -> None:
    async with house_of(on_failure="keep") as house:
        handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", note="two", ask=True)))
        await house.waiting(handle)
        await operators.cancel(house, handle, "undo")
        await house.ended(handle)
        assert await house.notes() == []


async def test_a_pause_and_a_resume_by_raw_signal_are_taken_and_on_record_and_wrong_ones_are_refused(house: House) -> None:
    handle = await house.start(ASKED_THEN_B)
    request = (await house.waiting(handle)).waiting[0].id
    raw = house.client.get_workflow_handle(handle.id)
    await raw.signal(names.PAUSE, {"by": "ann", "reason": "lunch"})
    await paused(house, handle)
    wrong: list[tuple[str, list[Any], str]] = [
        (names.PAUSE, [], "0 inputs were given; one is right"),
        (names.RESUME, [{}], "by: Field required"),
        (names.RESUME, [{"by": "eve", "step": "a"}], "step: Extra inputs are not permitted"),
        (names.RETRY, [{"by": "eve"}], "step: Field required"),
        (names.RETRY, [{"by": "eve", "step": "zz"}], "has no step 'zz'; there are: a, b"),
        (names.RETRY, [{"by": "eve", "step": "a"}], "a has not ended; it goes on when the run is resumed"),
    ]
    for name, inputs, _ in wrong:
        await raw.signal(name, args=inputs)
    found = await house.until(handle, lambda found: len(found.refusals) == len(wrong))
    assert [why for (_, _, why), refusal in zip(wrong, found.refusals, strict=True) if why not in refusal.body["why"]] == []
    await house.decide(handle, request)
    await raw.signal(names.RESUME, {"by": "ben"})
    assert await house.ended(handle) == "COMPLETED"
    told = [moment.text for moment in (await house.explained(handle)).timeline]
    assert "ann paused the run over signal: lunch" in told and "ben let the run go on over signal" in told


async def test_a_raw_pause_is_refused_where_unsigned_words_are_not_believed(house_of: HouseOf) -> None:
    async with house_of(approvals={"unsigned": False}) as house:
        handle = await house.start(ASKED_THEN_B)
        await house.waiting(handle)
        await handle.signal(names.PAUSE, {"by": "eve"})
        found = await house.until(handle, lambda found: len(found.refusals) == 1)
        assert "not proved who is speaking" in found.refusals[0].body["why"] and found.run.paused_at is None
