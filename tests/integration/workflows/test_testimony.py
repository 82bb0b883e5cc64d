"""What nobody can look up, a person may have seen: who says that it happened ends the step as done, with what is known of it."""

from typing import Any

import pytest

from ledger.approvals import Request
from tests import operators
from tests.house import Handle, House, plan, statuses, step
from tests.integration.workflows.conftest import QUICK, HouseOf
from tests.integration.workflows.test_undo import asked, closed, decide, states, undo

LOST = step("a", "probe.guarded", note="pay", fail="lost:1")
SOON: dict[str, Any] = {"limits": {"act_seconds": 2, "patience_seconds": 20, "replans": 0}, "tools": QUICK}


async def doubted(house: House, *more: dict[str, Any]) -> tuple[Handle, Request]:
    """Start a run whose guarded call loses its answer, and return the question about it."""
    handle = await house.start(plan(LOST, *more))
    found = await house.until(handle, lambda found: any(request.question == "again" for request in found.waiting))
    return handle, next(request for request in found.waiting if request.question == "again")


async def test_what_a_person_saw_is_done_and_the_run_goes_on_with_what_they_know_of_it(house_of: HouseOf) -> None:
    async with house_of(**SOON) as house:
        handle, request = await doubted(house, step("b", "probe.write", "a", note={"$output": "a/note"}))
        key = (await house.effects(handle))[0].key
        await house.decide(handle, request.id, "reject", happened=True, output={"id": key, "note": "paid"}, reason="the bank shows it")
        assert await house.ended(handle) == "COMPLETED"
        found = await house.explained(handle)
        assert statuses(found) == {"a": "done", "b": "done"} and await house.notes() == ["paid", "pay"]
        first = (await house.effects(handle))[0]
        assert (first.state, first.n, first.output) == ("done", 1, {"id": key, "note": "paid"})
        assert first.detail == "ann says that it happened: the bank shows it"
        assert set((await house.calls()).values()) == {1}
        told = [moment for moment in found.timeline if moment.body.get("testified_by")]
        assert [(moment.body["testified_by"], moment.body["key"], moment.body["approval"]) for moment in told] == [("ann", key, request.id)]
        # What was found out is undone like what was seen.
        assert len((await (await undo(house, handle)).result()).undone) == 2 and await house.notes() == []


async def test_what_a_person_saw_without_knowing_its_answer_is_done_and_its_undo_is_asked_about(house_of: HouseOf) -> None:
    async with house_of(**SOON) as house:
        handle, request = await doubted(house)
        await house.decide(handle, request.id, "reject", happened=True, reason="I saw it")
        assert await house.ended(handle) == "COMPLETED"
        effect = (await house.effects(handle))[0]
        assert (effect.state, effect.output) == ("done", None)
        await undo(house, handle)
        question = await asked(house, handle)
        assert question.question == "undo" and "`id`: Field required" in question.reason
        await decide(house, question, "edit", arguments={"id": effect.key})
        await closed(house, question)
        assert await house.notes() == [] and (await house.effects(handle))[0].state == "compensated"


async def test_a_run_that_fails_later_takes_back_what_a_person_saw(house_of: HouseOf) -> None:
    async with house_of(**SOON) as house:
        handle, request = await doubted(house, step("b", "probe.write", "a", fail="failed"))
        key = (await house.effects(handle))[0].key
        await house.decide(handle, request.id, "reject", happened=True, output={"id": key, "note": "pay"})
        assert await house.ended(handle) == "FAILED" and await house.notes() == []
        assert await states(house, handle) == {"a": "compensated", "b": "failed"}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"verdict": "approve", "happened": True}, "`happened` goes with the verdict `reject`"),
        ({"verdict": "reject", "output": {"id": "x", "note": "y"}}, "`output` goes with `happened` only"),
        ({"verdict": "reject", "happened": True, "output": {"id": 7}}, "'note' is a required property"),
        ({"verdict": "reject", "happened": True, "reason": " "}, "a rejection needs a reason"),
    ],
)
async def test_a_testimony_that_does_not_fit_is_refused_and_the_question_stays_open(
    house_of: HouseOf, said: dict[str, Any], why: str
) -> None:
    async with house_of(**SOON) as house:
        handle, request = await doubted(house)
        await house.decide(handle, request.id, **said)
        refused = await house.until(handle, lambda found: any(why in moment.body.get("why", "") for moment in found.timeline))
        assert [open.id for open in refused.waiting] == [request.id] and (await house.effects(handle))[0].state == "unknown"
        await operators.cancel(house, handle, "keep")


async def test_it_happened_is_no_answer_to_whether_something_may_run(house: House) -> None:
    handle = await house.start(plan(step("a", note="one", ask=True)))
    request = (await house.waiting(handle)).waiting[0]
    await house.decide(handle, request.id, "reject", happened=True)
    why = "asks whether to do something again"
    await house.until(handle, lambda found: any(why in moment.body.get("why", "") for moment in found.timeline))
    assert [open.id for open in (await house.explained(handle)).waiting] == [request.id] and await house.effects(handle) == []


async def test_a_plain_no_leaves_it_unknown_and_who_finds_out_later_may_say_so(house_of: HouseOf) -> None:
    async with house_of(**{**SOON, "limits": {**SOON["limits"], "replans": 2}}) as house:
        handle, request = await doubted(house, step("w", "probe.write", ask=True))
        await house.decide(handle, request.id, "reject", reason="look first")
        await house.until(handle, lambda found: statuses(found)["a"] == "unknown")
        assert (await operators.retry(house, handle, "a")).accepted
        again = await house.until(handle, lambda found: any(one.step == "a" and one.id != request.id for one in found.waiting))
        await house.decide(handle, next(one.id for one in again.waiting if one.step == "a"), "reject", happened=True, reason="found it")
        await house.until(handle, lambda found: statuses(found)["a"] == "done")
        assert await house.notes() == ["pay"] and set((await house.calls()).values()) == {1}
        await operators.cancel(house, handle, "keep")
