"""Attempts at one step: what is tried again, with which key, and what nobody may try again alone."""

import pytest

from tests.house import House, plan, statuses, step
from tests.integration.workflows.conftest import QUICK, HouseOf
from tests.probes import IMPATIENT

ONCE: dict[str, object] = {"limits": {"replans": 0}}


async def test_a_transient_failure_is_tried_again_with_the_same_key(house: House) -> None:
    found = await house.run(plan(step("a", note="one", fail="transient:2")))
    assert found.run.status == "completed"
    assert await house.calls() == {f"{found.run.lineage}/a/1": 3}
    assert any("at attempt 3" in moment.text for moment in found.timeline)


async def test_a_step_that_stays_busy_is_given_up_as_failed_with_its_last_message(house_of: HouseOf) -> None:
    async with house_of(limits={**IMPATIENT["limits"], "act_seconds": 10, "replans": 0}) as house:
        found = await house.run(plan(step("a", note="one", fail="transient")))
        assert found.run.status == "failed" and found.run.summary == "1 failed; a failed"
        assert (found.steps[0].status, found.steps[0].detail) == ("failed", "told to be busy")
        assert [effect.state for effect in await house.effects(house.handles[0])] == ["failed"]


@pytest.mark.parametrize("how", ["unknown:1", "lost:1", "broken:1"])
async def test_an_idempotent_call_that_may_have_happened_is_made_again_with_the_same_key(house_of: HouseOf, how: str) -> None:
    async with house_of(tools=QUICK) as house:
        found = await house.run(plan(step("a", note="one", fail=how)))
        assert found.run.status == "completed"
        assert await house.calls() == {f"{found.run.lineage}/a/1": 2}
        assert await house.notes() == ["one"] and len(await house.effects(house.handles[0])) == 1


async def test_a_tool_with_a_bug_leaves_its_step_unknown_and_fails_the_run(house_of: HouseOf) -> None:
    async with house_of(tools=QUICK, **IMPATIENT) as house:
        found = await house.run(plan(step("a", note="one"), step("b", "probe.write", "a", note="two", fail="broken")))
        assert found.run.status == "failed" and found.run.summary.startswith("1 done, 1 unknown; b failed; not undone: ")
        assert statuses(found) == {"a": "done", "b": "unknown"} and "ValueError: told to break" in found.steps[1].detail
        assert house.model.count == 1, "another plan cannot mend what nobody knows"
        assert await house.notes() == []


async def test_a_reading_tool_with_a_bug_fails_and_sends_the_plan_back(house_of: HouseOf) -> None:
    async with house_of(tools={'return Found(text=f"{arguments.what}!")': 'raise ValueError("told to break")'}) as house:
        found = await house.run(plan(step("a", "probe.read", what="x")), plan(step("b", note="one")))
        assert statuses(found) == {"a": "failed", "d2.b": "done"} and "ValueError" in found.steps[0].detail


async def test_a_guarded_call_that_may_have_happened_is_made_again_only_if_a_person_says_so(house_of: HouseOf) -> None:
    async with house_of(tools=QUICK) as house:
        handle = await house.start(plan(step("a", "probe.guarded", note="one", fail="unknown:1")))
        found = await house.waiting(handle)
        assert found.waiting[0].question == "again" and "may have happened" in found.waiting[0].reason
        assert await house.calls() == {f"{found.run.lineage}/a/1": 1}
        await house.decide(handle, found.waiting[0].id)
        assert await house.ended(handle) == "COMPLETED"
        found = await house.explained(handle)
        assert await house.calls() == {f"{found.run.lineage}/a/1": 1, f"{found.run.lineage}/a/2": 1}
        assert found.steps[0].n == 2 and [effect.state for effect in await house.effects(handle)] == ["unknown", "done"]


async def test_a_second_doubt_about_a_guarded_call_asks_a_second_time(house_of: HouseOf) -> None:
    async with house_of(tools=QUICK) as house:
        handle = await house.start(plan(step("a", "probe.guarded", note="one", fail="unknown:2")))
        for nth in (1, 2):
            found = await house.until(handle, lambda found, nth=nth: len(found.requests) == nth and len(found.waiting) == 1)
            assert found.waiting[0].n == nth
            await house.decide(handle, found.waiting[0].id)
        assert await house.ended(handle) == "COMPLETED"
        assert list((await house.calls()).values()) == [1, 1, 1]


async def test_a_guarded_call_that_a_person_will_not_repeat_stays_unknown_and_fails_the_run(house_of: HouseOf) -> None:
    async with house_of(tools=QUICK) as house:
        handle = await house.start(plan(step("a", "probe.guarded", note="one", fail="unknown")))
        await house.decide(handle, (await house.waiting(handle)).waiting[0].id, "reject", reason="it is there, I looked")
        assert await house.ended(handle) == "FAILED"
        found = await house.explained(handle)
        assert found.steps[0].status == "unknown" and "it is there, I looked" in found.steps[0].detail
        assert sum((await house.calls()).values()) == 1 and "may have happened" in found.run.summary


@pytest.mark.parametrize(("how", "keys"), [("lost:1", 1), ("unknown:1", 2)])
async def test_a_call_that_can_be_looked_up_asks_nobody(house_of: HouseOf, how: str, keys: int) -> None:
    async with house_of(tools=QUICK) as house:
        found = await house.run(
            plan(step("a", "probe.found", note="one", fail=how), step("b", "probe.write", "a", note={"$output": "a/note"}))
        )
        assert found.run.status == "completed" and found.requests == []
        called = [key for key in await house.calls() if "/a/" in key]
        assert sorted(called) == [f"{found.run.lineage}/a/{n}" for n in range(1, keys + 1)]
        assert await house.notes() == ["one", "one"]


QUICKER = {'"probe.write", effect="write"': '"probe.write", quick=True, effect="write"', **QUICK}


@pytest.mark.parametrize("how", ["", "transient:2", "unknown:1", "lost:1"])
async def test_a_quick_tool_keeps_the_same_promises_beside_the_workflow_task(house_of: HouseOf, how: str) -> None:
    async with house_of(tools=QUICKER) as house:
        found = await house.run(plan(step("a", note="one", fail=how), step("b", "probe.write", "a", note={"$output": "a/note"})))
        assert found.run.status == "completed" and await house.notes() == ["one", "one"]
        assert await house.calls() == {f"{found.run.lineage}/a/1": 1 + int(how[-1:] or 0), f"{found.run.lineage}/b/1": 1}


async def test_a_quick_step_that_stays_busy_is_given_up_too(house_of: HouseOf) -> None:
    async with house_of(tools=QUICKER, limits={**IMPATIENT["limits"], "replans": 0}) as house:
        found = await house.run(plan(step("a", note="one", fail="transient")))
        assert found.run.status == "failed" and found.steps[0].detail == "told to be busy"
