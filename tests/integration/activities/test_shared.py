"""Conflicts in a run: all on record, and the one that no rule decides is a person's."""

from typing import Any

import pytest

from activities import shared
from activities.shared import Asker
from contracts.approvals import RuleResult, Ruling
from database import Database
from ledger import approvals, outbox, records
from ledger.approvals import Request
from memory.shared import conflicts, documents, fields
from memory.shared.conflicts import Conflict
from memory.shared.documents import Answer, Field
from memory.shared.edits import Add, Edit, Operation, Put
from memory.writes import WriteKey
from policies.bundles import Bundle

END = "UPDATE approval SET rungs = jsonb_set(rungs, '{0,at}', '1000') WHERE tenant = $1 AND id = $2"


def bundle(**asking: Any) -> Bundle:
    agent = {"prompt": "p", "route": "m", "tools": ["t"]}
    body = {
        "goal": "g", "agents": {"a": agent}, "planner": "a", "models": {"m": {}}, "rules": [], "budget": {"run_micros": 1},
        "approvals": {"groups": ["owner"], "unsigned": True, "self_approval": True, **asking},
    }  # fmt: skip
    return Bundle("auto", {"automation": body, "prompts": {}})


class Desk:
    """A document that a run edits."""

    def __init__(self, database: Database, **asking: Any) -> None:
        self.database = database
        self.asker = Asker("run-1", "wf-1", bundle(**asking), "starter", one_machine=True)
        self.count = 0

    async def declare(self) -> None:
        async with self.database.transaction("default") as tx:
            await documents.declare(tx, "offer", {"price": "escalate", "plan": "versioned", "votes": "crdt:counter"}, by="ann")

    async def write(self, writer: str, operation: Operation, *, field: str = "price", base: int = 0, key: WriteKey | None = None) -> Answer:
        self.count += 1
        async with self.database.transaction("default") as tx:
            edit = Edit("offer", field, writer, operation, base)
            return await shared.write(tx, self.asker, key or WriteKey("run-1", "s1", self.count), edit)

    async def disagree(self) -> Conflict:
        await self.write("ann", Put(10))
        answer = await self.write("bob", Put(12))
        assert answer.outcome == "escalated"
        return await self.conflict(answer.conflicts[0].id)

    async def conflict(self, id: str) -> Conflict:
        async with self.database.transaction("default") as tx:
            found = await conflicts.read(tx, id)
        assert found is not None
        return found

    async def request(self, conflict: Conflict) -> Request:
        async with self.database.transaction("default") as tx:
            found = await approvals.read(tx, (await self.conflict(conflict.id)).request or "")
        assert found is not None
        return found

    async def rule(self, conflict: Conflict, verdict: str, by: str = "olga", **more: Any) -> RuleResult:
        said = Ruling.model_validate({"request": (await self.request(conflict)).id, "verdict": verdict, "by": by, "reason": "so", **more})
        async with self.database.transaction("default") as tx:
            return await approvals.rule(tx, said, channel="test", trusted=True)

    async def settle(self) -> list[Conflict]:
        async with self.database.transaction("default") as tx:
            return await shared.settle_ended(tx)

    async def field(self, name: str = "price") -> Field:
        async with self.database.transaction("default") as tx:
            return (await documents.read(tx, "offer"))[name]

    async def records(self) -> list[dict[str, Any]]:
        async with self.database.transaction("default") as tx:
            return [one["body"] for one in await records.of_run(tx, "run-1") if one["kind"] == "conflict"]


@pytest.fixture
async def desk(database: Database) -> Desk:
    made = Desk(database)
    await made.declare()
    return made


async def test_every_conflict_is_recorded_with_digests_and_no_values(desk: Desk) -> None:
    await desk.write("ann", Put({"secret plan": "x"}), field="plan")
    await desk.write("bob", Put({"secret plan": "y"}), field="plan")
    (record,) = await desk.records()
    assert (record["event"], record["document"], record["field"], record["kept_by"], record["lost_by"]) == (
        "lost",
        "offer",
        "plan",
        "ann",
        "bob",
    )
    assert record["lost"] == fields.digest('{"secret plan":"y"}') and "secret" not in str(record)


async def test_an_escalated_conflict_becomes_a_request_that_shows_both_sides(desk: Desk) -> None:
    request = await desk.request(await desk.disagree())
    assert request.arguments == {"document": "offer", "field": "price", "value": 12, "standing": 10}
    assert (request.tool, request.state, request.workflow_id, request.groups) == ("shared.write", "pending", "wf-1", ["owner"])
    assert request.reason.startswith("bob and ann disagree") and await desk.settle() == []
    assert [one["event"] for one in await desk.records()] == ["escalated"]


async def test_an_approval_puts_what_was_proposed_and_the_other_side_lost(desk: Desk) -> None:
    conflict = await desk.disagree()
    assert (await desk.rule(conflict, "approve")).accepted
    (settled,) = await desk.settle()
    assert (settled.kept, settled.kept_by, settled.lost, settled.lost_by) == (
        12,
        "bob",
        10,
        "ann",
    ) and "olga: approved. so" in settled.reason
    assert ((await desk.field()).value, (await desk.field()).version, (await desk.field()).waits) == (12, 2, None)
    assert (await desk.request(conflict)).state == "consumed" and await desk.settle() == []
    assert [one["event"] for one in await desk.records()] == ["escalated", "settled"]
    # The run that waits is woken by the ruling itself.
    sent: list[str] = []

    async def send(workflow_id: str, _: dict[str, Any]) -> bool:
        sent.append(workflow_id)
        return True

    assert await outbox.deliver(desk.database, "default", send) == 1 and sent == ["wf-1"]


async def test_a_rejection_keeps_what_stands(desk: Desk) -> None:
    await desk.rule(await desk.disagree(), "reject")
    (settled,) = await desk.settle()
    assert (settled.kept, settled.lost, (await desk.field()).value, (await desk.field()).version) == (10, 12, 10, 1)


async def test_an_edit_puts_a_third_value_and_both_sides_lost(desk: Desk) -> None:
    conflict = await desk.disagree()
    assert (await desk.rule(conflict, "edit", arguments={"document": "offer", "field": "price", "value": 11})).accepted
    settled = await desk.settle()
    assert [(one.kept, one.kept_by, one.lost, one.lost_by) for one in settled] == [(11, "olga", 12, "bob"), (11, "olga", 10, "ann")]
    assert (await desk.field()).value == 11 and (await desk.field()).writer == "olga"
    assert len(await desk.records()) == 3


async def test_an_edit_of_another_field_is_refused(desk: Desk) -> None:
    conflict = await desk.disagree()
    refused = await desk.rule(conflict, "edit", arguments={"document": "offer", "field": "plan", "value": 11})
    assert not refused.accepted and "field" in refused.message


async def test_an_edit_that_cannot_be_kept_changes_nothing_on_record(desk: Desk) -> None:
    await desk.rule(await desk.disagree(), "edit", arguments={"document": "offer", "field": "price", "value": "x" * 70_000})
    (settled,) = await desk.settle()
    assert (await desk.field()).value == 10 and "at most 65536 are kept" in settled.reason


async def test_an_edit_needs_the_others_too_where_more_than_one_must_agree(database: Database) -> None:
    desk = Desk(database, quorum=2)
    await desk.declare()
    conflict = await desk.disagree()
    first = await desk.request(conflict)
    await desk.rule(conflict, "edit", arguments={"document": "offer", "field": "price", "value": 11})
    assert await desk.settle() == [] and (await desk.field()).value == 10
    second = await desk.request(conflict)
    assert (second.supersedes, second.editor, second.state, second.arguments["value"]) == (first.id, "olga", "pending", 11)
    await desk.rule(conflict, "approve", by="pia")
    assert await desk.settle() == []
    await desk.rule(conflict, "approve", by="quinn")
    assert [one.kept for one in await desk.settle()] == [11, 11] and (await desk.field()).value == 11


async def test_silence_keeps_what_stands(desk: Desk) -> None:
    conflict = await desk.disagree()
    async with desk.database.transaction("default") as tx:
        await tx.execute(END, "default", (await desk.request(conflict)).id)
    (settled,) = await desk.settle()
    assert "the request is expired" in settled.reason and (await desk.field()).value == 10


async def test_the_requests_of_a_run_that_is_cancelled_keep_what_stands(desk: Desk) -> None:
    await desk.disagree()
    async with desk.database.transaction("default") as tx:
        await approvals.cancel_open(tx, "run-1")
    assert [one.state for one in await desk.settle()] == ["settled"] and (await desk.field()).waits is None


async def test_what_comes_while_a_person_is_asked_is_held_and_on_record(desk: Desk) -> None:
    conflict = await desk.disagree()
    assert (await desk.write("cat", Put(13), base=1)).outcome == "held"
    await desk.rule(conflict, "approve")
    # The next edit finds the field as the ruling left it, though nobody came by to settle it.
    answer = await desk.write("cat", Put(13), base=1)
    assert answer.outcome == "escalated" and answer.conflicts[0].kept == 12
    assert [one["event"] for one in await desk.records()] == ["escalated", "held", "settled", "escalated"]


async def test_a_repeated_write_asks_and_records_once(desk: Desk) -> None:
    await desk.write("ann", Put(10))
    key = WriteKey("run-1", "again")
    first = await desk.write("bob", Put(12), key=key)
    again = await desk.write("bob", Put(12), key=key)
    assert [one.id for one in first.conflicts] == [one.id for one in again.conflicts] and len(await desk.records()) == 1
    async with desk.database.transaction("default") as tx:
        assert len(await approvals.open_requests(tx)) == 1
    await desk.rule(first.conflicts[0], "approve")
    await desk.settle()
    assert (await desk.write("bob", Put(12), key=key)).outcome == "escalated" and len(await desk.records()) == 2


async def test_a_write_that_fails_leaves_no_record(desk: Desk) -> None:
    await desk.write("ann", Add(2), field="votes")
    with pytest.raises(RuntimeError, match="killed"):
        async with desk.database.transaction("default") as tx:
            await shared.write(tx, desk.asker, WriteKey("run-1", "s1", 99), Edit("offer", "plan", "bob", Put(1)))
            raise RuntimeError("killed")
    assert (await desk.field("plan")).version == 0 and await desk.records() == []
