"""Who may rule: groups, stages, quorum, delegation, starters, editors, broken glass, and signed words."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.approvals import Ruling, Rung
from contracts.errors import BadInput
from database import Database, Tx
from ledger import approvals, directory, records, reviews, signatures, votes
from ledger.approvals import Request
from tests.integration.ledger.people import ask, asked, delegate, put, read, say
from tests.integration.ledger.rows import DIGEST, LINEAGE, ruling

KEY = "k" * 40
WHY = "the site is down and people wait"


async def test_one_of_the_group_approves_and_one_outside_is_told_which_group_it_takes(database: Database) -> None:
    ann, bob = await put(database, "ann", "finance"), await put(database, "bob", "editor")
    await ask(database, asked())
    assert (await say(database, bob)).message == "not allowed: needs group finance"
    result = await say(database, ann)
    assert (result.message, result.ended) == ("approved by ann", True)
    assert (await say(database, bob)).message.startswith("already decided by ann at ")


@pytest.mark.parametrize("change", [{"role": "viewer"}, {"disabled": True}])
async def test_a_viewer_and_a_disabled_person_rule_on_nothing(database: Database, change: dict[str, Any]) -> None:
    ann = await put(database, "ann", "finance", **change)
    await ask(database, asked())
    assert (await say(database, ann)).message.startswith("not allowed: ann is ")


async def test_the_name_in_a_ruling_counts_for_nothing_where_the_channel_knows_who_speaks(database: Database) -> None:
    bob = await put(database, "bob", "editor")
    await put(database, "ann", "finance")
    await ask(database, asked())
    assert (await say(database, bob, by="ann")).message == "not allowed: needs group finance"


async def test_a_quorum_takes_so_many_people_and_nobody_twice(database: Database) -> None:
    ann, bob = await put(database, "ann", "finance"), await put(database, "bob", "finance")
    await ask(database, asked(("finance", 2)))
    first = await say(database, ann)
    assert (first.message, first.accepted, first.ended) == ("approved by ann; 1 more of finance must agree", True, False)
    assert "already voted: ann at" in (await say(database, ann)).message
    assert (await say(database, bob)).ended
    found = await read(database)
    assert (found.state, found.ruled_by) == ("approved", "bob") and (found.ruling or {})["votes"] == ["ann", "bob"]


async def test_stages_come_one_after_another_and_take_different_people(database: Database) -> None:
    ann, bob = await put(database, "ann", "finance", "owner"), await put(database, "bob", "owner")
    await ask(database, asked(("finance", 1), ("owner", 1)))
    assert (await say(database, bob)).message == "not allowed: needs group finance"
    assert (await say(database, ann)).message == "approved by ann; 1 more of owner must agree"
    assert (await read(database)).groups == ["owner"]
    assert "already voted" in (await say(database, ann)).message
    assert (await say(database, bob)).ended


async def test_one_rejection_ends_a_chain(database: Database) -> None:
    ann, bob = await put(database, "ann", "finance"), await put(database, "bob", "finance")
    await ask(database, asked(("finance", 2)))
    await say(database, ann)
    assert (await say(database, bob, "reject")).ended and (await read(database)).state == "rejected"


async def test_a_delegate_speaks_for_one_who_has_not_spoken_and_both_are_named(database: Database) -> None:
    ann, bob = await put(database, "ann", "finance"), await put(database, "bob", "editor")
    await delegate(database, "ann", "bob", "finance")
    await ask(database, asked(("finance", 2)))
    assert (await say(database, bob)).message.startswith("approved by bob for ann")
    assert "already voted: bob for ann at" in (await say(database, ann)).message
    async with database.transaction("default") as tx:
        [body] = [row["body"] for row in await records.of_run(tx, LINEAGE) if row["body"]["event"] == "voted"]
    assert (body["by"], body["behalf"]) == ("bob", "ann")


async def test_who_has_spoken_is_not_spoken_for(database: Database) -> None:
    ann, bob = await put(database, "ann", "finance"), await put(database, "bob", "editor")
    await delegate(database, "ann", "bob", "finance")
    await ask(database, asked(("finance", 2)))
    await say(database, ann)
    assert (await say(database, bob)).message == "not allowed: needs group finance"


async def test_a_delegation_is_not_handed_on_and_ends_with_its_giver(database: Database) -> None:
    ann = await put(database, "ann", "finance")
    bob, joe = await put(database, "bob", "editor"), await put(database, "joe", "editor")
    await delegate(database, "ann", "bob", "finance")
    with pytest.raises(BadInput, match="only groups of their own: editor"):
        await delegate(database, "bob", "joe", "finance")
    await ask(database, asked())
    assert not (await say(database, joe)).accepted
    await put(database, ann.id, "finance", disabled=True)
    assert (await say(database, bob)).message == "not allowed: needs group finance"


async def test_where_delegation_is_off_only_the_group_itself_rules(database: Database) -> None:
    await put(database, "ann", "finance")
    bob = await put(database, "bob", "editor")
    await delegate(database, "ann", "bob", "finance")
    await ask(database, asked(delegation=False))
    assert not (await say(database, bob)).accepted


@pytest.mark.parametrize(
    ("terms", "verdict", "accepted"),
    [
        ({}, "approve", False), ({}, "edit", False), ({}, "reject", True),
        ({"self_approval": True}, "approve", True), ({"self_approval": True, "above": True}, "approve", False),
    ],
)  # fmt: skip
async def test_who_started_the_run_approves_only_where_the_bundle_lets_them(
    database: Database, terms: dict[str, Any], verdict: str, accepted: bool
) -> None:
    ann = await put(database, "ann", "finance")
    await ask(database, asked(starter="Ann", **terms))
    given = {"arguments": {"title": "y"}} if verdict == "edit" else {}
    result = await say(database, ann, verdict, **given)
    assert result.accepted is accepted and (accepted or "who started a run does not approve" in result.message)


async def test_nobody_speaks_for_who_started_the_run(database: Database) -> None:
    await put(database, "ann", "finance")
    bob = await put(database, "bob", "editor")
    await delegate(database, "ann", "bob", "finance")
    await ask(database, asked(starter="ann"))
    assert not (await say(database, bob)).accepted


async def test_above_the_threshold_an_editor_does_not_approve_their_own_edit(database: Database) -> None:
    ann, bob = await put(database, "ann", "finance"), await put(database, "bob", "finance")
    await ask(database, replace(asked(above=True), editor="ann"))
    assert "who edited an action does not approve it" in (await say(database, ann)).message
    assert (await say(database, bob)).ended


async def test_an_edit_that_the_rules_deny_or_that_changes_nothing_is_refused_at_once(database: Database) -> None:
    ann = await put(database, "ann", "finance")
    await ask(database, asked())

    async def judge(tx: Tx, request: Request, arguments: Mapping[str, Any]) -> str | None:
        return "the rules deny that: no" if arguments["title"] == "bad" else None

    assert "changes nothing" in (await say(database, ann, "edit", arguments={"title": "x"}, judge=judge)).message
    assert (await say(database, ann, "edit", arguments={"title": "bad"}, judge=judge)).message == "the rules deny that: no"
    assert (await say(database, ann, "edit", arguments={"title": "good"}, judge=judge)).message == "edited by ann"


async def test_escalation_lets_the_next_groups_rule_too_and_keeps_the_votes(database: Database) -> None:
    ann, lead = await put(database, "ann", "finance"), await put(database, "lead", "finance-lead")
    wanted = asked(("finance", 2), escalation=[["finance-lead"]], silence="escalate")
    wanted.rungs.insert(0, {"at": 5, "kind": "escalate"})
    await ask(database, wanted)
    await say(database, ann)
    assert not (await say(database, lead)).accepted
    for _ in range(2):
        async with database.transaction("default") as tx:
            assert not await approvals.climb(tx, await read(database), Rung(at=5, kind="escalate"))
    found = await read(database)
    assert (found.groups, found.escalated, found.state) == (["finance", "finance-lead"], 1, "pending")
    assert (await say(database, lead)).ended


async def test_breaking_the_glass_takes_two_people_a_reason_and_a_review_by_a_third(database: Database) -> None:
    ann, bob = await put(database, "ann", "ops"), await put(database, "bob", "ops")
    joe = await put(database, "joe", "finance")
    await ask(database, asked(("finance", 2), break_glass=["ops"]))
    assert "20 characters" in (await say(database, ann, break_glass=True, reason="quick")).message
    assert "20 characters" in (await say(database, ann, break_glass=True, reason="\u200b" * 40)).message
    assert "needs group ops" in (await say(database, joe, break_glass=True, reason=WHY)).message
    first = await say(database, ann, break_glass=True, reason=WHY)
    assert (first.message, first.ended) == ("break-glass called by ann: another person must agree", False)
    assert "another person" in (await say(database, ann, break_glass=True, reason=WHY)).message
    assert (await say(database, bob, break_glass=True, reason=WHY)).ended
    assert (await read(database)).state == "approved"
    async with database.transaction("default") as tx:
        events = [row["body"]["event"] for row in await records.of_run(tx, LINEAGE)]
        [open_one] = await reviews.waiting(tx)
        assert open_one.people == ["ann", "bob"] and open_one.due_at - open_one.opened_at == timedelta(hours=24)
        with pytest.raises(BadInput, match="ann broke this glass"):
            await reviews.close(tx, "apr-1", "ann", "fine")
        with pytest.raises(BadInput, match="what was found"):
            await reviews.close(tx, "apr-1", "joe", " ")
        await reviews.close(tx, "apr-1", "joe", "it was needed")
        assert await reviews.waiting(tx) == []
    assert events == ["asked", "break_glass_called", "approved", "alert"]


async def test_the_glass_is_there_only_where_the_bundle_names_who_may_break_it(database: Database) -> None:
    ann = await put(database, "ann", "finance", "ops")
    await ask(database, asked())
    assert "nobody may break the glass here" in (await say(database, ann, break_glass=True, reason=WHY)).message
    await ask(database, asked(id="apr-2", starter="ann", break_glass=["ops"]))
    assert "does not break the glass" in (await say(database, ann, id="apr-2", break_glass=True, reason=WHY)).message


async def test_an_unsigned_word_has_the_rights_of_whom_it_names_where_the_directory_knows_them(database: Database) -> None:
    await put(database, "bob", "editor")
    await ask(database, asked())
    async with database.transaction("default") as tx:
        for name in ("bob", "Bob", " BOB ", "b\u200bob", "\uff22ob", "bob\u3164"):
            said = await approvals.rule(tx, ruling(by=name), channel="test", trusted=True)
            assert said.message == "not allowed: needs group finance"
        assert (await approvals.rule(tx, ruling(by="somebody"), channel="test", trusted=True)).accepted


async def test_however_a_name_is_written_it_is_one_person_and_the_directorys_name_is_on_record(database: Database) -> None:
    await put(database, "ann", "finance")
    await ask(database, asked(("finance", 2)))
    async with database.transaction("default") as tx:
        assert (await approvals.rule(tx, ruling(by="ANN"), channel="test", trusted=True)).message.startswith("approved by ann;")
        again = await approvals.rule(tx, ruling(by="ann\u200b"), channel="test", trusted=True)
        assert again.message.startswith("already voted: ann at")
        assert [one.person for one in await votes.of(tx, "apr-1")] == ["ann"]
        assert [row["body"]["by"] for row in await records.of_run(tx, LINEAGE) if row["body"]["event"] == "voted"] == ["ann"]


async def test_a_claim_that_is_one_vote_of_several_gets_its_first_answer_again(database: Database) -> None:
    ann = await put(database, "ann", "finance")
    await ask(database, asked(("finance", 2)))
    first = await say(database, ann, claim="run/1")
    assert first.accepted and await say(database, ann, claim="run/1") == first
    async with database.transaction("default") as tx:
        assert len(await votes.of(tx, "apr-1")) == 1


# Signed words ------------------------------------------------------------------------------------------------------


async def signed(database: Database, said: Ruling, *, now: datetime | None = None, key: str = KEY, digest: str = DIGEST) -> Ruling:
    async with database.transaction("default") as tx:
        at = now or await approvals.now(tx)
    return said.model_copy(update={"token": signatures.sign(key, "default", said, digest, at)})


async def by_token(database: Database, said: Ruling, *, key: str | None = KEY, tenant: str = "default", claim: str = "") -> str:
    async with database.transaction(tenant) as tx:
        result = await approvals.rule(tx, said, channel="signal", trusted=False, key=key, claim=claim)
    return result.message


async def test_a_signed_word_is_believed_once(database: Database) -> None:
    await put(database, "ann", "finance")
    await ask(database, asked(("finance", 2)))
    said = await signed(database, ruling())
    assert (await by_token(database, said, claim="c1")).startswith("approved by ann")
    assert (await by_token(database, said, claim="c1")).startswith("approved by ann"), "a retried claim keeps its answer"
    assert "already voted" in await by_token(database, said)
    async with database.transaction("default") as tx:
        assert await tx.value("SELECT count(*) FROM nonce") == 1


async def test_a_signed_word_of_one_who_may_not_rule_is_refused_for_that(database: Database) -> None:
    await put(database, "ann", "editor")
    await ask(database, asked())
    assert await by_token(database, await signed(database, ruling())) == "not allowed: needs group finance"
    assert "not in the directory" in await by_token(database, await signed(database, ruling(by="nobody")))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"by": "bob"}, "for another person"),
        ({"verdict": "reject"}, "for another ruling"),
        ({"verdict": "edit", "arguments": {"title": "y"}}, "for another ruling"),
        ({"break_glass": True}, "for another ruling"),
        ({"token": "x"}, "none of ours"),
        ({"token": "é" * 9000}, "none of ours"),
        ({"token": ""}, "none of ours"),
    ],
)
async def test_a_signed_word_says_nothing_but_what_was_signed(database: Database, change: dict[str, Any], why: str) -> None:
    await put(database, "ann", "finance")
    await ask(database, asked())
    said = (await signed(database, ruling())).model_copy(update=change)
    assert why in await by_token(database, said) and (await read(database)).state == "pending"


async def test_a_signed_word_is_for_one_action_of_one_tenant_for_ten_minutes_and_one_key(database: Database) -> None:
    await put(database, "ann", "finance")
    await ask(database, asked())
    await ask(database, asked(id="apr-2"))
    said = await signed(database, ruling())
    assert "for another ruling" in await by_token(database, said.model_copy(update={"request": "apr-2"}))
    assert "for another ruling" in await by_token(database, await signed(database, ruling(), digest="e" * 64))
    old = datetime.now(UTC) - timedelta(minutes=11)
    assert "ran out at" in await by_token(database, await signed(database, ruling(), now=old))
    assert "none of ours" in await by_token(database, await signed(database, ruling(), key="j" * 40))
    assert "not set up here" in await by_token(database, said, key=None)
    assert "not set up here" in await by_token(database, said, key="short")
    assert "unknown request" in await by_token(database, said, tenant="other")
    assert (await read(database)).state == "pending"


async def test_a_person_who_was_disabled_since_the_signature_is_refused(database: Database) -> None:
    ann = await put(database, "ann", "finance")
    await ask(database, asked())
    said = await signed(database, ruling())
    await put(database, ann.id, "finance", disabled=True)
    assert "ann is disabled" in await by_token(database, said)
    async with database.transaction("default") as tx:
        assert [person.id for person in await directory.people(tx)] == ["ann"]


# What happened


async def test_who_started_a_run_says_of_nothing_that_it_happened_and_others_need_no_quorum_for_it(database: Database) -> None:
    eve, ann = await put(database, "eve", "finance"), await put(database, "ann", "finance")
    await ask(database, replace(asked(("finance", 2)), question="again"))
    said = {"happened": True, "output": {"id": 7}}
    assert (await say(database, eve, "reject", **said)).message == "not allowed: who started a run does not approve what it does"
    assert (await say(database, ann, "reject", **said)).ended
    found = await read(database)
    assert (found.state, found.ruled_by) == ("rejected", "ann") and found.ruling is not None
    assert (found.ruling["happened"], found.ruling["output"]) == (True, {"id": 7})


async def test_of_an_undo_it_may_say_who_could_approve_it_and_without_an_output(database: Database) -> None:
    eve, ann, joe = [await put(database, name, group) for name, group in (("eve", "finance"), ("ann", "finance"), ("joe", "other"))]
    await ask(database, replace(asked(("finance", 2)), question="undo"))
    assert (await say(database, eve, "reject", happened=True)).message == "not allowed: who started a run does not approve what it does"
    assert not (await say(database, joe, "reject", happened=True)).accepted
    assert "`output` does not go with an undo" in (await say(database, ann, "reject", happened=True, output={"id": 7})).message
    assert "goes with the verdict `reject`" in (await say(database, ann, "approve", happened=True)).message
    assert (await say(database, ann, "reject", happened=True)).ended
    found = await read(database)
    assert (found.state, found.ruled_by) == ("rejected", "ann") and found.ruling is not None and found.ruling["happened"] is True


@pytest.mark.parametrize("change", [{"happened": False}, {"output": {"id": 8}}, {"output": None}])
async def test_a_signed_testimony_says_nothing_but_what_was_signed(database: Database, change: dict[str, Any]) -> None:
    await put(database, "ann", "finance")
    await ask(database, replace(asked(), question="again"))
    said = await signed(database, ruling("reject", reason="seen", happened=True, output={"id": 7}))
    assert "for another ruling" in await by_token(database, said.model_copy(update=change))
    assert (await by_token(database, said)).startswith("rejected by ann")


async def test_a_signed_no_is_no_testimony(database: Database) -> None:
    await put(database, "ann", "finance")
    await ask(database, replace(asked(), question="again"))
    said = await signed(database, ruling("reject", reason="no"))
    assert "for another ruling" in await by_token(database, said.model_copy(update={"happened": True}))
