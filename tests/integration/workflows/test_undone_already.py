"""What somebody took back by hand, or a compensation did unseen: who says that it is undone already is believed, and nothing is called."""

from datetime import UTC, datetime
from typing import Any

import pytest

import worker
from activities.undo_consent import Consent
from channels.standing import standing
from contracts.approvals import Ruling
from contracts.effects import UndoResult
from ledger import approvals
from ledger.approvals import Request
from ledger.effects import Effect
from tests.house import Handle, House, plan, step
from tests.integration.workflows.conftest import QUICK, HouseOf
from tests.integration.workflows.test_undo import asked, closed, decide, states, undo

QUICK_END: dict[str, Any] = {"limits": {"replans": 0, "act_seconds": 2, "patience_seconds": 20}, "tools": QUICK}
SAID = "ann says that it is undone: I took it down by hand"


async def undone(house: House, request: Request, **more: Any) -> UndoResult:
    """Say of a request that it is undone already, and return how its undo ended."""
    await decide(house, request, "reject", happened=True, reason="I took it down by hand", **more)
    return await closed(house, request)


async def failed(house: House, fail: str = "failed") -> tuple[Handle, Request]:
    """Start a run that ends badly and whose compensation ends as told, and return the question about it."""
    await house.put("trouble", "erase", {"fail": fail})
    handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", fail="failed")))
    assert await house.ended(handle) == "FAILED"
    return handle, await asked(house, handle)


async def compensation(house: House, handle: Handle) -> Effect:
    [found] = [effect for effect in await house.effects(handle) if effect.undoes]
    return found


async def given(house: House, handle: Handle) -> Any:
    """Return what people say of the second compensation of a run's first effect."""
    made = worker.services(house.settings, house.database)
    [effect, *_] = await house.effects(handle)
    run = (await house.explained(handle)).run
    bundle = await made.bundles.get("default", run.bundle)
    back = made.registry.tools(bundle.automation)["probe.erase"]
    consent = Consent(made, run, bundle, "default", "undo-1", datetime.now(UTC))
    async with house.database.transaction("default") as tx:
        return await consent.given(tx, effect, back, {"id": effect.key}, 2, "told to fail")


async def test_what_a_person_took_back_by_hand_is_undone_and_nothing_is_called(house_of: HouseOf) -> None:
    async with house_of(**QUICK_END) as house:
        handle, request = await failed(house)
        before = await house.calls("erasures")
        result = await undone(house, request)
        assert [key.split("/")[1] for key in result.undone] == ["a"] and result.left == ()
        assert await states(house, handle) == {"a": "compensated", "b": "failed"} and await house.calls("erasures") == before
        back = await compensation(house, handle)
        assert (back.state, back.detail) == ("failed", "told to fail"), "how that ended was seen"
        found = await house.explained(handle)
        [told] = [moment for moment in found.timeline if moment.body.get("testified_by")]
        assert told.text == f"probe.write undone: {SAID}" and told.kind == "effect" and told.step == "a"
        assert "1 effect was undone" in standing(found, None)
        assert (told.body["testified_by"], told.body["approval"]) == ("ann", request.id)
        # Nothing is asked again: there is nothing left to undo.
        assert (await (await undo(house, handle)).result()).undone == ()
        assert (await house.explained(handle)).waiting == [] and await house.notes() == ["one"]


async def test_a_compensation_whose_end_nobody_saw_is_done_as_a_person_says(house_of: HouseOf) -> None:
    async with house_of(**QUICK_END) as house:
        await house.put("trouble", "erase", {"fail": "unknown"})
        handle = await house.start(plan(step("a", note="one")))
        await house.ended(handle)
        await undo(house, handle)
        request = await asked(house, handle)
        assert "probe.erase may have happened: told to lose its answer" in request.reason
        before = await house.calls("erasures")
        assert (await compensation(house, handle)).state == "unknown"
        result = await undone(house, request)
        assert len(result.undone) == 1 and await states(house, handle) == {"a": "compensated"}
        back = await compensation(house, handle)
        assert (back.state, back.detail) == ("done", SAID) and await house.calls("erasures") == before


async def test_an_effect_that_may_have_happened_is_compensated_and_says_who_knew(house_of: HouseOf) -> None:
    async with house_of(**QUICK_END) as house:
        handle = await house.start(plan(step("a", "probe.guarded", note="pay", fail="lost")))
        question = await asked(house, handle)
        await house.decide(handle, question.id, "reject", reason="look first")
        assert await house.ended(handle) == "FAILED"
        request = await asked(house, handle)
        await undone(house, request)
        [effect] = await house.effects(handle)
        assert (effect.state, effect.detail, effect.output) == ("compensated", SAID, None)
        assert set((await house.calls()).values()) == {1} and await house.calls("erasures") == {}


async def test_who_edited_an_undo_need_not_be_heard_out_where_another_says_that_it_is_undone(house_of: HouseOf) -> None:
    async with house_of(**QUICK_END, approvals={"quorum": 2}) as house:
        handle, first = await failed(house)
        await decide(house, first, "edit", arguments={"id": "another"})
        found = await house.until(handle, lambda found: bool(found.waiting) and found.waiting[0].id != first.id)
        await undone(house, found.waiting[0], by="bob")
        assert await states(house, handle) == {"a": "compensated", "b": "failed"}
        assert await house.calls("erasures") == {(await compensation(house, handle)).key: 1}


async def test_an_undo_that_died_before_it_heard_the_word_is_not_asked_about_again(house_of: HouseOf) -> None:
    async with house_of(**QUICK_END) as house:
        handle, request = await failed(house)
        await house.client.get_workflow_handle(request.workflow_id).terminate("its worker died")
        ruling = Ruling(request=request.id, verdict="reject", by="ann", reason="I took it down by hand", happened=True)
        async with house.database.transaction("default") as tx:
            assert (await approvals.rule(tx, ruling, channel="cli", trusted=True)).ended
        assert await given(house, handle) is None, "the word counts for an undo too that looked just before it was said"
        assert len((await (await undo(house, handle)).result()).undone) == 1
        assert (await states(house, handle))["a"] == "compensated" and len((await house.explained(handle)).requests) == 1
        assert await house.calls("erasures") == {(await compensation(house, handle)).key: 1}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"verdict": "approve", "happened": True}, "asks whether to do something again, or whether to undo it"),
        ({"verdict": "reject", "happened": True, "output": {"id": "x"}}, "`output` does not go with an undo"),
    ],
)
async def test_a_word_that_does_not_fit_is_refused_and_the_question_stays_open(house_of: HouseOf, said: dict[str, Any], why: str) -> None:
    async with house_of(**QUICK_END) as house:
        handle, request = await failed(house)
        await decide(house, request, **said)
        refused = await house.until(handle, lambda found: any(why in moment.body.get("why", "") for moment in found.timeline))
        assert [open.id for open in refused.waiting] == [request.id] and (await states(house, handle))["a"] == "done"
