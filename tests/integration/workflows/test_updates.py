"""`decide` as an update: it answers, and whatever it is asked, every answer comes and every refusal is on record."""

import asyncio
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError

from contracts import names
from contracts.approvals import Ruling
from ledger import directory, signatures
from ledger.directory import Person
from tests.house import Handle, House, plan, statuses, step
from tests.integration.workflows.conftest import HouseOf

ASKS = plan(step("a", note="one", ask=True))


def ruling(request: str, **given: Any) -> dict[str, Any]:
    return {"request": request, "verdict": "approve", "by": "ann", "reason": "because", **given}


async def say(handle: Handle, *given: Any) -> str:
    """Send an update and return what it answers."""
    answer: dict[str, Any] = await handle.execute_update(names.DECIDE, args=list(given))
    return answer["message"]


async def test_an_update_answers_what_became_of_the_word(house: House) -> None:
    handle = await house.start(plan(step("a", note="one", ask=True), step("b", note="two", ask=True)))
    first, second = (found.id for found in (await house.waiting(handle, 2)).waiting)
    assert await say(handle, ruling(first)) == "approved by ann"
    assert (await say(handle, ruling(first, by="bob"))).startswith("already decided by ann at ")
    assert await say(handle, ruling("apr-none")) == "unknown request 'apr-none'"
    assert "a rejection needs a reason" in await say(handle, ruling(second, verdict="reject", reason=" "))
    assert await say(handle, ruling(second, verdict="edit", arguments={"note": "better", "ask": True})) == "edited by ann"
    assert await house.ended(handle) == "COMPLETED"
    assert await house.notes() == ["better", "one"] and len((await house.explained(handle)).refusals) == 3


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([], "0 inputs were given"),
        (["approve"], "valid dictionary"),
        ([{"request": "x"}], "verdict: Field required"),
        ([{"a": "x" * 70_000}], "64000 is the most"),
        ([None, None], "2 inputs were given"),
    ],
)
async def test_an_update_that_is_no_ruling_is_told_so_and_recorded(house: House, given: list[Any], why: str) -> None:
    handle = await house.start(ASKS)
    request = (await house.waiting(handle)).waiting[0].id
    assert why in await say(handle, *given)
    found = await house.explained(handle)
    assert len(found.refusals) == 1 and [waiting.id for waiting in found.waiting] == [request]


async def test_an_update_of_another_name_is_answered_and_changes_nothing(house: House) -> None:
    handle = await house.start(ASKS)
    request = (await house.waiting(handle)).waiting[0].id
    for name, given in (("approve", ruling(request)), (names.WAKE, {})):
        answer: dict[str, Any] = await handle.execute_update(name, given)
        assert not answer["accepted"]
    assert len((await house.explained(handle)).waiting) == 1


async def test_words_over_three_channels_at_once_give_one_effect(house: House) -> None:
    handle = await house.start(ASKS)
    request = (await house.waiting(handle)).waiting[0].id
    said = [handle.execute_update(names.DECIDE, ruling(request, by=f"p{nth}")) for nth in range(9)]
    signals = [house.decide(handle, request, by=f"s{nth}") for nth in range(9)]
    answers, _ = await asyncio.gather(asyncio.gather(*said, return_exceptions=True), asyncio.gather(*signals, return_exceptions=True))
    assert await house.ended(handle) == "COMPLETED"
    found = await house.explained(handle)
    # A run may have ended before the last of them came.
    won = [answer["message"] for answer in answers if isinstance(answer, dict) and answer["accepted"]]
    assert all(isinstance(answer, dict | RPCError | WorkflowUpdateFailedError) for answer in answers) and len(won) <= 1
    assert (await house.calls())[f"{found.run.lineage}/a/1"] == 1 and await house.notes() == ["one"]


async def test_updates_are_answered_by_a_run_that_goes_on_as_a_new_execution(house_of: HouseOf) -> None:
    async with house_of(limits={"history_events": 50}) as house:
        chained = [step(f"s{nth}", "probe.write", *([f"s{nth - 1}"] if nth else []), note=f"{nth}") for nth in range(8)]
        handle = await house.start(plan(step("ask", note="asked", ask=True), *chained))
        request = (await house.waiting(handle)).waiting[0].id
        latest = house.client.get_workflow_handle(handle.id)
        while list(statuses(await house.explained(handle)).values()).count("done") < 8:
            assert await say(latest, ruling("apr-none")) == "unknown request 'apr-none'"
        assert await say(latest, ruling(request)) == "approved by ann"
        assert await house.ended(handle) == "COMPLETED"


async def test_a_quorum_of_two_takes_two_words_and_the_run_waits_for_both(house_of: HouseOf) -> None:
    async with house_of(approvals={"quorum": 2}) as house:
        handle = await house.start(ASKS)
        request = (await house.waiting(handle)).waiting[0].id
        assert await say(handle, ruling(request)) == "approved by ann; 1 more of owner must agree"
        assert (await say(handle, ruling(request))).startswith("already voted: ann at ")
        assert await house.calls() == {}
        assert await say(handle, ruling(request, by="bob")) == "approved by bob"
        assert await house.ended(handle) == "COMPLETED" and await house.notes() == ["one"]


async def test_above_the_threshold_an_edit_takes_another_person(house_of: HouseOf) -> None:
    rule = {"id": "dear", "when": '"note" in arguments && arguments.note == "dear"', "outcome": "require_approval", "above": True}
    async with house_of(rules=[{**rule, "because": "it is dear"}]) as house:
        handle = await house.start(ASKS)
        first = (await house.waiting(handle)).waiting[0].id
        assert await say(handle, ruling(first, verdict="edit", arguments={"note": "dear"})) == "edited by ann"
        found = await house.until(handle, lambda found: bool(found.waiting) and found.waiting[0].id != first)
        second = found.waiting[0]
        assert (second.editor, second.supersedes, second.arguments["note"]) == ("ann", first, "dear")
        assert "who edited an action does not approve it" in await say(handle, ruling(second.id))
        assert await say(handle, ruling(second.id, by="bob")) == "approved by bob"
        assert await house.ended(handle) == "COMPLETED" and await house.notes() == ["dear"]


async def test_an_edit_of_a_quorum_counts_as_its_editors_vote(house_of: HouseOf) -> None:
    async with house_of(approvals={"quorum": 2}) as house:
        handle = await house.start(ASKS)
        first = (await house.waiting(handle)).waiting[0].id
        await say(handle, ruling(first, verdict="edit", arguments={"note": "better", "ask": True}))
        second = (await house.until(handle, lambda found: bool(found.waiting) and found.waiting[0].id != first)).waiting[0].id
        assert (await say(handle, ruling(second))).startswith("already voted: ann at ")
        assert await say(handle, ruling(second, by="bob")) == "approved by bob"
        assert await house.ended(handle) == "COMPLETED" and await house.notes() == ["better"]


async def test_silence_escalates_and_then_refuses(house_of: HouseOf) -> None:
    asking = {"deadline": "PT1S", "remind": [], "silence": "escalate", "escalation": [{"groups": ["lead"], "within": "PT1S"}]}
    async with house_of(approvals=asking) as house:
        found = await house.run(ASKS)
        assert statuses(found) == {"a": "refused"} and found.requests[0].groups == ["lead", "owner"]
        events = [moment.body["event"] for moment in found.timeline if moment.kind == "ruling"]
        assert events == ["asked", "escalated", "expired"] and await house.calls() == {}


async def test_who_started_a_run_does_not_approve_it_where_the_bundle_says_no(house_of: HouseOf) -> None:
    async with house_of(approvals={"self_approval": False}) as house:
        handle = await house.start(ASKS)
        request = (await house.waiting(handle)).waiting[0].id
        assert "who started a run does not approve" in await say(handle, ruling(request, by="tester"))
        assert await say(handle, ruling(request)) == "approved by ann"
        assert await house.ended(handle) == "COMPLETED"


async def test_a_signed_word_is_believed_where_unsigned_ones_are_not(house_of: HouseOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"PERDURE_SECRET_{signatures.KEY_NAME}", "k" * 40)
    async with house_of(approvals={"unsigned": False}) as house:
        handle = await house.start(ASKS)
        request = (await house.waiting(handle)).waiting[0]
        async with house.database.transaction(house.tenant) as tx:
            await directory.put(tx, Person("ann", "Ann", "approver", frozenset({"owner"})), "tester")
            now = await tx.value("SELECT now()")
        assert "believes signed rulings only" in await say(handle, ruling(request.id))
        word = Ruling.model_validate(ruling(request.id))
        token = signatures.sign("k" * 40, house.tenant, word, request.digest, now)
        assert "for another person" in await say(handle, ruling(request.id, by="bob", token=token))
        assert await say(handle, ruling(request.id, token=token)) == "approved by ann"
        assert await house.ended(handle) == "COMPLETED"
