"""Erasure on a real Postgres: whoever was forgotten is in no table of any tier, and does not come back."""

import asyncio
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from contracts.errors import BadInput, PermanentError
from database import Database, Tx
from ledger import records, runs
from memory import (
    episodes,
    erasure,
    facts,
    keywords,
    likeness,
    revisions,
    samples,
    sessions,
    states,
    storing,
    summaries,
    tombstones,
    vectors,
)
from memory.episodes import NewEpisode
from memory.filters import Filter
from memory.knobs import Knobs
from memory.models import Model
from memory.sessions import Turn
from memory.shared import documents
from memory.shared.edits import Add, Change, Edit, Put, Rewrite, Splice, Write
from memory.storing import NewFact
from memory.summaries import Summary
from memory.writes import WriteKey
from settings import ROOT
from tests.integration.ledger.rows import LINEAGE, run
from tests.integration.memory import corpora

NAME = "Zelda Quimby"
OTHERS = (
    *("zelda quimby", "ZELDA  QUIMBY", "Zelda-Quimby", "zelda_quimby", "zelda.quimby", "ZeldaQuimby", "zeldaQuimby"),
    *("Zel\u200bda Quimby", "Zelda\u2060Quimby", "Zelda\u202e Quimby", "Zel\u00adda_Quim\u200dby"),
    *(
        "\uff3a\uff45\uff4c\uff44\uff41 Quimby",
        "\U0001d419\U0001d41e\U0001d425\U0001d41d\U0001d41a Quimby",
        "\u24cf\u24d4\u24db\u24d3\u24d0 Quimby",
    ),
    *("Quimby, Zelda", "QUIMBY ,  ZELDA", "quimby_zelda", "quimby.zelda", "QuimbyZelda", "quimby+zelda"),
    *("zelda%20quimby", "zelda+quimby", "%5aelda%2520Quimby", "Quimby%2C%20Zelda", "Zel%E2%80%8Bda%20Quimby", "%EF%BC%BAelda Quimby"),
    *("Zelda&nbsp;Quimby", "&#90;elda&#x20;Quimby", "Zelda&amp;nbsp;Quimby", "Quimby&comma; Zelda", "Zelda&ndash;Quimby"),
    *(r"\u005aelda\u0020Quimby", r"Quimby,\\u0020Zelda", r"Zelda\nQuimby", r"Quimby\x2c Zelda"),
)
"""One name, as it may be written: with other marks, as one word, among letters that nobody sees, in letters that look like its own, in
another order, as URLs, HTML and JSON escape it."""
STRANGERS = (
    "Zeldas Quimbys, zeldaquimbyson, McZelda Quimbyson, zeldaquimby and prezelda quimby; Quimby met Zelda and asked Quimby. Zelda "
    r"knew 100%20 of zelda%20quimbys, zelda%41quimby &nbsp; \u0041"
)
LINKS = "SELECT id, near, revises, superseded_by FROM fact WHERE tenant = $1"
GREP = re.compile(r"zelda\W+quimby", re.IGNORECASE)
ADOPT = "INSERT INTO embedding_model (tenant, id, name, dims, state) VALUES ($1, $2, $3, $4, 'active')"
TEXTUAL = """
SELECT c.relname, a.attname, format_type(a.atttypid, NULL) AS type FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE c.relnamespace = 'perdure'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
   AND format_type(a.atttypid, NULL) IN ('text', 'jsonb', 'json', 'bytea', 'text[]', 'jsonb[]', 'character varying', 'name')
 ORDER BY 1, 2
"""


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_SECRET_MEMORY_KEY", "a key of the tests")


async def grep(owner_url: str, pattern: re.Pattern[str] = GREP) -> list[str]:
    """Return every column of every table in which a text matches, bytes read as text included."""
    connection = await asyncpg.connect(owner_url, server_settings={"search_path": "perdure,public"})
    try:
        found: list[str] = []
        for column in await connection.fetch(TEXTUAL):
            table, name = column["relname"], column["attname"]
            shown = f"encode({name}, 'escape')" if column["type"] == "bytea" else f"{name}::text"
            values = await connection.fetch(f"SELECT {shown} AS value FROM {table} WHERE {name} IS NOT NULL")  # noqa: S608
            found += [f"{table}.{name}: {row['value'][:80]}" for row in values if pattern.search(row["value"])]
        return found
    finally:
        await connection.close()


async def remember(tx: Tx, key: WriteKey, sources: Sequence[str | None] = ()) -> Sequence[str | None]:
    """Write episodes and facts; a retry that has the ids of the first time gives them as ``sources``."""
    said = [
        NewEpisode("I keep bees on the roof", "s-own", speaker=NAME),
        NewEpisode("Zelda Quimby told me that she keeps bees", "s-other", speaker="Bob"),
        NewEpisode("The roof was mended in May", "s-other", speaker="Bob"),
    ]
    kept = await episodes.append(tx, key, said)
    own, told, plain = sources or kept
    await facts.write(
        tx,
        WriteKey(key.lineage, key.step, key.index + 1),
        [
            NewFact("keeps bees on the roof", subject="zelda quimby", sources=tuple(filter(None, [own]))),
            NewFact("There are bees on the roof", sources=tuple(filter(None, [own]))),
            NewFact("Bob heard of bees from zelda  quimby", subject="Bob", sources=tuple(filter(None, [told]))),
            NewFact("The roof was mended in May", subject="Bob", sources=tuple(filter(None, [plain]))),
        ],
    )
    return kept


async def fill(tx: Tx) -> None:
    """Put the subject into every tier."""
    await remember(tx, WriteKey("run-1", "s1"))
    model = Model(1, "wordllama", 256)
    await tx.execute(ADOPT, tx.tenant, model.id, model.name, model.dims)
    vector = [1.0] + [0.0] * (model.dims - 1)
    await vectors.put(tx, model, [(num, hash, vector) for num, hash in (await corpora.hashes(tx)).items()])
    await samples.offer(tx, model.id, [1.0] * model.dims, Filter(speakers=(NAME,)), k=5, mode="exact", knobs=Knobs(sampled=1.0))
    turns = [Turn("user", "user", f"I am {NAME}"), Turn("assistant", "agent", "Good day")]
    await sessions.append(tx, "s-free", 0, turns)
    await states.swap(tx, WriteKey("run-1", "s2"), "s-free", 0, {"who": {"name": NAME.upper()}, "list": ["x\n" + NAME, 7]})
    await states.swap(tx, WriteKey("run-1", "s2", 1), f"with {NAME}", 0, {"x": 1})
    await summaries.add(tx, "s-free", Summary(1, 2, f"{NAME} came by", "test"))
    await share(tx)


def _edit(document: str, field: str, writer: str, base: int, operation: Any) -> Edit:
    return Edit(document, field, writer, operation, base)


async def share(tx: Tx) -> None:
    await documents.declare(tx, "theirs", {"note": "versioned"}, by="agent", subject=NAME)
    await documents.edit(tx, WriteKey("run-1", "e", 0), _edit("theirs", "note", "agent", 0, Put("x")))
    declared = {"note": "versioned", "last": "lww", "tags": "crdt:set", "more": "crdt:map", "body": "crdt:text", "count": "crdt:counter"}
    await documents.declare(tx, "ours", declared, by="agent")
    edits = [
        _edit("ours", "note", "agent", 0, Put(f"ask {NAME}")),
        _edit("ours", "note", "other", 0, Put(f"call {NAME}")),
        _edit("ours", "last", "agent", 0, Put({"who": NAME})),
        _edit("ours", "tags", "agent", 0, Change(add=(NAME, "bees"))),
        _edit("ours", "more", "agent", 0, Write(((NAME, 1), ("owner", NAME)))),
        _edit("ours", "body", "agent", 0, Rewrite((Splice(0, 0, f"Bees of {NAME}."),))),
        _edit("ours", "count", "agent", 0, Add(2)),
    ]
    for nth, edit in enumerate(edits, start=1):
        await documents.edit(tx, WriteKey("run-1", "e", nth), edit)


async def ledger(tx: Tx, status: str) -> None:
    """Put the subject into the rows of a run."""
    row = run(input={"for": NAME, "deep": [{"to": NAME}]})
    await runs.open_run(tx, row, limit_micros=1)
    await tx.execute("UPDATE run SET summary = $2, status = $3 WHERE tenant = $1", tx.tenant, f"wrote to {NAME}", status)
    await records.append(tx, "r1", "effect", LINEAGE, None, {"why": f"since {NAME} asked", "by": "ann"})
    await sessions.append(tx, LINEAGE, 0, [Turn("user", "user", f"write to {NAME}")])


async def test_whoever_is_forgotten_is_in_no_table_afterwards(database: Database, owner_database_url: str) -> None:
    async with database.transaction("default") as tx:
        await fill(tx)
        await ledger(tx, "completed")
    assert len(await grep(owner_database_url)) > 20
    async with database.transaction("default") as tx:
        erased = await erasure.forget(tx, "zelda quimby", f"{NAME} asked for it", NAME)
    assert await grep(owner_database_url) == []
    assert erased.complete and [one.workflow_id for one in erased.runs] == ["wf-1"]
    assert erased.deleted == {
        "fact": 2, "episode": 1, "fact_source": 2, "fact_vec_1": 2, "session_state": 1, "recall_sample": 1,
        "shared_document": 1, "shared_field": 1, "shared_edit": 1,
    }  # fmt: skip
    assert {"fact": 1, "episode": 1, "turn": 2, "run": 1, "record": 1, "summary": 1}.items() <= erased.redacted.items()


async def test_what_others_said_stays_without_the_name_and_is_found(database: Database) -> None:
    async with database.transaction("default") as tx:
        await fill(tx)
        before = {row["num"]: row["body"] for row in await tx.fetch("SELECT num, body FROM fact WHERE tenant = $1", tx.tenant)}
        await erasure.forget(tx, NAME, "", "ann")
        rows = {row["num"]: row["body"] for row in await tx.fetch("SELECT num, body FROM fact WHERE tenant = $1", tx.tenant)}
        assert sorted(rows.values()) == ["Bob heard of bees from [forgotten]", "The roof was mended in May"]
        assert rows.keys() <= before.keys()
        assert [num for num, _ in await keywords.search(tx, "who heard of bees", Filter(), limit=5)] == [
            num for num, body in rows.items() if "bees" in body
        ]
        assert await keywords.search(tx, "zelda quimby", Filter(), limit=5) == []
        assert await tx.value("SELECT count(*) FROM fact_vec_1 WHERE tenant = $1", tx.tenant) == 1
        assert [turn.body for turn in await sessions.latest(tx, "s-free", 2, limit=5)] == ["I am [forgotten]", "Good day"]
        state = await states.read(tx, "s-free")
        assert state == states.State(2, {"who": {"name": "[forgotten]"}, "list": ["x\n[forgotten]", 7]})


async def test_shared_documents_go_on_without_the_name(database: Database) -> None:
    async with database.transaction("default") as tx:
        await share(tx)
        await erasure.forget(tx, NAME, "", "ann")
        with pytest.raises(BadInput):
            await documents.edit(tx, WriteKey("run-2", "e", 0), _edit("theirs", "note", "agent", 1, Put("y")))
        standing = await documents.read(tx, "ours")
        assert {name: field.value for name, field in standing.items()} == {
            "note": "ask [forgotten]", "last": {"who": "[forgotten]"}, "tags": ["[forgotten]", "bees"],
            "more": {"[forgotten]": 1, "owner": "[forgotten]"}, "body": "Bees of [forgotten].", "count": 2,
        }  # fmt: skip
        body = standing["body"]
        answer = await documents.edit(
            tx, WriteKey("run-2", "e", 1), _edit("ours", "body", "agent", body.version, Rewrite((Splice(0, 4, "Wasps"),)))
        )
        assert (answer.outcome, answer.value) == ("applied", "Wasps of [forgotten].")
        answer = await documents.edit(
            tx, WriteKey("run-2", "e", 2), _edit("ours", "more", "agent", standing["more"].version, Write((("more", 2),)))
        )
        assert answer.outcome == "applied"


async def test_a_name_is_found_however_it_is_written(database: Database) -> None:
    async with database.transaction("default") as tx:
        for nth, spelt in enumerate(OTHERS):
            given = [NewFact(f"ask {spelt}, please, {nth}"), NewFact("x", speaker=spelt), NewFact(f"y {nth}", subject=spelt)]
            await facts.write(tx, WriteKey("l", "s", nth), given)
            await sessions.append(tx, "s", nth, [Turn("user", "user", f"I am {spelt}.")])
        await facts.write(tx, WriteKey("l", "s", len(OTHERS)), [NewFact(STRANGERS)])
        await states.swap(tx, WriteKey("l", "t"), "s", 0, {"told": [f"by {spelt}" for spelt in OTHERS], "strangers": STRANGERS})
        await sessions.append(tx, "s", len(OTHERS), [Turn("user", "user", STRANGERS)])
        await erasure.forget(tx, NAME, "", "ann")
        assert {row["body"] for row in await tx.fetch("SELECT body FROM fact WHERE tenant = $1", tx.tenant)} == {
            *(f"ask [forgotten], please, {nth}" for nth in range(len(OTHERS))), STRANGERS,
        }  # fmt: skip
        state = await tx.value("SELECT value FROM session_state WHERE tenant = $1", tx.tenant)
        assert state == {"told": ["by [forgotten]"] * len(OTHERS), "strangers": STRANGERS}
        turns = [row["body"] for row in await tx.fetch("SELECT body FROM turn WHERE tenant = $1 ORDER BY seq", tx.tenant)]
        assert turns == ["I am [forgotten]."] * len(OTHERS) + [STRANGERS]


async def test_whoever_was_forgotten_does_not_come_back_however_the_name_is_written(database: Database) -> None:
    async with database.transaction("default") as tx:
        await erasure.forget(tx, NAME, "", "ann")
        for nth, spelt in enumerate(OTHERS):
            given = [NewFact("likes honey", subject=spelt), NewFact("x", speaker=spelt), NewFact(f"ask {spelt}, please, {nth}")]
            written = await facts.write(tx, WriteKey("l", "s", nth), given)
            assert [one.outcome for one in written.stored] == ["forgotten", "forgotten", "new"], spelt
        await facts.write(tx, WriteKey("l", "s", len(OTHERS)), [NewFact(STRANGERS)])
        assert {row["body"] for row in await tx.fetch("SELECT body FROM fact WHERE tenant = $1", tx.tenant)} == {
            *(f"ask [forgotten], please, {nth}" for nth in range(len(OTHERS))), STRANGERS,
        }  # fmt: skip


@pytest.mark.parametrize("address", ["zeldaquimby@example.org", "ZeldaQuimby@example.org", "zelda_quimby@example.org", "@zeldaquimby"])
async def test_an_address_that_is_the_name_as_one_word_goes_too(database: Database, address: str) -> None:
    left = f"write to {address.lower().replace('zeldaquimby', '[forgotten]').replace('zelda_quimby', '[forgotten]')}"
    async with database.transaction("default") as tx:
        await facts.write(tx, WriteKey("l", "s"), [NewFact(f"write to {address}")])
        await sessions.append(tx, "s", 0, [Turn("user", "user", f"write to {address}")])
        await erasure.forget(tx, NAME, "", "ann")
        await facts.write(tx, WriteKey("l", "t"), [NewFact(f"write to {address}", scope="again")])
        found = await tx.fetch("SELECT body FROM fact WHERE tenant = $1 UNION ALL SELECT body FROM turn WHERE tenant = $1", tx.tenant)
        assert [row["body"] for row in found] == [left] * 3


ALSO = ("\u0417\u0435\u043b\u044c\u0434\u0430 \u041a\u0443\u0438\u043c\u0431\u0438", "zq@example.com")
"""What else the same person is called."""


async def _called(tx: Tx, key: WriteKey) -> list[str]:
    """Write what names one person in three ways, and others beside; return the outcomes."""
    given = [
        *(NewFact("x", subject=NAME), NewFact(f"ask {ALSO[0]}"), NewFact("write to ZQ@example.com"), NewFact("y", speaker=ALSO[0])),
        *(NewFact(f"{NAME} is {ALSO[0]}"), NewFact("write to zq@example.community, or zaq@example.com")),
    ]
    return [one.outcome for one in (await facts.write(tx, key, given)).stored]


async def test_further_spellings_are_forgotten_by_one_order_and_stay_forgotten(database: Database, owner_database_url: str) -> None:
    async with database.transaction("default") as tx:
        await _called(tx, WriteKey("l", "s"))
        await ledger(tx, "completed")
        await records.append(tx, "r2", "effect", LINEAGE, None, {"to": [ALSO[1]], "who": ALSO[0].upper()})
        erased = await erasure.forget(tx, NAME, f"{ALSO[0]} asked", "ann", also=ALSO)
        assert [(counts.deleted.get("fact", 0), counts.redacted["fact"]) for counts in erased.spellings] == [(1, 1), (1, 2), (0, 1)]
        assert (erased.deleted["fact"], erased.redacted["fact"]) == (2, 4)
        assert await tx.value("SELECT count(*) FROM erasure WHERE tenant = $1", tx.tenant) == 1
        outcomes = await _called(tx, WriteKey("l", "t"))
        assert [outcome == "forgotten" for outcome in outcomes] == [True, False, False, True, False, False]
        bodies = {row["body"] for row in await tx.fetch("SELECT body FROM fact WHERE tenant = $1", tx.tenant)}
        assert bodies == {
            "ask [forgotten]", "write to [forgotten]", "[forgotten] is [forgotten]", "write to zq@example.community, or zaq@example.com",
        }  # fmt: skip
    assert await grep(owner_database_url, re.compile(rf"zelda\W+quimby|{ALSO[0]}|{re.escape(ALSO[1])}\b", re.IGNORECASE)) == []


async def test_the_same_order_again_adds_no_tombstone_and_finds_nothing(database: Database) -> None:
    async with database.transaction("default") as tx:
        await _called(tx, WriteKey("l", "s"))
        await erasure.forget(tx, NAME, "", "ann", also=ALSO)
        count = await tx.value("SELECT count(*) FROM tombstone WHERE tenant = $1", tx.tenant)
        again = await erasure.forget(tx, NAME, "", "ann", also=[*ALSO, NAME.upper()])
        assert (again.deleted, again.redacted, len(again.spellings)) == ({}, {}, 4)
        assert await tx.value("SELECT count(*) FROM tombstone WHERE tenant = $1", tx.tenant) == count == 12


async def test_a_shorter_spelling_leaves_nothing_of_the_longer_one(database: Database) -> None:
    async with database.transaction("default") as tx:
        await facts.write(tx, WriteKey("l", "s"), [NewFact(f"{NAME} came, and Zelda left"), NewFact("Zeldas stay")])
        await erasure.forget(tx, "Zelda", "", "ann", also=[NAME])
        bodies = {row["body"] for row in await tx.fetch("SELECT body FROM fact WHERE tenant = $1", tx.tenant)}
        assert bodies == {"[forgotten] came, and [forgotten] left", "Zeldas stay"}


async def test_one_spelling_that_is_no_name_stops_the_order_and_nothing_is_forgotten(database: Database) -> None:
    async with database.transaction("default") as tx:
        await facts.write(tx, WriteKey("l", "s"), [NewFact("x", subject=NAME)])
    for also, why in ((["z"], "'z' is no name to forget"), (["zed"] * 21, "20 are the most")):
        with pytest.raises(BadInput, match=why):
            async with database.transaction("default") as tx:
                await erasure.forget(tx, NAME, "", "ann", also=also)
    async with database.transaction("default") as tx:
        assert await tx.value("SELECT count(*) FROM fact WHERE tenant = $1", tx.tenant) == 1
        assert await tx.value("SELECT count(*) FROM tombstone") == 0


async def test_a_rehearsal_counts_what_the_erasure_does_and_changes_nothing(database: Database, owner_database_url: str) -> None:
    async with database.transaction("default") as tx:
        await fill(tx)
        await ledger(tx, "completed")
        await _called(tx, WriteKey("l", "s"))
    before = await grep(owner_database_url)
    async with database.transaction("default") as tx:
        counted = await erasure.rehearse(tx, NAME, also=ALSO)
    assert await grep(owner_database_url) == before and counted.id == 0
    async with database.transaction("default") as tx:
        assert await tx.value("SELECT count(*) FROM tombstone") == await tx.value("SELECT count(*) FROM erasure") == 0
        assert replace(await erasure.forget(tx, NAME, "", "ann", also=ALSO), id=0) == counted


@pytest.mark.parametrize(
    "name",
    [
        "Jos\u00e9 Gr\u00f6\u00dfe",
        "\u738b\u5c0f\u660e",
        "a.b+c@example.org",
        "100%_sure",
        "o'neil\\x",
        "x[1](2)*",
        "\u092a\u094d\u0930\u093f\u092f\u093e \u0915\u0941\u092e\u093e\u0930\u0940",
        "\u0639\u064e\u0644\u064a \u0645\u064f\u062d\u0645\u062f",
    ],
)
async def test_names_of_all_kinds_are_forgotten(database: Database, owner_database_url: str, name: str) -> None:
    async with database.transaction("default") as tx:
        for nth, form in enumerate((name, name.upper(), unicodedata.normalize("NFD", name))):
            await facts.write(tx, WriteKey("l", "s", nth), [NewFact(f"see {form} on day {nth}"), NewFact(f"day {nth}", subject=form)])
            await states.swap(tx, WriteKey("l", "t", nth), f"s{nth}", 0, {form: [form]})
            await sessions.append(tx, "s", nth, [Turn("user", "user", f"see {form}")])
        await erasure.forget(tx, name, "", "ann")
    assert await grep(owner_database_url, re.compile("|".join(map(re.escape, {name, name.lower(), name.upper()})))) == []
    async with database.transaction("default") as tx:
        bodies = [row["body"] for row in await tx.fetch("SELECT body FROM fact WHERE tenant = $1 ORDER BY num", tx.tenant)]
        assert bodies == [f"see [forgotten]{body.partition('[forgotten]')[2]}" for body in bodies] and len(bodies) == 3


async def test_a_retried_write_and_a_second_import_bring_nobody_back(database: Database, owner_database_url: str) -> None:
    async with database.transaction("default") as tx:
        ids = await remember(tx, WriteKey("run-1", "s1"))
        await erasure.forget(tx, NAME, "", "ann")
    async with database.transaction("default") as tx:
        await remember(tx, WriteKey("run-1", "s1"), ids)
    async with database.transaction("default") as tx:
        # Another run reads the same source: another key, the same people.
        await remember(tx, WriteKey("run-2", "s1"))
        written = await facts.write(tx, WriteKey("run-3", "s1"), [NewFact("likes honey", subject="ZELDA QUIMBY"), NewFact(f"{NAME} left")])
        assert [one.outcome for one in written.stored] == ["forgotten", "new"]
        assert await tx.value("SELECT body FROM fact WHERE tenant = $1 AND id = $2", tx.tenant, written.stored[1].id) == "[forgotten] left"
    assert await grep(owner_database_url) == []


async def test_facts_that_say_the_same_without_the_name_become_one(database: Database) -> None:
    async with database.transaction("default") as tx:
        bodies = ["zelda quimby came", "Zelda Quimby came", "[forgotten] came"]
        await facts.write(tx, WriteKey("l", "s"), [NewFact(body) for body in bodies])
        await erasure.forget(tx, NAME, "", "ann")
        rows = await tx.fetch("SELECT body FROM fact WHERE tenant = $1", tx.tenant)
        assert [row["body"] for row in rows] == ["[forgotten] came"]
        assert len(await keywords.search(tx, "who came", Filter(), limit=5)) == 1


async def test_a_session_that_is_the_subjects_own_goes_altogether(database: Database) -> None:
    async with database.transaction("default") as tx:
        await sessions.append(tx, "s1", 0, [Turn("user", "user", "my door is red"), Turn("assistant", "agent", "a red door")])
        await states.swap(tx, WriteKey("l", "s"), "s1", 0, {"door": "red"})
        await summaries.add(tx, "s1", Summary(1, 2, "a red door", "test"))
        await facts.write(tx, WriteKey("l", "s", 1), [NewFact("the door is red", session="s1"), NewFact("doors exist")])
        erased = await erasure.forget(tx, NAME, "", "ann", sessions=["s1"])
        assert {"fact": 1, "summary": 1, "session_state": 1}.items() <= erased.deleted.items()
        assert [turn.body for turn in await sessions.latest(tx, "s1", 2, limit=5)] == ["[forgotten]"] * 2
        assert await states.read(tx, "s1") == states.State(0, {})


async def test_rows_of_a_run_that_runs_are_left_until_it_has_ended(database: Database, owner_database_url: str) -> None:
    async with database.transaction("default") as tx:
        await ledger(tx, "running")
        erased = await erasure.forget(tx, NAME, "", "ann")
        assert not erased.complete and [one.lineage for one in erased.runs] == [LINEAGE]
        assert erased.redacted == {}
    assert {place.partition(":")[0] for place in await grep(owner_database_url)} == {"run.input", "run.summary", "record.body", "turn.body"}
    async with database.transaction("default") as tx:
        await tx.execute("UPDATE run SET status = 'completed' WHERE tenant = $1", tx.tenant)
        assert (await erasure.forget(tx, NAME, "", "ann")).complete
    assert await grep(owner_database_url) == []


@pytest.mark.parametrize("status", ["running", "completed"])
async def test_a_run_in_which_the_name_is_part_of_a_word_is_no_run_of_theirs(database: Database, status: str) -> None:
    async with database.transaction("default") as tx:
        await runs.open_run(tx, run(input={"for": "planned channels", "a": "annxlee"}), limit_micros=1)
        await tx.execute("UPDATE run SET summary = $2, status = $3 WHERE tenant = $1", tx.tenant, "a planned annxlee", status)
        await states.swap(tx, WriteKey("l", "s"), "s", 0, {"plan": "planned annxlee"})
        await documents.declare(tx, "ours", {"note": "versioned"}, by="agent")
        await documents.edit(tx, WriteKey("l", "e", 0), _edit("ours", "note", "agent", 0, Put("planned annxlee")))
        for name in ("Ann", "ann_lee"):
            erased = await erasure.forget(tx, name, "", "ann")
            assert (erased.complete, erased.runs, erased.redacted) == (True, (), {})
        assert (await documents.read(tx, "ours"))["note"].version == 1


async def test_a_kind_with_a_forgotten_name_does_not_come_in(database: Database) -> None:
    async with database.transaction("default") as tx:
        await erasure.forget(tx, NAME, "", "ann")
        written = await facts.write(tx, WriteKey("l", "s"), [NewFact("x", kind="zelda-quimby")])
        assert [one.outcome for one in written.stored] == ["forgotten"]


async def test_who_ruled_and_who_started_stays_on_record(database: Database) -> None:
    async with database.transaction("default") as tx:
        await runs.open_run(tx, run(starter="zelda quimby"), limit_micros=1)
        await tx.execute("UPDATE run SET status = 'completed', paused_by = $2 WHERE tenant = $1", tx.tenant, NAME)
        await erasure.forget(tx, NAME, "", "ann")
        assert tuple(await tx.row("SELECT starter, paused_by FROM run WHERE tenant = $1", tx.tenant) or ()) == ("zelda quimby", NAME)


async def test_an_id_with_the_name_is_in_no_link_of_what_stays(database: Database, owner_database_url: str) -> None:
    async with database.transaction("default") as tx:
        await facts.write(tx, WriteKey("l", "a"), [NewFact("The price is five", id="zelda-quimby-1"), NewFact("The roof is red", id="f1")])
        await revisions.supersede(tx, WriteKey("l", "b"), "zelda-quimby-1", NewFact("The price is six", id="f2"))
        await revisions.supersede(tx, WriteKey("l", "c"), "f1", NewFact("The roof is blue", id="zelda-quimby-2"))
        await facts.write(tx, WriteKey("l", "d"), [NewFact("Old ropes and nets", id="f3"), NewFact("Bob has a boat", id="f4")])
        # Its fact was expired long ago: nothing but the link has the name.
        await tx.execute("UPDATE fact SET near = 'zelda-quimby-0' WHERE tenant = $1 AND id = 'f3'", tx.tenant)
        await tx.execute("UPDATE fact SET near = 'f3' WHERE tenant = $1 AND id = 'f4'", tx.tenant)
    async with database.transaction("default") as tx:
        erased = await erasure.forget(tx, NAME, "they asked", "Ann")
        left = {row["id"]: (row["near"], row["revises"], row["superseded_by"]) for row in await tx.fetch(LINKS, tx.tenant)}
    assert left == {"f1": (None, None, None), "f2": (None, None, None), "f3": (None, None, None), "f4": ("f3", None, None)}
    assert erased.redacted["fact"] == 3 and await grep(owner_database_url) == []


async def test_an_erasure_waits_for_who_links_and_who_links_for_it(database: Database, owner_database_url: str) -> None:
    long = "the harbour master wrote a long letter about the new red boat"
    async with database.transaction("default") as tx:
        first = await storing.put(tx, WriteKey("l", "a"), [NewFact(long, id="zelda-quimby-1"), NewFact(f"{long} today", id="f1")])

    async def forget() -> None:
        async with database.transaction("default") as tx:
            await erasure.forget(tx, NAME, "they asked", "Ann")

    async with database.transaction("default") as tx:
        assert await likeness.link_near(tx, [one.num for one in first if one.num]) == 1
        erasing = asyncio.create_task(forget())
        await asyncio.sleep(0.3)
        assert not erasing.done()
    await erasing
    assert await grep(owner_database_url) == []


async def test_an_erasure_of_one_tenant_touches_no_other(database: Database) -> None:
    for tenant in ("default", "other"):
        async with database.transaction(tenant) as tx:
            await fill(tx)
            await ledger(tx, "completed")
    counts = "SELECT count(*) FROM fact WHERE tenant = $1 AND body ILIKE '%quimby%' OR subject ILIKE '%quimby%'"
    async with database.transaction("default") as tx:
        await erasure.forget(tx, NAME, "", "ann")
        assert await tx.value(counts, tx.tenant) == 0
    async with database.transaction("other") as tx:
        assert await tx.value(counts, tx.tenant) == 2
        assert await tombstones.buried(tx, [NAME]) == set()
        assert NAME in await tx.value("SELECT body::text FROM record WHERE tenant = $1 AND id = 'r1'", tx.tenant)
        assert await tx.value("SELECT count(*) FROM erasure") == 0


@pytest.mark.parametrize("subject", ["", " ", "a", "--", "x" * 201, "Default", "[forgotten]"])
async def test_what_could_not_be_told_from_other_words_is_no_name(database: Database, subject: str) -> None:
    with pytest.raises(BadInput, match="no name to forget"):
        async with database.transaction("default") as tx:
            await erasure.forget(tx, subject, "", "ann")


async def test_without_a_key_nothing_is_forgotten_and_everything_can_be_written(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PERDURE_SECRET_MEMORY_KEY")
    async with database.transaction("default") as tx:
        await remember(tx, WriteKey("run-1", "s1"))
    with pytest.raises(BadInput, match="set PERDURE_SECRET_MEMORY_KEY"):
        async with database.transaction("default") as tx:
            await erasure.forget(tx, NAME, "", "ann")
    async with database.transaction("default") as tx:
        assert await tx.value("SELECT count(*) FROM fact WHERE tenant = $1", tx.tenant) == 4


async def test_with_another_key_nothing_is_written_or_forgotten(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async with database.transaction("default") as tx:
        await erasure.forget(tx, NAME, "", "ann")
    monkeypatch.setenv("PERDURE_SECRET_MEMORY_KEY", "another")
    for act in (
        lambda tx: facts.write(tx, WriteKey("l", "s"), [NewFact("x", subject="y")]),
        lambda tx: erasure.forget(tx, "Bob", "", "ann"),
    ):
        with pytest.raises(PermanentError, match="is not the key"):
            async with database.transaction("default") as tx:
                await act(tx)


async def test_a_tombstone_tells_nobody_who_it_was(database: Database) -> None:
    async with database.transaction("default") as tx:
        await erasure.forget(tx, NAME, "", "ann")
        await erasure.forget(tx, NAME.upper(), "again", "ann")
        rows = await tx.fetch("SELECT * FROM tombstone WHERE tenant = $1", tx.tenant)
        key = b"a key of the tests"
        assert {row["hash"] for row in rows} == {
            tombstones.digest("default", name, key) for name in ("zelda quimby", ",quimby zelda", "@zeldaquimby", "@quimbyzelda")
        }
        assert tombstones.digest("other", "zelda quimby", key) not in {row["hash"] for row in rows}
        assert await tx.value("SELECT count(*) FROM erasure WHERE tenant = $1", tx.tenant) == 2


async def test_a_write_and_an_erasure_at_once_leave_nothing_behind(database: Database, owner_database_url: str) -> None:
    async def write(nth: int) -> None:
        async with database.transaction("default") as tx:
            await remember(tx, WriteKey(f"run-{nth}", "s1"))

    async def forget() -> None:
        async with database.transaction("default") as tx:
            await erasure.forget(tx, NAME, "", "ann")

    await asyncio.gather(*(write(nth) for nth in range(4)), forget(), *(write(nth) for nth in range(4, 7)))
    assert await grep(owner_database_url) == []


async def test_strangers_json_stops_no_erasure(database: Database, owner_database_url: str) -> None:
    deep: Any = NAME
    for _ in range(200):
        deep = {"a": [deep]}
    async with database.transaction("default") as tx:
        await ledger(tx, "completed")
        await records.append(tx, "r2", "effect", LINEAGE, None, {"deep": deep})
        await erasure.forget(tx, NAME, "", "ann")
    assert await grep(owner_database_url) == []


@pytest.mark.parametrize(
    ("statement", "match"),
    [
        ("SELECT * FROM forget_in_ledger(1, '{zelda}')", "there is no erasure 1"),
        ("SELECT * FROM forget_sessions(1, '{s}')", "there is no erasure 1"),
        ("UPDATE erasure SET reason = ''", "permission denied"),
        ("DELETE FROM tombstone", "permission denied"),
    ],
)
async def test_the_ledger_is_redacted_only_for_an_erasure_on_record(database: Database, statement: str, match: str) -> None:
    async with database.transaction("default") as tx:
        await ledger(tx, "completed")
        await erasure.forget(tx, "Bob", "", "ann")
    with pytest.raises(asyncpg.PostgresError, match=match):
        async with database.transaction("default") as tx:
            await tx.execute(statement)


@pytest.mark.parametrize("names", [[".*"], ["a%"], ["x"], [], ["(a"], ["a" * 500]])
async def test_nothing_but_names_is_taken_out_of_the_ledger(database: Database, names: Sequence[str]) -> None:
    with pytest.raises(asyncpg.RaiseError, match="no names to forget"):
        async with database.transaction("default") as tx:
            hashed = await tombstones.bury(tx, "bob")
            id = await tx.value(erasure.NOTE, tx.tenant, hashed, "", "ann")
            await tx.execute("SELECT * FROM forget_in_ledger($1, $2)", id, names)


async def test_the_list_of_what_an_erasure_touches_names_every_column_with_a_text(owner_database_url: str) -> None:
    page = (ROOT / "docs" / "erasure.md").read_text()
    listed = {
        (row[0], name) for row in re.findall(r"^\| `(\w+)` \| ([^|]*)\|", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", row[1])
    }
    connection = await asyncpg.connect(owner_database_url)
    try:
        there = {(row["relname"].replace("fact_vec_1", "fact_vec"), row["attname"]) for row in await connection.fetch(TEXTUAL)}
        erasable = {
            (row["relation"], name)
            for row in await connection.fetch("SELECT * FROM perdure.erasable()")
            for name in (*row["texts"], *row["jsons"])
        }
    finally:
        await connection.close()
    assert sorted(column for column in there - listed if column[1] != "tenant") == []
    assert sorted(listed - there) == []
    assert erasable <= listed
