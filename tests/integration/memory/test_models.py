"""One embedding model follows another while queries go on."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from activities.asking import Asking
from activities.indexer import Indexer
from contracts.errors import BadInput, PermanentError, TransientError
from database import Database
from memory import backlog, facts, models, neighbours, postings, succession, vectors
from memory.embedding import PACKAGED, Packaged, digest
from memory.search import search
from memory.storing import NewFact
from memory.writes import WriteKey
from tests.integration.memory import corpora
from tests.integration.memory.corpora import Row


class Hashing:
    """A model whose vectors are made of the hash of each word, so that texts with the same words are near."""

    def __init__(self, name: str, dims: int) -> None:
        self.name = name
        self.dims = dims
        self.asked: list[str] = []
        self.broken = False

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        if self.broken:
            raise TransientError("the endpoint is away")
        self.asked += texts
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self.dims
        for word in text.lower().split():
            for nth, byte in enumerate(digest(f"{self.name} {word}")):
                vector[nth % self.dims] += byte / 127.5 - 1
        return vector


ROWS = [Row(f"f{nth}", f"the {nth}th letter about boat{nth} and harbour{nth % 7}") for nth in range(120)]


async def states(database: Database) -> dict[str, str]:
    async with database.transaction("default") as tx:
        return {model.name: model.state for model in await models.of_tenant(tx)}


async def test_the_first_model_is_the_packaged_one_and_the_indexer_catches_up(database: Database) -> None:
    async with database.transaction("default") as tx:
        nums = await corpora.write(
            tx, [Row("a", "a ship sails over the sea"), Row("b", "bread needs flour and an oven"), Row("c", "  \u2603 ")]
        )
    indexer = Indexer(database, [Packaged()], "default")
    await indexer.drain("default")
    assert await states(database) == {PACKAGED: "active"}
    async with database.transaction("default") as tx:
        (model,) = await models.of_tenant(tx)
        have, fresh = await vectors.counts(tx, model)
        assert have in {2, 3} and fresh == 0 and await backlog.waiting(tx, model) == 0
    answer = await Asking(database, [Packaged()]).ask("default", "a vessel on the ocean", k=1)
    assert (answer.hits[0].num, answer.mode, answer.degraded) == (nums["a"], "exact", "")


async def test_what_is_being_written_while_the_first_model_comes_gets_its_vector(database: Database) -> None:
    indexer = Indexer(database, [Packaged()], "default")
    async with database.transaction("default") as tx:
        await facts.write(tx, WriteKey("l", "s"), [NewFact("a ship sails over the sea")])
        coming = asyncio.create_task(indexer.drain("default"))
        await asyncio.wait({coming}, timeout=1)
    await coming
    await indexer.drain("default")
    async with database.transaction("default") as tx:
        (model,) = await models.of_tenant(tx)
        assert (await vectors.counts(tx, model))[0] == 1


async def test_a_model_is_built_shadowed_switched_to_and_taken_back_under_queries(database: Database, owner_database_url: str) -> None:
    old, new = Hashing("old", 16), Hashing("new", 24)
    indexer, asking = Indexer(database, [old, new], "default"), Asking(database, [old, new])
    for embedder in (old, new):
        await models.lay(owner_database_url, embedder.name, embedder.dims)
    async with database.transaction("default") as tx:
        await corpora.write(tx, ROWS)
    await indexer.drain("default")
    assert await states(database) == {"old": "active"}
    stop = asyncio.Event()
    asked = asyncio.create_task(_ask_on(asking, stop))
    async with database.transaction("default") as tx:
        await succession.adopt(tx, "new")
        with pytest.raises(BadInput, match="120 facts have no vector"):
            await succession.shadow(tx, "new")
    await indexer.drain("default")
    async with database.transaction("default") as tx:
        await succession.shadow(tx, "new")
        with pytest.raises(BadInput, match="0 of 50 shadow reads"):
            await succession.switch(tx, "new")
    await indexer.drain("default")
    async with database.transaction("default") as tx:
        found = await succession.read(tx, await succession.named(tx, "new"))
        assert found.reads >= 50 and found.shadow == found.active == 1.0
        await succession.switch(tx, "new")
    assert await states(database) == {"old": "retired", "new": "active"}
    async with database.transaction("default") as tx:
        more = await corpora.write(tx, [Row("late", "a late letter about lighthouses")])
    await indexer.drain("default")
    async with database.transaction("default") as tx:
        await succession.back(tx)
    stop.set()
    assert await asked > 0
    assert await states(database) == {"old": "active", "new": "retired"}
    async with database.transaction("default") as tx:
        # What came while the other one was in use is in this one too.
        active = await models.active(tx)
        assert active and await neighbours.cosines(tx, active, (await old.embed(["lighthouses"]))[0], list(more.values()))


async def _ask_on(asking: Asking, stop: asyncio.Event) -> int:
    count = 0
    while not stop.is_set():
        answer = await asking.ask("default", f"letter about boat{count % 120}", k=10)
        assert answer.degraded == "" and len(answer.hits) == 10
        assert f"boat{count % 120} " in answer.hits[0].body
        count += 1
        await asyncio.sleep(0.01)
    return count


async def test_a_query_that_overtakes_a_switch_is_answered_by_the_model_that_made_its_vector(
    database: Database, owner_database_url: str
) -> None:
    old, new = Hashing("old", 16), Hashing("new", 24)
    indexer, asking = Indexer(database, [old, new], "default"), Asking(database, [old, new])
    for embedder in (old, new):
        await models.lay(owner_database_url, embedder.name, embedder.dims)
    async with database.transaction("default") as tx:
        await corpora.write(tx, ROWS[:20])
    await indexer.drain("default")
    query = await asking.query("default", "letter about boat3")
    async with database.transaction("default") as tx:
        await succession.adopt(tx, "new")
        await tx.execute("UPDATE embedding_model SET state = 'shadow' WHERE tenant = $1 AND name = 'new'", tx.tenant)
        await succession.switch(tx, "new", reads=0, recall=0)
    async with database.transaction("default") as tx:
        answer = await search(tx, query)
    assert (answer.mode, answer.degraded) == ("exact", "") and "boat3 " in answer.hits[0].body


async def test_an_embedder_that_is_away_costs_vectors_and_nothing_else(database: Database, owner_database_url: str) -> None:
    embedder = Hashing("old", 16)
    await models.lay(owner_database_url, "old", 16)
    indexer, asking = Indexer(database, [embedder], "default"), Asking(database, [embedder])
    async with database.transaction("default") as tx:
        await corpora.write(tx, ROWS[:5])
    embedder.broken = True
    with pytest.raises(TransientError):
        await indexer.work("default")
    answer = await asking.ask("default", "boat3")
    assert (answer.mode, [hit.id for hit in answer.hits]) == ("keywords", ["f3"])
    assert "old gave no vector (TransientError: the endpoint is away)" in answer.degraded


async def test_an_embedder_that_is_away_keeps_no_other_model_from_being_fed(database: Database, owner_database_url: str) -> None:
    away, fed = Hashing("away", 16), Hashing("fed", 24)
    indexer = Indexer(database, [away, fed], "default")
    await corpora.laid(database, owner_database_url, "away", 16)
    model = await corpora.laid(database, owner_database_url, "fed", 24)
    async with database.transaction("default") as tx:
        await facts.write(tx, WriteKey("l", "s"), [NewFact("a ship sails over the sea")])
    away.broken = True
    with pytest.raises(TransientError):
        await indexer.work("default")
    async with database.transaction("default") as tx:
        assert await vectors.counts(tx, model) == (1, 0)


async def test_an_embedder_of_other_dimensions_is_not_asked_and_queries_are_answered_by_words(
    database: Database, owner_database_url: str
) -> None:
    embedder = Hashing("old", 24)
    await corpora.laid(database, owner_database_url, "old", 16)
    async with database.transaction("default") as tx:
        await corpora.write(tx, ROWS[:5])
        await backlog.enqueue(tx, await succession.named(tx, "old"))
    with pytest.raises(PermanentError, match="'old' gives 24 numbers and has 16 here"):
        await Indexer(database, [embedder], "default").work("default")
    assert embedder.asked == []
    answer = await Asking(database, [embedder]).ask("default", "boat3")
    assert (answer.mode, [hit.id for hit in answer.hits]) == ("keywords", ["f3"])
    assert answer.degraded == "old gave a vector of 24 dimensions and has 16 here"


async def test_leaving_a_model_takes_its_vectors_and_the_one_in_use_cannot_be_left(database: Database, owner_database_url: str) -> None:
    model = await corpora.laid(database, owner_database_url, "one")
    other = await corpora.laid(database, owner_database_url, "two", 8)
    async with database.transaction("default") as tx:
        await corpora.write(tx, [Row("a", "text", vector=[1.0] * 8)], other)
        with pytest.raises(BadInput, match="in use"):
            await succession.leave(tx, model.name)
        assert await succession.leave(tx, "two") == 1
        assert [known.name for known in await models.of_tenant(tx)] == ["one"]
        with pytest.raises(BadInput, match="has no model 'two'"):
            await succession.shadow(tx, "two")


async def test_laying_twice_makes_one_table_and_other_dimensions_are_refused(database: Database, owner_database_url: str) -> None:
    first = await models.lay(owner_database_url, "some/model: v3", 32)
    assert await models.lay(owner_database_url, "some/model: v3", 32) == first
    for name, dims in (("some/model: v3", 33), ("x", 0), ("x", 4_001), ("a\nb", 3), ("", 3)):
        with pytest.raises(BadInput):
            await models.lay(owner_database_url, name, dims)
    async with database.transaction("default") as tx:
        assert [(model.id, model.name) for model in await models.laid(tx)] == [(1, PACKAGED), (first.id, "some/model: v3")]
        with pytest.raises(BadInput, match="no table is laid for model 'nobody'"):
            await succession.adopt(tx, "nobody")


async def test_the_program_may_neither_lay_a_table_nor_read_a_partition_by_its_name(database: Database) -> None:
    for statement in ("SELECT lay_vectors(9, 'mine', 3)", "SELECT * FROM fact_vec_1_p3", "SELECT * FROM posting_p3"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.transaction("default") as tx:
                await tx.execute(statement)


async def test_two_indexers_embed_each_fact_once(database: Database, owner_database_url: str) -> None:
    embedder = Hashing("old", 16)
    await models.lay(owner_database_url, "old", 16)
    async with database.transaction("default") as tx:
        await corpora.write(tx, [Row(f"f{nth}", f"text number{nth}") for nth in range(1_200)])
    await asyncio.gather(*(Indexer(database, [embedder], "default").drain("default") for _ in range(2)))
    assert len(embedder.asked) == len(set(embedder.asked)) == 1_200
    async with database.transaction("default") as tx:
        active = await models.active(tx)
        assert active and await vectors.counts(tx, active) == (1_200, 0)
        assert await postings.fold(tx) == 0
