"""Shared documents on a real Postgres: every merge by its declaration, every loser on record, every replay the first answer."""

import asyncio
import random
from typing import Any

import pytest
from pycrdt import Doc, Map, Text

from contracts.errors import BadInput
from database import Database
from memory import erasure
from memory.shared import conflicts, documents, history
from memory.shared.clocks import Stamp
from memory.shared.conflicts import Conflict
from memory.shared.documents import Answer
from memory.shared.edits import Add, Change, Edit, Operation, Put, Rewrite, Splice, Update, Write
from memory.writes import WriteKey
from tests.integration.memory.shared_storm import FIELDS as FIELDS_OF_A_STORM
from tests.integration.memory.shared_storm import Findings, Storm, recorded

FIELDS = {
    "plan": "versioned", "status": "lww", "price": "escalate", "votes": "crdt:counter", "tags": "crdt:set", "facts": "crdt:map",
    "draft": "crdt:text",
}  # fmt: skip
TABLES = ("shared_document", "shared_field", "shared_edit", "shared_conflict")
NOW = 1_700_000_000_000


class Desk:
    """One shared document, and the keys of its edits."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.count = 0

    async def declare(self, **more: Any) -> None:
        async with self.database.transaction("default") as tx:
            await documents.declare(tx, "brief", FIELDS, by="editor", **more)

    async def edit(self, field: str, operation: Operation, *, base: int = 0, writer: str = "ann", key: WriteKey | None = None) -> Answer:
        self.count += 1
        async with self.database.transaction("default") as tx:
            return await documents.edit(tx, key or WriteKey("run", "step", self.count), Edit("brief", field, writer, operation, base))

    async def value(self, field: str) -> Any:
        async with self.database.transaction("default") as tx:
            return (await documents.read(tx, "brief"))[field].value

    async def conflicts(self) -> list[Conflict]:
        async with self.database.transaction("default") as tx:
            return await recorded(tx, "brief")

    async def replica(self, field: str, vector: bytes | None = None) -> tuple[int, bytes]:
        async with self.database.transaction("default") as tx:
            return await documents.replica(tx, "brief", field, vector)


@pytest.fixture
async def desk(database: Database) -> Desk:
    made = Desk(database)
    await made.declare()
    return made


def sides(conflict: Conflict) -> tuple[Any, str, Any, str]:
    return conflict.kept, conflict.kept_by, conflict.lost, conflict.lost_by


async def test_a_new_document_shows_what_nobody_has_written(desk: Desk) -> None:
    assert [await desk.value(field) for field in FIELDS] == [None, None, None, 0, [], {}, ""]


async def test_versioned_refuses_and_records_what_was_written_on_an_older_version(desk: Desk) -> None:
    assert (await desk.edit("plan", Put("a"))).outcome == "applied"
    answer = await desk.edit("plan", Put("b"), writer="bob")
    assert (answer.outcome, answer.version, answer.value) == ("lost", 1, "a")
    assert [sides(one) for one in await desk.conflicts()] == [("a", "ann", "b", "bob")]
    assert (await desk.edit("plan", Put("b"), base=answer.version, writer="bob")).outcome == "applied"
    assert await desk.value("plan") == "b" and len(await desk.conflicts()) == 1


async def test_versioned_has_no_quarrel_with_the_same_value(desk: Desk) -> None:
    await desk.edit("plan", Put({"n": 1}))
    assert (await desk.edit("plan", Put({"n": 1.0}), writer="bob")).outcome == "same" and await desk.conflicts() == []


async def test_a_later_stamp_wins_and_the_overwritten_value_is_recorded(desk: Desk) -> None:
    await desk.edit("status", Put("a", Stamp(NOW)))
    assert (await desk.edit("status", Put("b", Stamp(NOW, 1)), writer="bob")).outcome == "merged"
    assert (await desk.edit("status", Put("c", Stamp(NOW - 1)), writer="cat")).outcome == "lost"
    assert await desk.value("status") == "b"
    assert [sides(one) for one in await desk.conflicts()] == [("b", "bob", "a", "ann"), ("b", "bob", "c", "cat")]


async def test_overwriting_what_was_seen_is_no_conflict(desk: Desk) -> None:
    for field in ("status", "plan", "price"):
        first = await desk.edit(field, Put("a"))
        assert (await desk.edit(field, Put(None), base=first.version, writer="bob")).outcome == "applied" and await desk.value(
            field
        ) is None
    assert await desk.conflicts() == []


async def test_a_stamp_from_the_future_is_refused(desk: Desk) -> None:
    with pytest.raises(BadInput, match="ahead of the database's clock"):
        await desk.edit("status", Put("a", Stamp(2**43)))


async def test_counters_add_up_whatever_the_base(desk: Desk) -> None:
    for amount, writer in ((5, "ann"), (-2, "bob"), (4, "ann")):
        await desk.edit("votes", Add(amount), writer=writer)
    assert await desk.value("votes") == 7 and await desk.conflicts() == []


async def test_a_removal_takes_only_what_had_been_seen(desk: Desk) -> None:
    seen = await desk.edit("tags", Change(add=("x", "y")))
    await desk.edit("tags", Change(add=("x",)), base=seen.version, writer="bob")
    answer = await desk.edit("tags", Change(remove=("x", "y")), base=seen.version, writer="cat")
    assert answer.outcome == "merged" and answer.value == ["x"]
    assert [sides(one) for one in await desk.conflicts()] == [("x", "bob", {"removed": "x"}, "cat")]


async def test_an_addition_that_brings_back_what_was_taken_out_is_recorded(desk: Desk) -> None:
    seen = await desk.edit("tags", Change(add=("x",)))
    await desk.edit("tags", Change(remove=("x",)), base=seen.version, writer="bob")
    answer = await desk.edit("tags", Change(add=("x",)), base=seen.version, writer="cat")
    assert answer.value == ["x"] and [sides(one) for one in await desk.conflicts()] == [("x", "cat", {"removed": "x"}, "bob")]


async def test_one_of_two_concurrent_writes_of_a_maps_key_is_recorded(desk: Desk) -> None:
    seen = await desk.edit("facts", Write((("a", 1), ("b", {"deep": [1, None]}))))
    await desk.edit("facts", Write((("a", 2), ("c", True))), base=seen.version, writer="bob")
    answer = await desk.edit("facts", Write((("a", 3),), drop=("b",)), base=seen.version, writer="cat")
    assert answer.outcome == "merged" and answer.value == {"a": answer.value["a"], "c": True}
    (conflict,) = await desk.conflicts()
    assert conflict.part == "a" and {conflict.kept, conflict.lost} == {2, 3} and conflict.kept == answer.value["a"]
    assert {conflict.kept: conflict.kept_by, conflict.lost: conflict.lost_by} == {2: "bob", 3: "cat"}


@pytest.mark.parametrize("writers", [("bob", "cat"), ("cat", "bob"), ("bob", "bob")])
async def test_a_key_that_is_dropped_and_written_at_once_is_recorded(desk: Desk, writers: tuple[str, str]) -> None:
    seen = await desk.edit("facts", Write((("a", 1),)))
    await desk.edit("facts", Write(drop=("a",)), base=seen.version, writer=writers[0])
    await desk.edit("facts", Write((("a", 2),)), base=seen.version, writer=writers[1])
    assert await desk.value("facts") == {"a": 2}
    assert [sides(one) for one in await desk.conflicts()] == [(2, writers[1], None, writers[0])]


async def test_writing_a_keys_own_value_again_is_a_write(desk: Desk) -> None:
    seen = await desk.edit("facts", Write((("a", 1),)))
    await desk.edit("facts", Write((("a", 2),)), base=seen.version, writer="bob")
    answer = await desk.edit("facts", Write((("a", 1),)), base=seen.version, writer="cat")
    (conflict,) = await desk.conflicts()
    assert conflict.kept == answer.value["a"] and {conflict.kept, conflict.lost} == {1, 2}


async def test_texts_join_and_say_where_nobody_has_read_them_together(desk: Desk) -> None:
    seen = await desk.edit("draft", Rewrite((Splice(0, insert="The 🦊 is red. The sky is blue."),)))
    await desk.edit("draft", Rewrite((Splice(9, 3, "brown"),)), base=seen.version, writer="bob")
    assert (await desk.edit("draft", Rewrite((Splice(0, 3, "A"),)), base=seen.version, writer="cat")).outcome == "applied"
    answer = await desk.edit("draft", Rewrite((Splice(9, 3, "grey"),)), base=seen.version, writer="dan")
    assert answer.outcome == "merged" and answer.value in ("A 🦊 is browngrey. The sky is blue.", "A 🦊 is greybrown. The sky is blue.")
    (conflict,) = await desk.conflicts()
    assert conflict.state == "both" and "bob" in conflict.kept_by and conflict.lost_by == "dan"
    assert conflict.kept == [{"at": 9, "removed": "red", "inserted": "brown"}] and conflict.part == "characters 9 to 12 of version 1"
    assert conflict.lost == [{"at": 9, "removed": "red", "inserted": "grey"}]


async def test_a_field_that_escalates_asks_once_and_holds_what_comes_then(desk: Desk) -> None:
    first = await desk.edit("price", Put(10))
    answer = await desk.edit("price", Put(12), writer="bob")
    assert (answer.outcome, answer.value) == ("escalated", 10)
    assert (await desk.edit("price", Put(13), base=first.version, writer="cat")).outcome == "held"
    opened, held = await desk.conflicts()
    assert (opened.state, sides(opened)) == ("open", (10, "ann", 12, "bob"))
    assert (held.state, sides(held)) == ("recorded", (10, "ann", 13, "cat"))


@pytest.mark.parametrize(
    ("field", "operation"),
    [
        ("plan", Put("z")), ("status", Put("z")), ("price", Put("z")), ("votes", Add(3)), ("tags", Change(add=("z",))),
        ("facts", Write((("z", 1),))), ("draft", Rewrite((Splice(0, insert="z"),))),
    ],
)  # fmt: skip
async def test_a_repeated_edit_gets_its_first_answer_and_changes_nothing(desk: Desk, field: str, operation: Operation) -> None:
    key = WriteKey("run", "again")
    first = await desk.edit(field, operation, key=key)
    assert first.outcome == "applied" and await desk.edit(field, operation, key=key) == first
    with pytest.raises(BadInput, match="was used for another edit"):
        await desk.edit(field, operation, writer="bob", key=key)
    with pytest.raises(BadInput, match="was used for another edit"):
        await desk.edit("votes", Add(1), key=key)
    assert await desk.value("votes") == (3 if field == "votes" else 0)


async def test_a_repeated_edit_names_its_first_conflicts(desk: Desk) -> None:
    await desk.edit("plan", Put("a"))
    key = WriteKey("run", "again")
    first = await desk.edit("plan", Put("b"), writer="bob", key=key)
    again = await desk.edit("plan", Put("b"), writer="bob", key=key)
    assert [one.id for one in first.conflicts] == [one.id for one in again.conflicts] and len(await desk.conflicts()) == 1


async def test_a_peers_own_replica_joins_and_is_brought_up_to_date(desk: Desk) -> None:
    seen = await desk.edit("facts", Write((("a", 1),)))
    peer: Doc[Any] = Doc(client_id=77)
    facts = peer.get("value", type=Map)
    version, update = await desk.replica("facts")
    peer.apply_update(update)
    before = peer.get_state()
    facts["a"], facts["p"] = 5, "peer"
    await desk.edit("facts", Write((("a", 2),)), base=seen.version, writer="bob")
    answer = await desk.edit("facts", Update(peer.get_update(before)), base=version, writer="peer")
    assert answer.outcome == "merged" and answer.value["p"] == "peer"
    (conflict,) = await desk.conflicts()
    assert {conflict.kept, conflict.lost} == {2, 5} and {conflict.kept_by, conflict.lost_by} == {"bob", "peer"}
    version, update = await desk.replica("facts", peer.get_state())
    peer.apply_update(update)
    assert version == answer.version and facts.to_py() == answer.value


async def test_a_replica_that_went_on_in_two_places_is_refused(desk: Desk) -> None:
    updates = []
    for text in ("one", "two"):
        peer: Doc[Any] = Doc(client_id=77)
        peer.get("value", type=Text).insert(0, text)
        updates.append(peer.get_update())
    await desk.edit("draft", Update(updates[0]))
    with pytest.raises(BadInput, match="replica 77 went on after version 0 already"):
        await desk.edit("draft", Update(updates[1]))
    assert await desk.value("draft") == "one"


async def test_an_edit_on_a_version_no_longer_kept_is_lost_on_record(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEPT_EDITS", 4)
    for nth in range(10):
        last = await desk.edit("facts", Write((("n", nth),)), base=nth)
    answer = await desk.edit("facts", Write((("n", "old"),)), base=2, writer="bob")
    assert answer.outcome == "lost" and answer.value == {"n": 9}
    (conflict,) = await desk.conflicts()
    assert sides(conflict) == ({"n": 9}, "ann", {"values": {"n": "old"}, "drop": []}, "bob") and "no longer kept" in conflict.reason
    assert (await desk.edit("facts", Write((("m", 1),)), base=last.version - 2, writer="bob")).value == {"n": 9, "m": 1}


async def test_a_replica_that_outgrows_its_bound_begins_anew(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memory.shared.joins.MOST_STATE", 2000)
    base = 0
    for nth in range(60):
        base = (
            await desk.edit("draft", Rewrite((Splice(0, insert=f"{nth} some words. "), Splice(5, 5))), base=base, writer=f"w{nth}")
        ).version
    _, update = await desk.replica("draft")
    assert len(update) < 3000 and (await desk.edit("draft", Rewrite((Splice(0, insert="!"),)), base=base)).value.startswith("!59 so")


@pytest.mark.parametrize(
    ("field", "operation", "base", "message"),
    [
        ("nope", Put(1), 0, "has no field 'nope'; it has draft, facts, plan"),
        ("plan", Add(1), 0, "is versioned and takes Put, not Add"),
        ("plan", Put("a", Stamp(NOW)), 0, "a stamp goes with lww only"),
        ("plan", Put(float("nan")), 0, "numbers must be between"),
        ("plan", Put(2**60), 0, "numbers must be between"),
        ("plan", Put("a\0b"), 0, "NUL characters"),
        ("plan", Put("x" * 70_000), 0, "has 70002 bytes: at most 65536"),
        ("plan", Put(1), 7, "is at version 0: nobody has read version 7"),
        ("plan", Put(1), -1, "the base version is -1"),
        ("votes", Add(10**15), 0, "beyond what one edit may add"),
        ("tags", Change(), 0, "an edit of 0 changes"),
        ("tags", Change(add=tuple(range(1001))), 0, "an edit of 1001 changes"),
        ("tags", Change(add=("x" * 5000,)), 0, "at most 4096 are kept"),
        ("facts", Write((("", 1),)), 0, "a key has 0 characters"),
        ("facts", Write((("k" * 201, 1),)), 0, "a key has 201 characters"),
        ("draft", Rewrite((Splice(3, insert="x"),)), 0, "splice 1 of 'draft' takes 3 to 3 of a text of 0 characters"),
        ("draft", Rewrite((Splice(0, -1),)), 0, "splice 1 of 'draft' takes 0 to -1"),
        ("draft", Rewrite((Splice(0, insert="x" * 300_000),)), 0, "at most 262144 are kept"),
        ("draft", Update(b""), 0, "it ends in the middle"),
        ("draft", Update(b"\0" * 70_000), 0, "the update has 70000 bytes"),
    ],
)
async def test_bad_input_is_named_and_changes_nothing(desk: Desk, field: str, operation: Operation, base: int, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        await desk.edit(field, operation, base=base)
    assert [await desk.value(name) for name in FIELDS] == [None, None, None, 0, [], {}, ""] and await desk.conflicts() == []


async def test_a_value_that_nests_too_deep_is_refused(desk: Desk) -> None:
    value: Any = 1
    for _ in range(33):
        value = [value]
    for field, operation in (("plan", Put(value)), ("tags", Change(add=(value,))), ("facts", Write((("a", value),)))):
        with pytest.raises(BadInput, match="nests deeper than 32"):
            await desk.edit(field, operation)


async def test_a_merge_never_changes_and_fields_may_be_added(desk: Desk) -> None:
    await desk.declare()
    async with desk.database.transaction("default") as tx:
        await documents.declare(tx, "brief", {"notes": "crdt:text"}, by="bob")
        assert (await documents.read(tx, "brief"))["notes"].value == ""
        for wrong, message in (
            ({"plan": "lww"}, "a merge never changes"),
            ({"x": "newest"}, "one of versioned, lww"),
            ({"é": "lww"}, "letters"),
        ):
            with pytest.raises(BadInput, match=message):
                await documents.declare(tx, "brief", wrong, by="bob")
        with pytest.raises(BadInput, match="another subject"):
            await documents.declare(tx, "brief", {"plan": "versioned"}, by="bob", subject="sub")


@pytest.mark.parametrize("seed", [1, 2])
async def test_concurrent_edits_converge_and_lose_nothing_that_is_not_on_record(database: Database, seed: int) -> None:
    storm = Storm(database, "storm", random.Random(seed))
    await storm.blow(300)
    found = await Findings.of(storm)
    assert found.wrong == [] and storm.repeats and {made.edit.field for made in storm.made} == set(FIELDS_OF_A_STORM)


async def test_attempts_of_one_edit_at_the_same_time_make_it_once(desk: Desk) -> None:
    key = WriteKey("run", "again")
    answers = await asyncio.gather(*(desk.edit("votes", Add(3), key=key) for _ in range(6)))
    assert [answer.version for answer in answers] == [1] * 6 and await desk.value("votes") == 3


async def test_another_tenant_sees_and_changes_nothing(desk: Desk) -> None:
    await desk.edit("plan", Put("a"))
    await desk.edit("plan", Put("b"), writer="bob")
    (conflict,) = await desk.conflicts()
    async with desk.database.transaction("other") as tx:
        assert await documents.read(tx, "brief") == {} and await recorded(tx, "brief") == []
        assert await conflicts.read(tx, conflict.id) is None and await conflicts.named(tx, [conflict.id]) == []
        with pytest.raises(BadInput, match="has no field 'plan'"):
            await documents.edit(tx, WriteKey("run", "step", 1), Edit("brief", "plan", "eve", Put("x")))
        with pytest.raises(BadInput, match="has no map and no text"):
            await documents.replica(tx, "brief", "draft")
        for table in TABLES:
            assert await tx.value(f"SELECT count(*) FROM {table}") == 0  # noqa: S608
        await documents.declare(tx, "brief", {"plan": "lww"}, by="eve")
    assert await desk.value("plan") == "a"


async def test_whom_we_were_told_to_forget_comes_back_in_no_edit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_SECRET_MEMORY_KEY", "k" * 32)
    peer: Doc[Any] = Doc(client_id=77)
    peer.get("value", type=Text).insert(0, "call Zacharias today")
    async with desk.database.transaction("default") as tx:
        await erasure.forget(tx, "Zacharias", reason="asked", by="owner")
    said: list[tuple[str, Operation]] = [
        ("plan", Put({"who": ["zacharias"]})), ("tags", Change(add=("Zacharias",))), ("facts", Write((("zacharias", 1),))),
        ("draft", Rewrite((Splice(0, insert="to Zacharias."),))), ("draft", Update(peer.get_update())),
    ]  # fmt: skip
    for field, operation in said:
        with pytest.raises(BadInput, match="names somebody whom we were told to forget"):
            await desk.edit(field, operation)
    async with desk.database.transaction("default") as tx:
        with pytest.raises(BadInput, match="about somebody whom we were told to forget"):
            await documents.declare(tx, "another", {"plan": "versioned"}, by="editor", subject="zacharias")
