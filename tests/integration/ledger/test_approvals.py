"""Approvals on a real Postgres: one function rules, one ruling stands, one effect uses it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.approvals import RuleResult, Ruling, Rung
from database import Database
from ledger import approvals, outbox, records
from tests.integration.ledger.rows import DIGEST, LINEAGE, request, ruling

KEY, BUNDLE = f"{LINEAGE}/s1/1", "b" * 64


async def ask(database: Database, asked: approvals.Request | None = None, tenant: str = "default") -> None:
    async with database.transaction(tenant) as tx:
        await approvals.ask(tx, asked or request())


async def rule(database: Database, said: Ruling | None = None, *, trusted: bool = True, tenant: str = "default") -> RuleResult:
    async with database.transaction(tenant) as tx:
        return await approvals.rule(tx, said or ruling(), channel="test", trusted=trusted)


async def read(database: Database, id: str = "apr-1") -> approvals.Request:
    async with database.transaction("default") as tx:
        found = await approvals.read(tx, id)
    assert found is not None
    return found


async def events(database: Database) -> list[str]:
    async with database.transaction("default") as tx:
        return [record["body"]["event"] for record in await records.of_run(tx, LINEAGE)]


async def consume(database: Database, key: str = KEY, digest: str = DIGEST, bundle: str = BUNDLE) -> bool:
    async with database.transaction("default") as tx:
        return await approvals.consume(tx, request(), key, digest, bundle)


async def test_a_retried_ask_changes_nothing(database: Database) -> None:
    await ask(database)
    await ask(database, request(reason="another", seconds=9))
    assert (await read(database)).reason == "a person vets it" and await events(database) == ["asked"]


async def test_a_request_comes_back_as_it_was_asked(database: Database) -> None:
    await ask(database, asked := request())
    found = await read(database)
    assert (found.arguments, found.schema, found.groups, found.expires_at) == (asked.arguments, asked.schema, ["editor"], asked.expires_at)
    assert found.gate.rungs == (Rung.model_validate(asked.rungs[0]),) and found.deadline < found.expires_at and not found.ended


async def test_an_edited_action_is_asked_with_its_editors_ruling(database: Database) -> None:
    edited = request("apr-2", state="approved", ruled_by="ann", ruled_at=datetime.now(UTC), ruling={"verdict": "edit"})
    await ask(database, edited)
    assert (await read(database, "apr-2")).ended and "already decided by ann" in (await rule(database, ruling(request="apr-2"))).message
    async with database.transaction("default") as tx:
        assert await approvals.consume(tx, edited, KEY, DIGEST, BUNDLE)


@pytest.mark.parametrize(
    ("said", "state", "message"),
    [
        (ruling("approve", digest=DIGEST[:12]), "approved", "approved by ann"),
        (ruling("reject", reason="too early"), "rejected", "rejected by ann"),
        (ruling("edit", arguments={"title": "y"}), "superseded", "edited by ann"),
    ],
)
async def test_a_ruling_is_kept_recorded_and_wakes_the_workflow(database: Database, said: Ruling, state: str, message: str) -> None:
    await ask(database)
    assert await rule(database, said) == RuleResult(accepted=True, message=message, request="apr-1", ended=True)
    found = await read(database)
    assert (found.state, found.ruled_by, found.ended) == (state, "ann", True) and await events(database) == ["asked", state]
    assert found.ruling == {**said.model_dump(exclude={"token", "happened", "output"}), "channel": "test", "claim": ""}
    sent: list[tuple[str, dict[str, Any]]] = []

    async def send(workflow_id: str, body: dict[str, Any]) -> bool:
        sent.append((workflow_id, body))
        return True

    assert await outbox.deliver(database, "default", send) == 1 and sent == [("wf-1", {"request": "apr-1"})]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (ruling(request="apr-9"), "unknown request 'apr-9'"),
        (ruling(digest="e2" * 32), f"its digest begins {DIGEST[:12]}"),
        (ruling(digest=DIGEST[:7]), f"its digest begins {DIGEST[:12]}"),
        (ruling("reject"), "a rejection needs a reason"),
        (ruling("reject", reason="  "), "a rejection needs a reason"),
        (ruling(arguments={"title": "y"}), "`arguments` go with the verdict `edit` only"),
        (ruling("edit"), "an edit needs `arguments`"),
        (ruling("edit", arguments={"title": "y" * 21}), "title: 'yyy"),
        (ruling("edit", arguments={"title": 7}), "title: 7 is not of type 'string'"),
        (ruling("edit", arguments={}), "'title' is a required property"),
        (ruling("edit", arguments={"title": "y", "to": "eve"}), "'to' was unexpected"),
    ],
)
async def test_a_ruling_that_does_not_fit_is_refused_and_changes_nothing(database: Database, said: Ruling, message: str) -> None:
    await ask(database)
    result = await rule(database, said)
    assert not result.accepted and not result.ended and message in result.message
    assert (await read(database)).state == "pending" and await events(database) == ["asked"]


async def test_a_claim_of_the_waiting_workflow_needs_no_wake_up_and_keeps_its_first_answer(database: Database) -> None:
    await ask(database)
    async with database.transaction("default") as tx:
        first = await approvals.rule(tx, ruling(), channel="signal", trusted=True, claim="c1")
        assert first.accepted and await approvals.rule(tx, ruling(), channel="signal", trusted=True, claim="c1") == first
        assert not (await approvals.rule(tx, ruling(), channel="signal", trusted=True, claim="c2")).accepted
        assert await tx.value("SELECT count(*) FROM outbox") == 0


async def test_a_token_is_never_kept(database: Database) -> None:
    await ask(database)
    await rule(database, ruling(token="very-secret"))
    async with database.transaction("default") as tx:
        assert "very-secret" not in str([await approvals.read(tx, "apr-1"), await records.of_run(tx, LINEAGE)])


async def test_an_unproved_speaker_is_refused(database: Database) -> None:
    await ask(database)
    assert "not proved who is speaking" in (await rule(database, trusted=False)).message


async def test_the_second_ruling_is_told_who_decided_and_when(database: Database) -> None:
    await ask(database)
    await rule(database, ruling("reject", reason="no"))
    found = await read(database)
    assert found.ruled_at is not None
    result = await rule(database, ruling(by="eve"))
    assert result.message == f"already decided by ann at {found.ruled_at:%Y-%m-%d %H:%M:%S} UTC: rejected"
    assert not result.accepted and result.ended and await events(database) == ["asked", "rejected"]


async def test_an_expired_request_cannot_be_ruled_even_before_its_timer_fires(database: Database) -> None:
    await ask(database, request(seconds=-1))
    assert (await rule(database)).message.startswith("expired at ")
    await climb(database, Rung(at=1, kind="end"))
    assert (await rule(database)).message.startswith("expired at ")


async def test_of_a_hundred_rulings_at_once_one_wins_and_all_others_learn_by_whom(database: Database) -> None:
    await ask(database)
    results = await asyncio.gather(*(rule(database, ruling(by=f"person-{n}")) for n in range(100)))
    won = [result for result in results if result.accepted]
    winner = (await read(database)).ruled_by
    assert [result.message for result in won] == [f"approved by {winner}"]
    assert all(result.message.startswith(f"already decided by {winner} at ") for result in results if not result.accepted)


async def test_an_approval_is_used_by_one_effect_and_still_holds_for_it(database: Database) -> None:
    await ask(database)
    assert not await consume(database)
    await rule(database)
    assert await consume(database) and await consume(database)
    assert not await consume(database, key=f"{LINEAGE}/s1/2")
    assert "already decided by ann" in (await rule(database)).message


async def test_of_fifty_effects_at_once_one_uses_the_approval(database: Database) -> None:
    await ask(database)
    await rule(database)
    assert sum(await asyncio.gather(*(consume(database, key=f"{LINEAGE}/s1/{n}") for n in range(50)))) == 1


@pytest.mark.parametrize("other", [{"digest": "e2" * 32}, {"bundle": "c" * 64}])
async def test_an_approval_is_for_its_action_and_bundle_only(database: Database, other: dict[str, str]) -> None:
    await ask(database)
    await rule(database)
    assert not await consume(database, **other) and await consume(database) and not await consume(database, **other)


async def test_an_approval_cannot_be_used_after_it_expired(database: Database) -> None:
    await ask(database, request(state="approved", ruled_by="ann", ruled_at=datetime.now(UTC), seconds=-61))
    assert not await consume(database)


async def test_a_stale_approval_cannot_be_used(database: Database) -> None:
    await ask(database)
    await rule(database)
    async with database.transaction("default") as tx:
        await approvals.make_stale(tx, "apr-1")
    assert not await consume(database) and (await read(database)).state == "stale"


async def climb(database: Database, rung: Rung, seen: approvals.Request | None = None) -> bool:
    seen = seen or await read(database)
    async with database.transaction("default") as tx:
        return await approvals.climb(tx, seen, rung)


async def test_each_rung_is_recorded_once_and_the_last_one_ends_the_request(database: Database) -> None:
    await ask(database)
    for at, kind in ((1, "remind"), (1, "remind"), (2, "escalate"), (3, "end"), (3, "end")):
        assert await climb(database, Rung.model_validate({"at": at, "kind": kind})) == (kind == "end")
    assert await events(database) == ["asked", "reminded", "escalated", "expired"] and (await read(database)).state == "expired"


async def test_the_last_rung_never_overrules_a_person_who_came_first(database: Database) -> None:
    await ask(database)
    seen = await read(database)
    await rule(database)
    assert await climb(database, Rung(at=3, kind="end"), seen)
    assert (await read(database)).state == "approved" and await events(database) == ["asked", "approved"]


async def test_the_end_of_a_run_cancels_what_nobody_used(database: Database) -> None:
    for id in ("apr-1", "apr-2", "apr-3", "apr-4"):
        await ask(database, request(id))
    await rule(database, ruling("reject", reason="no"))
    await rule(database, ruling(request="apr-2"))
    await rule(database, ruling(request="apr-3"))
    async with database.transaction("default") as tx:
        assert await approvals.consume(tx, request("apr-3"), KEY, DIGEST, BUNDLE)
        assert sorted(await approvals.cancel_open(tx, LINEAGE)) == ["apr-2", "apr-4"]
        assert await approvals.cancel_open(tx, LINEAGE) == []
    result = await rule(database, ruling(request="apr-4"))
    assert result.message == "already decided: cancelled" and result.ended


async def test_what_waits_is_listed_oldest_first_and_counted(database: Database) -> None:
    for id in ("apr-2", "apr-1", "apr-3"):
        await ask(database, request(id))
    await rule(database, ruling(request="apr-3"))
    async with database.transaction("default") as tx:
        assert [found.id for found in await approvals.open_requests(tx)] == ["apr-2", "apr-1"]
        assert [found.id for found in await approvals.open_requests(tx, limit=1)] == ["apr-2"]
        assert [found.id for found in await approvals.of_run(tx, LINEAGE)] == ["apr-2", "apr-1", "apr-3"]
        newest = await approvals.latest(tx, LINEAGE, "s1", DIGEST)
        assert newest is not None and newest.id == "apr-3"
        count, oldest = await approvals.waiting(tx)
    assert count == 2 and 0 < oldest < 60


async def test_nothing_waits_at_first(database: Database) -> None:
    async with database.transaction("default") as tx:
        assert await approvals.waiting(tx) == (0, 0) and await approvals.latest(tx, LINEAGE, "s1", DIGEST) is None


async def test_requests_are_seen_and_ruled_by_their_tenant_only(database: Database) -> None:
    await ask(database)
    assert (await rule(database, tenant="other")).message == "unknown request 'apr-1'"
    async with database.transaction("other") as tx:
        assert await approvals.open_requests(tx) == [] and await approvals.cancel_open(tx, LINEAGE) == []
        assert not await approvals.climb(tx, request(), Rung(at=1, kind="remind"))
    await ask(database, tenant="other")
    assert (await rule(database, tenant="other")).accepted and (await read(database)).state == "pending"
    assert not await consume(database)
