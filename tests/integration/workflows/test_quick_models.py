"""Decisions of a quick model: made beside the workflow task, and through the server where that does not do."""

import pytest

from activities import notebook
from contracts import names
from tests.house import Handle, House, plan, statuses, step
from tests.integration.workflows.conftest import HouseOf

QUICK = {"models": {"planner": {"quick": True}}}


async def through_the_server(house: House, handle: Handle) -> int:
    """Count the decisions that the server handed out."""
    history = await house.client.get_workflow_handle(handle.id).fetch_history()
    scheduled = [event.activity_task_scheduled_event_attributes.activity_type.name for event in history.events]
    return scheduled.count(names.PROPOSE)


async def test_a_quick_decision_is_made_beside_the_workflow_task(house_of: HouseOf) -> None:
    async with house_of(**QUICK) as house:
        handle = await house.start(plan(step("a", note="one"), done=False), plan(step("b", note="two")))
        await house.ended(handle)
        found = await house.explained(handle)
        assert statuses(found) == {"a": "done", "d2.b": "done"} and await through_the_server(house, handle) == 0
        assert [moment.kind for moment in found.timeline].count("decision") == 2 and house.model.count == 2


async def test_a_model_that_is_not_quick_after_all_is_asked_through_the_server(house_of: HouseOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "QUICK_SECONDS", 0.3)
    async with house_of(**QUICK) as house:
        handle = await house.start({**plan(step("a", note="one")), "delay": 1.0, "times": 2})
        await house.ended(handle)
        found = await house.explained(handle)
        assert statuses(found) == {"a": "done"} and await through_the_server(house, handle) == 1
        # The call that was cut off may have been billed: it is spent at its worst case, and nothing stays reserved.
        assert found.reserved == 0 and house.model.count == 2
        assert found.spent > next(moment.body["cost_micros"] for moment in found.timeline if moment.kind == "decision") / 2


async def test_an_answer_that_cannot_be_used_is_not_paid_for_again(house_of: HouseOf) -> None:
    async with house_of(**QUICK) as house:
        handle = await house.start({"answer": "no plan at all", "times": 100})
        assert await house.ended(handle) == "FAILED"
        # One answer and one repair; the attempt through the server reads both from the journal.
        assert house.model.count == 2


async def test_a_quick_run_that_is_killed_and_taken_over_decides_nothing_twice(house_of: HouseOf) -> None:
    async with house_of(**QUICK, alone=True) as house:
        handle = await house.start(plan(step("a", note="one"), done=False), plan(step("b", note="two", ask=True)))
        async with house.worker():
            request = (await house.waiting(handle)).waiting[0]
        async with house.worker(max_cached_workflows=0):
            await house.decide(handle, request.id)
            await house.ended(handle)
        assert house.model.count == 2 and set((await house.calls()).values()) == {1}
