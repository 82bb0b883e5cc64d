"""What rules and people say of a step: asked, approved, edited, refused, too late."""

import pytest

from contracts import names
from tests.house import House, plan, statuses, step
from tests.integration.workflows.conftest import HouseOf


async def test_an_approval_is_asked_waited_for_and_used_once(house: House) -> None:
    handle = await house.start(plan(step("a", note="one", ask=True)))
    found = await house.waiting(handle)
    assert await house.notes() == []
    [pending] = await handle.query(names.PENDING)
    assert (pending["request"], pending["step"], pending["tool"]) == (found.waiting[0].id, "a", "probe.write")
    await house.decide(handle, found.waiting[0].id)
    assert await house.ended(handle) == "COMPLETED"
    found = await house.explained(handle)
    assert await house.notes() == ["one"] and found.requests[0].state == "consumed" and found.requests[0].ruled_by == "ann"
    assert await handle.query(names.PENDING) == []


async def test_an_irreversible_step_that_no_rule_names_asks_a_person(house: House) -> None:
    handle = await house.start(plan(step("a", "probe.final", note="one")))
    found = await house.waiting(handle)
    assert found.waiting[0].reason == "it cannot be undone and no rule names it"
    await house.decide(handle, found.waiting[0].id)
    assert await house.ended(handle) == "COMPLETED" and await house.notes() == ["one"]


async def test_a_plan_may_ask_for_a_person_where_no_rule_does(house: House) -> None:
    handle = await house.start(plan({**step("a", note="one"), "approval": True}))
    found = await house.waiting(handle)
    assert found.waiting[0].reason == "the plan asks for a person here"


async def test_a_rejected_step_is_refused_its_dependents_are_skipped_and_the_run_completes(house: House) -> None:
    handle = await house.start(plan(step("a", note="one", ask=True), step("b", "probe.write", "a"), step("c", "probe.write", "b")))
    await house.decide(handle, (await house.waiting(handle)).waiting[0].id, "reject", reason="not today")
    assert await house.ended(handle) == "COMPLETED"
    found = await house.explained(handle)
    assert statuses(found) == {"a": "refused", "b": "skipped", "c": "skipped"} and found.steps[0].detail == "ann: not today"
    assert await house.calls() == {} and house.model.count == 1


async def test_silence_until_the_deadline_refuses(house_of: HouseOf) -> None:
    async with house_of(approvals={"deadline": "PT1S", "remind": ["PT0.4S"]}) as house:
        found = await house.run(plan(step("a", note="one", ask=True)))
        assert found.run.status == "completed" and statuses(found) == {"a": "refused"}
        assert found.requests[0].state == "expired" and await house.calls() == {}
        events = [moment.body["event"] for moment in found.timeline if moment.kind == "ruling"]
        assert events == ["asked", "reminded", "expired"]


async def test_an_edit_runs_the_new_arguments_and_both_actions_are_recorded(house: House) -> None:
    handle = await house.start(plan(step("a", note="one", ask=True)))
    asked = (await house.waiting(handle)).waiting[0]
    await house.decide(handle, asked.id, "edit", arguments={"note": "better", "ask": True})
    assert await house.ended(handle) == "COMPLETED"
    found = await house.explained(handle)
    assert await house.notes() == ["better"]
    before, after = found.requests
    assert (before.state, before.arguments["note"]) == ("superseded", "one")
    assert (after.state, after.arguments["note"], after.ruled_by) == ("consumed", "better", "ann")
    assert before.digest != after.digest


async def test_an_edit_that_breaks_the_tools_schema_is_refused_with_the_field_named(house: House) -> None:
    handle = await house.start(plan(step("a", note="one", ask=True)))
    asked = (await house.waiting(handle)).waiting[0]
    await house.decide(handle, asked.id, "edit", arguments={"note": 5})
    found = await house.until(handle, lambda found: len(found.refusals) == 1)
    assert "note: 5 is not of type 'string'" in found.refusals[0].text and len(found.waiting) == 1


async def test_an_edit_to_what_a_rule_forbids_is_refused_at_once(house: House) -> None:
    handle = await house.start(plan(step("a", note="one", ask=True)))
    asked = (await house.waiting(handle)).waiting[0]
    await house.decide(handle, asked.id, "edit", arguments={"note": "forbidden"})
    found = await house.until(handle, lambda found: len(found.refusals) == 1)
    assert "the rules deny that: this note is forbidden" in found.refusals[0].text and len(found.waiting) == 1
    await house.decide(handle, asked.id)
    assert await house.ended(handle) == "COMPLETED" and await house.notes() == ["one"]


async def test_a_plan_that_a_rule_denies_is_sent_back_to_the_model(house: House) -> None:
    found = await house.run(plan(step("a", note="forbidden")), plan(step("a", note="fine")))
    assert found.run.status == "completed" and await house.notes() == ["fine"]
    assert "is denied: this note is forbidden" in house.model.calls[-1]["messages"][-1]["content"]


async def test_an_argument_that_is_known_only_when_it_runs_is_judged_then(house_of: HouseOf) -> None:
    late = {"id": "late", "when": '"note" in arguments && arguments.note == "hush!"', "outcome": "deny", "because": "hush"}
    async with house_of(rules=[late], limits={"replans": 0}) as house:
        found = await house.run(plan(step("a", "probe.read", what="hush"), step("b", "probe.write", "a", note={"$output": "a/text"})))
        assert found.run.status == "failed" and statuses(found) == {"a": "done", "b": "denied"}
        assert found.steps[1].detail == "hush" and await house.calls() == {}


@pytest.mark.parametrize("price", [1_000_000, 4_999_999_999])
async def test_a_tool_that_costs_more_than_is_left_is_not_called(house_of: HouseOf, price: int) -> None:
    end = 'compensate_with="probe.erase", seconds=2)\nasync def guarded'
    dear = {end: end.replace("seconds=2", f"seconds=2, cost_micros={price}")}
    async with house_of(tools=dear, budget={"run_micros": 900_000}, limits={"replans": 0}) as house:
        found = await house.run(plan(step("a", "probe.guarded", note="one")))
        assert found.run.status == "failed" and f"costs {price} micro-dollars" in found.steps[0].detail
        assert await house.calls() == {} and found.reserved == 0
