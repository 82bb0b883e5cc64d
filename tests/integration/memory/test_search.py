"""Hybrid search on a real Postgres: how arms are fused, what an answer says of itself, and what happens when one arm fails."""

import math
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from contracts.errors import BadInput
from database import Database, Tx
from memory import keywords, models
from memory.filters import Filter
from memory.search import NO_MODEL, NO_VECTOR, Query, search
from tests.integration.memory import corpora
from tests.integration.memory.corpora import DIMS, Row


@pytest.fixture
async def model(database: Database, owner_database_url: str) -> models.Model:
    return await corpora.laid(database, owner_database_url)


def axis(nth: int, other: float = 0.0) -> list[float]:
    return [1.0 if at == nth else other if at == nth + 1 else 0.0 for at in range(DIMS)]


ROWS = [
    Row("words", "the harbour master wrote a letter", vector=axis(5)),
    Row("meaning", "someone in charge of ships sent mail", vector=axis(0, 0.1)),
    Row("both", "a letter from the harbour", vector=axis(0, 0.5)),
    Row("neither", "bread and butter", vector=axis(9)),
]


async def ask(database: Database, query: Query, *, of: str = "default") -> dict[str, Any]:
    """Ask in one transaction and in two side by side, which give the same answer."""
    async with database.transaction(of) as tx, database.beside(of) as beside:
        assert beside
        alone, answer = await search(tx, query), await search(tx, query, beside)
    assert (alone.hits, alone.mode, alone.degraded) == (answer.hits, answer.mode, answer.degraded)
    return {"ids": [hit.id for hit in answer.hits], "answer": answer, "hits": {hit.id: hit for hit in answer.hits}}


async def test_what_both_arms_find_comes_first_and_each_hit_says_who_found_it(database: Database, model: models.Model) -> None:
    async with database.transaction("default") as tx:
        await corpora.write(tx, ROWS, model)
    found = await ask(database, Query("letter harbour", axis(0), k=4))
    assert found["ids"][0] == "both"
    assert {id: hit.via for id, hit in found["hits"].items()} | {"neither": "vector"} == {
        "both": "both",
        "words": "both",
        "meaning": "vector",
        "neither": "vector",
    }
    assert (found["answer"].mode, found["answer"].degraded) == ("exact", "")
    assert found["hits"]["meaning"].keyword == 0 and found["hits"]["meaning"].cosine == pytest.approx(0.995, abs=1e-3)


async def test_without_a_vector_words_answer_and_the_answer_says_why(database: Database, model: models.Model) -> None:
    async with database.transaction("default") as tx:
        await corpora.write(tx, ROWS, model)
    for why in ("", "the endpoint is away"):
        found = await ask(database, Query("harbour", why=why))
        assert (found["answer"].mode, found["answer"].degraded) == ("keywords", why or NO_VECTOR)
        assert set(found["ids"]) == {"words", "both"}


async def test_a_tenant_without_a_model_is_answered_by_words(database: Database) -> None:
    async with database.transaction("default") as tx:
        await corpora.write(tx, ROWS)
    found = await ask(database, Query("harbour", axis(0)))
    assert (found["answer"].mode, found["answer"].degraded, len(found["ids"])) == ("keywords", NO_MODEL, 2)


async def test_a_vector_arm_that_fails_leaves_the_words_and_the_transaction(database: Database, model: models.Model) -> None:
    async with database.transaction("default") as tx:
        await corpora.write(tx, ROWS, model)
        await tx.execute("UPDATE embedding_model SET id = 77 WHERE tenant = $1", tx.tenant)
        answer = await search(tx, Query("harbour", axis(0)))
        assert answer.mode == "keywords" and "UndefinedTableError" in answer.degraded
        assert {hit.id for hit in answer.hits} == {"words", "both"}
        assert await tx.value("SELECT count(*) FROM fact WHERE tenant = $1", tx.tenant) == len(ROWS)


class Dying(Tx):
    """A second transaction whose connection is ended before its ``last`` statement."""

    __slots__ = ("last", "owner", "pid")
    last: int
    owner: Any
    pid: int

    async def _counted(self) -> None:
        self.last -= 1
        if not self.last:
            await self.owner.execute("SELECT pg_terminate_backend($1, 10000)", self.pid)

    async def fetch(self, query: str, *arguments: object) -> list[Any]:
        await self._counted()
        return await super().fetch(query, *arguments)

    async def value(self, query: str, *arguments: object) -> Any:
        await self._counted()
        return await super().value(query, *arguments)


@pytest.mark.parametrize("last", [1, 2, 3])
async def test_a_second_connection_that_dies_leaves_the_answer_to_the_first(
    database: Database, model: models.Model, owner_database_url: str, last: int
) -> None:
    owner, asked = await asyncpg.connect(owner_database_url), Query("letter harbour", axis(0), Filter(kinds=("note",)))
    async with database.transaction("default") as tx:
        await corpora.write(tx, ROWS, model)
    async with database.transaction("default") as tx, database.beside("default") as beside:
        assert beside
        alone = await search(tx, asked)
        dying = Dying(beside._connection, "default")  # pyright: ignore[reportPrivateUsage]
        dying.last, dying.owner, dying.pid = last, owner, await beside.value("SELECT pg_backend_pid()")
        answer = await search(tx, asked, dying)
        assert dying.last <= 0 and (answer.hits, answer.mode, answer.degraded) == (alone.hits, alone.mode, "")
    await owner.close()


async def test_a_fact_without_a_vector_yet_is_found_by_its_words(database: Database, model: models.Model) -> None:
    async with database.transaction("default") as tx:
        await corpora.write(tx, ROWS, model)
        await corpora.write(tx, [Row("new", "the lighthouse keeper")], model)
        answer = await search(tx, Query("lighthouse", axis(3), k=1))
    assert (answer.hits[0].id, answer.hits[0].via, answer.mode) == ("new", "keyword", "exact")


async def test_neighbours_of_a_hit_come_with_it_and_only_those_the_filter_lets_pass(database: Database, model: models.Model) -> None:
    said = ["where did you leave the boat?", "by the old mill", "thanks", "unrelated talk", "more unrelated talk"]
    async with database.transaction("default") as tx:
        rows = [Row(f"t{nth}", body, session="s1", kind="odd" if nth % 2 else "even") for nth, body in enumerate(said)]
        await corpora.write(tx, rows)
        await _turns(tx, said)
    found = await ask(database, Query("boat"))
    assert found["ids"] == ["t0", "t1"]
    assert (found["hits"]["t1"].via, found["hits"]["t1"].sources) == ("neighbour", ["e1"])
    assert (await ask(database, Query("boat", filter=Filter(kinds=("even",)))))["ids"] == ["t0"]
    # A turn between two hits gets its share of the better one.
    scores = {id: hit.score for id, hit in (await ask(database, Query("boat thanks")))["hits"].items()}
    assert scores["t1"] == pytest.approx(0.25 * max(scores["t0"], scores["t2"]))


TURN = """
INSERT INTO episode (tenant, id, session, seq, origin, body, content_hash, at) VALUES ($1, $2, 's1', $3, 'user', $4, '', now())
"""


async def _turns(tx: Tx, said: list[str]) -> None:
    for nth, body in enumerate(said):
        await tx.execute(TURN, tx.tenant, f"e{nth}", nth + 1, body)
        await tx.execute("INSERT INTO fact_source (tenant, fact, episode) VALUES ($1, $2, $3)", tx.tenant, f"t{nth}", f"e{nth}")


async def test_k_rows_come_back_whenever_k_match(database: Database, model: models.Model) -> None:
    made = corpora.clustered(800)
    async with database.transaction("default") as tx:
        rows = [Row(f"f{nth}", f"w{nth % 9}x common", speaker=f"s{nth % 80}", vector=made[nth].tolist()) for nth in range(800)]
        await corpora.write(tx, rows, model)
    await corpora.flip(database, model)
    for nth in range(60):
        filter = Filter() if nth % 3 == 0 else Filter(speakers=(f"s{nth}",))
        found = await ask(database, Query(f"w{nth % 12}x", made[nth * 3].tolist(), filter, k=12))
        assert len(found["ids"]) == (12 if nth % 3 == 0 else 10) == len(set(found["ids"]))


@pytest.mark.parametrize("words", ["common", "common frequent"])
async def test_frequent_words_alone_find_the_oldest_facts_too(database: Database, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setattr(keywords, "LISTED", 20)
    monkeypatch.setattr(keywords, "COUNTED", 50)
    async with database.transaction("default") as tx:
        old = [Row(f"old{nth}", "a common and frequent thing", kind="old") for nth in range(60)]
        await corpora.write(tx, [*old, *(Row(f"new{nth}", "a common and frequent thing") for nth in range(300))])
    found = await ask(database, Query(words, filter=Filter(kinds=("old",)), k=10))
    assert len(found["ids"]) == 10 and all(id.startswith("old") for id in found["ids"]) and not found["answer"].capped


async def test_the_same_query_has_the_same_answer(database: Database, model: models.Model) -> None:
    made = corpora.clustered(500)
    async with database.transaction("default") as tx:
        await corpora.write(tx, [Row(f"f{nth}", "the same text", vector=made[nth // 5].tolist()) for nth in range(500)], model)
    first, second = [(await ask(database, Query("same text", made[0].tolist())))["ids"] for _ in range(2)]
    assert first == second


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (Query(" \n"), "needs a text"),
        (Query("x", k=0), "k is 0"),
        (Query("x", k=201), "k is 201"),
        (Query("x", [1.0] * (DIMS + 1)), f"{DIMS + 1} dimensions"),
        (Query("x", [math.nan] * DIMS), "finite"),
    ],
)
async def test_a_query_that_cannot_be_asked_is_refused(database: Database, model: models.Model, query: Query, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        await ask(database, query)


async def test_no_tenant_is_answered_with_anothers_facts(database: Database, model: models.Model, owner_database_url: str) -> None:
    await corpora.tenant(database, "other")
    await corpora.laid(database, owner_database_url, of="other")
    async with database.transaction("other") as tx:
        await corpora.write(tx, ROWS, model)
    found = await ask(database, Query("letter harbour", axis(0)))
    assert (found["ids"], found["answer"].searched) == ([], 0)
    assert len((await ask(database, Query("letter harbour", axis(0)), of="other"))["ids"]) == 4


async def test_the_past_is_asked_as_it_was_believed(database: Database, model: models.Model) -> None:
    async with database.transaction("default") as tx:
        await corpora.write(tx, ROWS, model)
        await tx.execute("UPDATE fact SET superseded_at = clock_timestamp() WHERE tenant = $1 AND id = 'both'", tx.tenant)
    before = datetime(2020, 1, 1, tzinfo=UTC)
    assert "both" not in (await ask(database, Query("letter harbour", axis(0))))["ids"]
    assert (await ask(database, Query("letter harbour", axis(0), Filter(as_of=before))))["ids"] == []
