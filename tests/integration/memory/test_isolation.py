"""Isolation: two tenants with the same ids, sessions, texts and people, and whatever one does, the other neither gives nor loses anything.

Tried three times: as the program works, with the queries' own `tenant = $1` taken out (row-level security alone), and as a superuser,
whom row-level security lets through (the queries alone).
"""

import json
import random
import re
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal

import asyncpg
import pytest

from contracts.errors import PerdureError
from database import SEARCH_PATH, Database, Tx
from memory import (
    allowance,
    backlog,
    browsing,
    consistency,
    episodes,
    erasure,
    facts,
    importing,
    keywords,
    knobs,
    likeness,
    models,
    neighbours,
    postings,
    probes,
    retention,
    revisions,
    samples,
    search,
    sessions,
    states,
    succession,
    summaries,
    tombstones,
    vectors,
)
from memory.allowance import Terms
from memory.episodes import NewEpisode
from memory.filters import Filter
from memory.importing import Line
from memory.knobs import Knobs
from memory.models import Model
from memory.search import Query
from memory.sessions import Turn
from memory.shared import documents
from memory.shared.edits import Add, Edit, Put, Rewrite, Splice
from memory.storing import NewFact
from memory.summaries import Summary
from memory.writes import WriteKey
from tests.integration.memory import corpora
from tests.integration.memory.shared_storm import recorded

MINE, THEIRS = "default", "other"
SECRET = "swordfish"
"""Stands in every text of the other tenant, and in none of ours."""
MODEL = Model(1, "wordllama", 256)
FILTER = re.compile(r"\b(?:\w+\.)?tenant = \$1\b")
Mode = Literal["both", "policies", "queries"]
TABLES = """
SELECT c.oid::regclass::text AS name FROM pg_class c
 WHERE relnamespace = 'perdure'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1
"""
MEMORY = [
    "corpus", "embedding_call", "embedding_day", "embedding_model", "episode", "erasure", "fact", "fact_source", "fact_vec_1", "fact_words",
    "lexeme_stat", "memory_write", "posting", "recall_knob", "recall_probe", "recall_sample", "retention", "session_state", "shadow_read",
    "shared_conflict", "shared_document", "shared_edit", "shared_field", "summary", "tombstone", "turn", "vector_due", "word_change",
]  # fmt: skip
"""What memory keeps; nothing else is written here."""
UNWRITTEN = {"recall_probe", "shadow_read", "erasure", "tombstone", "word_change", "vector_due", "shared_conflict"}
"""Tables that may be empty when everything but an erasure was done: queues, and what is written by chance or by nobody here."""


class Unfiltered:
    """A connection that takes the tenant's filter out of every query, so that only row-level security is left."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._connection, name)
        if name not in ("fetch", "fetchrow", "fetchval", "execute", "executemany"):
            return found
        return lambda query, *arguments: found(FILTER.sub("$1::text IS NOT NULL", query), *arguments)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_SECRET_MEMORY_KEY", "a key of the tests")


@pytest.fixture
async def owner(owner_database_url: str) -> AsyncGenerator[Any]:
    connection = await asyncpg.connect(owner_database_url, server_settings=SEARCH_PATH)
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog", format="text")
    yield connection
    await connection.close()


@asynccontextmanager
async def opened(database: Database, owner: Any, tenant: str, mode: Mode) -> AsyncGenerator[Tx]:
    """Open a transaction in which only one of the two walls stands, or both."""
    if mode == "queries":
        async with owner.transaction():
            await owner.execute(f"SELECT set_config('app.tenant', '{tenant}', true)")
            yield Tx(owner, tenant)
        return
    async with database.transaction(tenant) as tx:
        yield Tx(Unfiltered(tx._connection), tenant) if mode == "policies" else tx


# What can be done, all of it with the same names in both tenants.


def vector(dice: random.Random) -> list[float]:
    return [dice.uniform(-1, 1) for _ in range(MODEL.dims)]


def text(tx: Tx, dice: random.Random) -> str:
    said = f"the {dice.choice(['red', 'blue', 'old'])} {dice.choice(['door', 'roof', 'bee'])} of {dice.choice(['ann', 'bob'])}"
    return f"{said} {SECRET}" if tx.tenant == THEIRS else said


def key(dice: random.Random) -> WriteKey:
    return WriteKey("run", dice.choice(["s1", "s2", "s3"]), dice.randrange(1_000_000))


async def nums(tx: Tx) -> list[int]:
    """Return numbers of facts of everybody: numbers can be guessed."""
    return list(range(1, 60))


async def write(tx: Tx, dice: random.Random) -> Any:
    one = NewFact("the same id in both" if tx.tenant == MINE else SECRET, "f1", subject="ann")
    given = NewFact(text(tx, dice), None, dice.choice(["default", "x"]), subject=dice.choice(["", "ann", "bob"]))
    return await facts.write(tx, key(dice), [one, given], recalled=("f1", "f2"))


async def write_again(tx: Tx, dice: random.Random) -> Any:
    return await facts.write(tx, WriteKey("again", "s", 0), [NewFact("the same in both" if tx.tenant == MINE else f"{SECRET}!")])


async def replace_fact(tx: Tx, dice: random.Random) -> Any:
    number = dice.randrange(1_000_000)
    await facts.write(tx, key(dice), [NewFact(f"{text(tx, dice)} {number}", id := f"r{number}")])
    return await revisions.supersede(tx, key(dice), id, NewFact(text(tx, dice), f"n{number}"))


async def append_episodes(tx: Tx, dice: random.Random) -> Any:
    given = NewEpisode(text(tx, dice), "s", "bob", id=dice.choice([None, f"e{dice.randrange(1_000_000)}"]))
    return await episodes.append(tx, key(dice), [given])


async def bring_in(tx: Tx, dice: random.Random) -> Any:
    line = Line(1, f"m{dice.randrange(1_000_000)}", tx.tenant, text(tx, dice), None)
    return await importing.faults(tx, [line]), await importing.store(tx, "file", [line])


async def embed(tx: Tx, dice: random.Random) -> Any:
    await succession.adopt(tx, MODEL.name)
    kept = await vectors.put(tx, MODEL, [(num, hash, vector(dice)) for num, hash in (await corpora.hashes(tx)).items()])
    return kept, await vectors.flip(tx, MODEL, limit=5)


async def seek(tx: Tx, dice: random.Random) -> Any:
    model = await models.active(tx)
    given = Query("red door bee roof " + SECRET, vector(dice) if model else None, Filter(scopes=dice.choice([(), ("x",)])), k=50)
    return await search.search(tx, given)


async def by_vector(tx: Tx, dice: random.Random) -> Any:
    found = await neighbours.nearest(tx, MODEL, vector(dice), Filter(), limit=50, knobs=Knobs(exact_only=dice.random() < 0.5))
    return [await facts_of(tx, [num for num, _ in found.rows]), await neighbours.cosines(tx, MODEL, vector(dice), await nums(tx))]


async def facts_of(tx: Tx, given: list[int]) -> Any:
    return [dict(row) for row in await tx.fetch("SELECT id, body FROM fact WHERE tenant = $1 AND num = ANY ($2)", tx.tenant, given)]


async def by_keyword(tx: Tx, dice: random.Random) -> Any:
    found = await keywords.search(tx, f"{SECRET} door", Filter(), limit=50)
    words = await keywords.words(tx, f"{SECRET} door")
    return await facts_of(tx, [num for num, _ in found]), await keywords.scores(tx, words, await nums(tx)), "df", dice.random()


async def look(tx: Tx, dice: random.Random) -> Any:
    one = dice.choice(["f1", "m1"])
    return [
        await facts.read(tx, one), await facts.history(tx, one), await facts.as_of(tx), await episodes.read(tx, one),
        await episodes.of_fact(tx, one), await browsing.find(tx, "door"), await browsing.find(tx, SECRET),
    ]  # fmt: skip


async def count(tx: Tx, dice: random.Random) -> Any:
    return [
        await consistency.stats(tx), await consistency.check(tx), await vectors.counts(tx, MODEL), await backlog.waiting(tx, MODEL),
        await neighbours.matching(tx, Filter(), 1000), await models.of_tenant(tx), await probes.latest(tx), await knobs.knobs(tx, MODEL.id),
    ]  # fmt: skip


async def unlink(tx: Tx, dice: random.Random) -> Any:
    some = dice.sample(await nums(tx), 3)
    await postings.remove(tx, some)
    return await vectors.remove(tx, some), await postings.fold(tx), await likeness.link_near(tx, await nums(tx))


async def converse(tx: Tx, dice: random.Random) -> Any:
    for at in (0, dice.randrange(3)):
        await sessions.append(tx, "s", at, [Turn("user", "user", text(tx, dice))])
    await sessions.copy(tx, "s", dice.choice(["t", "u"]), 5)
    return await sessions.latest(tx, "s", 9, limit=9)


async def keep_state(tx: Tx, dice: random.Random) -> Any:
    state = await states.read(tx, "s")
    await states.copy(tx, "s", "t")
    return await states.swap(tx, key(dice), "s", state.version, {"said": text(tx, dice)})


async def sum_up(tx: Tx, dice: random.Random) -> Any:
    await summaries.add(tx, "s", Summary(1, 1, text(tx, dice), "test"))
    await summaries.copy(tx, "s", "t", 9)
    return await summaries.cover(tx, "s", 9), await summaries.due(tx, "s", 9, recent=1, every=1)


async def share(tx: Tx, dice: random.Random) -> Any:
    await documents.declare(tx, "d", {"note": "versioned", "body": "crdt:text", "n": "crdt:counter"}, by="agent")
    body = await documents.read(tx, "d")
    operation = dice.choice([("note", Put(text(tx, dice))), ("body", Rewrite((Splice(0, 0, text(tx, dice)),))), ("n", Add(1))])
    done = await documents.edit(tx, key(dice), Edit("d", operation[0], "agent", operation[1], dice.choice([0, body[operation[0]].version])))
    return done, await documents.read(tx, "d"), await recorded(tx, "d"), await documents.replica(tx, "d", "body")


async def sample(tx: Tx, dice: random.Random) -> Any:
    await samples.offer(tx, MODEL.id, vector(dice), Filter(speakers=(text(tx, dice),)), k=5, mode="exact", knobs=Knobs(sampled=1.0))
    await knobs.raise_to(tx, MODEL.id, Knobs(ef_search=dice.randrange(101, 400)), text(tx, dice))
    return await samples.newest(tx, MODEL.id)


async def pay(tx: Tx, dice: random.Random) -> Any:
    terms = Terms(20_000, dice.randrange(40, 80))
    calls = [await allowance.reserve(tx, terms, 500) for _ in range(2)]
    settled = [await allowance.settle(tx, terms, call, dice.randrange(400)) for call in calls[1:] * 2 if call]
    standing = await allowance.today(tx)
    return settled, standing and standing.used, await allowance.stop(tx)


async def expire(tx: Tx, dice: random.Random) -> Any:
    await retention.keep(tx, dice.choice(retention.WHATS), dice.randrange(1, 9))
    return await retention.due(tx), await retention.expire(tx), await retention.policy(tx)


async def forget(tx: Tx, dice: random.Random) -> Any:
    erased = await erasure.forget(tx, dice.choice(["ann", "bob", SECRET, "nobody"]), text(tx, dice), "agent", sessions=["u"])
    return replace(erased, id=0), await tombstones.buried(tx, ["ann", "bob"]), await tombstones.scrubbed(tx, ["ann and bob"])


ACTS: list[Callable[[Tx, random.Random], Awaitable[Any]]] = [
    write, write_again, replace_fact, append_episodes, bring_in, embed, seek, by_vector, by_keyword, look, count, unlink, converse,
    keep_state, sum_up, share, sample, pay, expire, forget,
]  # fmt: skip


async def rows(owner: Any, tenant: str) -> dict[str, Counter[str]]:
    """Return every row of a tenant in every table."""
    found: dict[str, Counter[str]] = {}
    for table in await owner.fetch(TABLES):
        name = table["name"]
        found[name] = Counter(row["row"] for row in await owner.fetch(f"SELECT t::text AS row FROM {name} t WHERE tenant = $1", tenant))  # noqa: S608
    return found


async def fill(database: Database, tenant: str, dice: random.Random) -> None:
    """Let a tenant do everything but forget."""
    for _ in range(2):
        for act in ACTS[:-1]:
            try:
                async with database.transaction(tenant) as tx:
                    await act(tx, dice)
            except PerdureError:
                continue


async def test_each_wall_is_tried_alone(database: Database, owner: Any) -> None:
    for tenant in (MINE, THEIRS):
        async with database.transaction(tenant) as tx:
            await facts.write(tx, WriteKey("l", "s"), [NewFact("x")])
    async with opened(database, owner, MINE, "policies") as tx:
        assert await tx.value("SELECT array_agg(tenant) FROM fact WHERE tenant = $1", THEIRS) == [MINE]
    async with opened(database, owner, MINE, "queries") as tx:
        assert await tx.value("SELECT count(DISTINCT tenant) FROM fact") == 2


@pytest.mark.parametrize("mode", ["both", "policies", "queries"])
async def test_whatever_a_tenant_does_touches_and_shows_nothing_of_another(database: Database, owner: Any, mode: Mode) -> None:
    dice = random.Random(f"isolation/{mode}")
    async with database.transaction(THEIRS) as tx:
        await tx.execute("INSERT INTO tenant (tenant) VALUES ($1)", THEIRS)
    for tenant in (THEIRS, MINE):
        await fill(database, tenant, dice)
    theirs = await rows(owner, THEIRS)
    assert {name for name in MEMORY if theirs[name]} >= set(MEMORY) - UNWRITTEN
    done = Counter[str]()
    for act in dice.choices(ACTS, k=40) + ACTS:
        try:
            async with opened(database, owner, MINE, mode) as tx:
                shown = repr(await act(tx, dice))
        except PerdureError as error:
            shown = str(error)
        else:
            done[act.__name__] += 1
        assert SECRET not in shown.replace(f"'{SECRET}'", ""), act.__name__
        now = await rows(owner, THEIRS)
        assert {name: now[name] - rows for name, rows in theirs.items() if now[name] != rows} == {}, act.__name__
    assert set(done) == {act.__name__ for act in ACTS}


@pytest.mark.parametrize("table", MEMORY)
async def test_an_unset_tenant_reads_and_writes_nothing(database_url: str, table: str) -> None:
    app = await asyncpg.connect(database_url, server_settings=SEARCH_PATH)
    try:
        with pytest.raises(asyncpg.UndefinedObjectError, match=r"app\.tenant"):
            await app.fetch(f"SELECT * FROM {table}")  # noqa: S608
        async with app.transaction():
            await app.execute("SELECT set_config('app.tenant', 'default', true)")
        # Set once, it is an empty text afterwards; no row has such a tenant.
        assert await app.fetch(f"SELECT * FROM {table}") == []  # noqa: S608
        for statement in ("SELECT * FROM forget_in_ledger(1, '{ann}')", "SELECT * FROM forget_sessions(1, '{s}')"):
            with pytest.raises(asyncpg.RaiseError, match="there is no erasure"):
                await app.execute(statement)
        assert await app.fetchval("SELECT expire_turns(1, 1)") == 0
    finally:
        await app.close()


async def test_a_partition_cannot_be_read_by_its_name(database: Database, owner: Any) -> None:
    async with database.transaction(THEIRS) as tx:
        await facts.write(tx, WriteKey("l", "s"), [NewFact("x")])
    partitions = await owner.fetch(
        "SELECT relname, relrowsecurity FROM pg_class WHERE relnamespace = 'perdure'::regnamespace AND relkind = 'r' AND relispartition"
    )
    assert len(partitions) >= 16 * 7
    for row in partitions:
        for statement in ("SELECT * FROM {}", "DELETE FROM {}", "INSERT INTO {} DEFAULT VALUES", "UPDATE {} SET tenant = tenant"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with database.transaction(MINE) as tx:
                    await tx.execute(statement.format(row["relname"]))


async def test_every_tenants_rows_of_a_hashed_table_lie_in_one_partition(owner: Any) -> None:
    parents = await owner.fetch("SELECT relname FROM pg_class WHERE relnamespace = 'perdure'::regnamespace AND relkind = 'p'")
    names = {row["relname"] for row in parents}
    assert {"fact", "episode", "fact_source", "posting", "fact_vec_1"} <= names
    for name in (name for name in names if not re.search(r"_p\d+$", name)):
        plan = await owner.fetch(f"EXPLAIN SELECT * FROM {name} WHERE tenant = 'default'")  # noqa: S608
        assert len({match for row in plan for match in re.findall(rf"\b{name}_p\d+", row[0])}) == 1, name


async def test_nobody_gives_a_row_to_another_tenant(database: Database, owner: Any) -> None:
    dice = random.Random("giving")
    await fill(database, MINE, dice)
    held = await rows(owner, MINE)
    for table in (name for name in MEMORY if held[name]):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.transaction(MINE) as tx:
                await tx.execute(f"UPDATE {table} SET tenant = 'other'")  # noqa: S608
    assert all(not held for held in (await rows(owner, THEIRS)).values())


async def test_every_table_of_memory_is_tried(owner: Any) -> None:
    tables = {row["name"] for row in await owner.fetch(TABLES)}
    assert set(MEMORY) <= tables
    others = tables - set(MEMORY)
    # What is no memory has its own test; a new table of memory has to be named here.
    assert not {name for name in others if name.startswith(("fact", "shared", "recall", "session_", "embedding"))}
