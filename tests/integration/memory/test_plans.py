"""The plans that ran, as perdure_app on 20,000 facts: one partition of each table, and the index that is meant, whatever statistics say."""

import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

import asyncpg
import pytest

from database import SEARCH_PATH, Database, Tx
from memory import keywords, neighbours, planning, search
from memory.filters import Filter
from memory.keywords import Words
from memory.knobs import Knobs
from memory.models import Model
from memory.planning import AS_WRITTEN, aside, by_index
from memory.search import Query
from tests import servers
from tests.integration.memory import corpora
from tests.integration.memory.corpora import Row

FACTS = 20_000
ASKED = corpora.clustered(1, seed=9)[0].tolist()
KIND = Filter(kinds=("k1",))


PARTS = """
SELECT c.oid, c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class parent ON parent.oid = i.inhparent
 WHERE parent.relkind = 'p' AND c.relkind = 'r' AND c.relnamespace = 'perdure'::regnamespace
   AND (parent.relname IN ('fact', 'episode', 'fact_source', 'posting') OR parent.relname LIKE 'fact_vec_%')
"""
# What the connection has read by each index, which a transaction sees of itself at once.
READ = """
SELECT c.relname AS name, pg_stat_get_xact_tuples_returned(c.oid) AS rows
  FROM pg_inherits i JOIN pg_index x ON x.indrelid = i.inhrelid JOIN pg_class c ON c.oid = x.indexrelid
 WHERE i.inhparent IN ('fact'::regclass, 'episode'::regclass, 'fact_source'::regclass) AND pg_stat_get_xact_numscans(c.oid) > 0
"""
SAID = """
INSERT INTO episode (tenant, id, session, seq, origin, body, content_hash, at)
SELECT tenant, id, 's', num, 'user', body, content_hash, at FROM fact WHERE tenant = $1
"""
TAKEN_FROM = "INSERT INTO fact_source (tenant, fact, episode) SELECT tenant, id, id FROM fact WHERE tenant = $1"
ASLEEP = f"""
DO $$ DECLARE part record; BEGIN
    FOR part IN {PARTS} LOOP EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = off)', part.name); END LOOP;
END $$
"""
FORGET_STATISTICS = f"DELETE FROM pg_statistic WHERE starelid IN (SELECT oid FROM ({PARTS}) AS part)"  # noqa: S608
SAY_SIZES = f"UPDATE pg_class SET reltuples = $1, relpages = $2 WHERE oid IN (SELECT oid FROM ({PARTS}) AS part)"  # noqa: S608
# As if another tenant had been there alone when they were made.
SAY_TENANTS = f"""
SELECT pg_restore_attribute_stats(
    'schemaname', 'perdure', 'relname', name::text, 'attname', 'tenant', 'inherited', false, 'null_frac', 0::real, 'avg_width', 8,
    'n_distinct', 1::real, 'most_common_vals', '{{other}}'::text, 'most_common_freqs', '{{1}}'::real[]) FROM ({PARTS}) AS part
"""  # noqa: S608


@pytest.fixture(scope="module")
async def store(postgres_url: str, _template: str) -> AsyncGenerator[tuple[Database, Model, Any]]:
    async with servers.scratch_database(postgres_url, _template) as url:
        owner = await asyncpg.connect(url, server_settings=SEARCH_PATH)
        database = await Database.connect(servers.as_app(url))
        try:
            await corpora.tenant(database, "default")
            model = await corpora.laid(database, url)
            await owner.execute(ASLEEP)
            made = corpora.clustered(FACTS)
            for first in range(0, FACTS, 2_000):
                rows = [
                    Row(f"f{nth}", f"mak lok w{nth % 500}x t{nth}", speaker=f"s{nth % 100}", kind=f"k{nth % 2}", vector=made[nth].tolist())
                    for nth in range(first, first + 2_000)
                ]
                async with database.transaction("default") as tx:
                    await corpora.write(tx, rows, model)
            await corpora.flip(database, model)
            async with database.transaction("default") as tx:
                await tx.execute(SAID, "default")
                await tx.execute(
                    "INSERT INTO fact_source (tenant, fact, episode) SELECT tenant, id, id FROM fact WHERE tenant = $1", "default"
                )
            yield database, model, owner
        finally:
            await owner.close()
            await database.close()


@pytest.fixture(params=["none", "before any row", "before the tenant", "now"])
async def filled(store: tuple[Database, Model, Any], request: pytest.FixtureRequest) -> tuple[Database, Model]:
    """Return the store with the statistics of its partitions made at a certain time."""
    database, model, owner = store
    if request.param == "now":
        async with database.transaction("default") as tx:
            await planning.look(tx)
        return database, model
    await owner.execute(FORGET_STATISTICS)
    relations = {"none": (-1, 0), "before any row": (1, 1), "before the tenant": (10, 1)}[request.param]
    await owner.execute(SAY_SIZES, *relations)
    if request.param == "before the tenant":
        await owner.execute(SAY_TENANTS)
    return database, model


async def explained(tx: Tx, query: str, arguments: Sequence[Any]) -> list[dict[str, Any]]:
    """Run a query and return every step of the plan that ran."""
    told = await tx.value(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *arguments)
    return list(_steps(json.loads(told)[0]["Plan"]))


def _steps(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield step
    for below in step.get("Plans", []):
        yield from _steps(below)


def partitions(steps: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Return the numbers of the partitions of each table that the plan names."""
    found: dict[str, set[str]] = {}
    for step in steps:
        if name := step.get("Relation Name"):
            table, _, part = name.rpartition("_p")
            found.setdefault(table, set()).add(part.partition("_")[0])
    return found


def of_vectors(steps: list[dict[str, Any]], model: Model) -> list[dict[str, Any]]:
    """Return the steps that read vectors which the index has taken in; of the others there are none."""
    read = [step for step in steps if str(step.get("Relation Name", "")).startswith(model.table)]
    assert all(step["Actual Rows"] == 0 for step in read if step["Relation Name"].endswith("_fresh"))
    return [step for step in read if step["Relation Name"].endswith("_in")]


def _asked(words: Words) -> list[Any]:
    return list(words.arguments())


async def test_keywords_read_one_partition_by_its_primary_key(filled: tuple[Database, Model]) -> None:
    database, _ = filled
    async with database.transaction("default") as tx, aside(tx, AS_WRITTEN):
        words = await keywords.words(tx, "w7x lok")
        condition, values = Filter(kinds=("k1",)).sql(6)
        query = keywords.CHOSEN.format(part=keywords.PART, filter=condition, bound=keywords.LISTED, within="ALL")
        steps = await explained(tx, query, [tx.tenant, *_asked(words), 10, *values])
    found = partitions(steps)
    assert {table: len(names) for table, names in found.items()} == {"posting": 1, "fact": 1}
    used = {step["Index Name"] for step in steps if "Index Name" in step}
    assert any(name.startswith("posting") and name.endswith("_pkey") for name in used)
    assert any(name.endswith("tenant_num_idx") for name in used), used
    assert not [step for step in steps if step["Node Type"] == "Seq Scan"]


async def test_a_filter_that_leaves_some_facts_is_read_once(filled: tuple[Database, Model]) -> None:
    database, _ = filled
    steps = await _among(database)
    assert {table: len(names) for table, names in partitions(steps).items()} == {"posting": 1, "fact": 1}
    (facts,) = [step for step in steps if str(step.get("Relation Name", "")).startswith("fact")]
    assert facts["Actual Loops"] == 1 and facts["Actual Rows"] == FACTS / 2


async def test_once_statistics_are_fresh_a_filter_is_answered_by_its_index_alone(store: tuple[Database, Model, Any]) -> None:
    database, _, _ = store
    async with database.transaction("default") as tx:
        await planning.look(tx)
    (facts,) = [step for step in await _among(database) if str(step.get("Relation Name", "")).startswith("fact")]
    assert (facts["Node Type"], "tenant_kind" in facts["Index Name"]) == ("Index Only Scan", True)


async def _among(database: Database) -> list[dict[str, Any]]:
    async with database.transaction("default") as tx, aside(tx, by_index(Knobs())):
        words = await keywords.words(tx, "w7x lok")
        condition, values = Filter(kinds=("k1",)).sql(6)
        query = keywords.AMONG.format(part=keywords.PART, filter=condition, bound=keywords.LISTED, held=keywords.HELD)
        return await explained(tx, query, [tx.tenant, *_asked(words), 10, *values])


@pytest.mark.parametrize(
    ("filter", "most"), [(Filter(), 0), (Filter(kinds=("k0", "k1")), Knobs().coded_below + 1)], ids=["all", "by a filter"]
)
async def test_a_search_reads_what_it_looks_up_and_not_all_that_a_tenant_has(
    filled: tuple[Database, Model], filter: Filter, most: int
) -> None:
    database, _ = filled
    async with database.transaction("default") as tx:
        before = {row["name"]: row["rows"] for row in await tx.fetch(READ)}
        answer = await search.search(tx, Query("w7x t7", ASKED, filter))
        assert (answer.mode, len(answer.hits)) == ("ann", 10)
        read = {row["name"]: row["rows"] - before.get(row["name"], 0) for row in await tx.fetch(READ)}
    assert {name.partition("_p")[0] for name in read} == {"fact", "fact_source", "episode"}
    # Where the wrong index is taken it is 20,000, once or for each row.
    assert max(read.values()) <= most + 1_000


async def test_a_filter_that_leaves_few_facts_is_looked_up_by_pairs(filled: tuple[Database, Model]) -> None:
    database, _ = filled
    async with database.transaction("default") as tx, aside(tx, AS_WRITTEN):
        words = await keywords.words(tx, "mak lok")
        condition, values = Filter(speakers=("s7",)).sql(6)
        query = keywords.PROBED.format(part=keywords.PART, filter=condition)
        steps = await explained(tx, query, [tx.tenant, *_asked(words), 10, *values])
    assert {table: len(names) for table, names in partitions(steps).items()} == {"posting": 1, "fact": 1}
    (postings,) = [step for step in steps if str(step.get("Relation Name", "")).startswith("posting")]
    assert (
        postings["Node Type"] in {"Index Only Scan", "Index Scan"} and postings["Actual Rows"] * postings["Actual Loops"] <= 2 * FACTS / 100
    )


async def test_the_count_of_a_filter_stops_at_its_bound(filled: tuple[Database, Model]) -> None:
    database, _ = filled
    async with database.transaction("default") as tx:
        assert await neighbours.matching(tx, Filter(), 101) == 101
        assert await neighbours.matching(tx, Filter(speakers=("s7",)), 8_001) == FACTS // 100


async def test_exact_search_compares_what_the_filter_leaves_and_never_asks_the_index(filled: tuple[Database, Model]) -> None:
    database, model = filled
    async with database.transaction("default") as tx, aside(tx, by_index(Knobs())):
        query, arguments = neighbours.exact(tx, model, ASKED, Filter(speakers=("s7",)), 10)
        steps = await explained(tx, query, arguments)
    assert {table: len(names) for table, names in partitions(steps).items()} == {model.table: 1, "fact": 1}
    assert not [step for step in steps if "_e_idx" in step.get("Index Name", "") or "near" in step.get("Index Name", "")]
    (compared,) = [step for step in steps if step.get("Subplan Name") == "CTE compared"]
    assert compared["Actual Rows"] == FACTS / 100


@pytest.mark.parametrize(
    ("filter", "gathered", "key"),
    [(KIND, False, "_pkey"), (KIND, True, "_in_tenant_kind"), (Filter(), True, "_pkey")],
    ids=["walked", "gathered", "every"],
)
async def test_codes_are_read_from_an_index_alone_and_only_the_likeliest_vectors_from_the_table(
    filled: tuple[Database, Model], filter: Filter, gathered: bool, key: str
) -> None:
    database, model = filled
    async with database.transaction("default") as tx, aside(tx, by_index(Knobs())):
        query, arguments = neighbours.coded(tx, model, ASKED, filter, 10, 100, gathered=gathered)
        steps = await explained(tx, query, arguments)
    assert {table: len(names) for table, names in partitions(steps).items()} == {model.table: 1, "fact": 1}
    codes, compared = of_vectors(steps, model)
    assert (codes["Node Type"], codes["Actual Rows"], codes["Actual Loops"]) == ("Index Only Scan", FACTS / 2 if filter.kinds else FACTS, 1)
    assert (compared["Node Type"], compared["Actual Rows"], compared["Actual Loops"]) == ("Index Scan", 100, 1)
    assert key in codes["Index Name"] and compared["Index Name"].endswith("_pkey")
    # What is found is checked one by one, and no more of it than is wanted.
    (checked,) = [step for step in steps if str(step.get("Index Name", "")).endswith("tenant_num_idx")]
    assert checked["Actual Loops"] == 10


async def test_approximate_search_asks_the_index_of_one_partition(filled: tuple[Database, Model]) -> None:
    database, model = filled
    async with database.transaction("default") as tx, aside(tx, by_index(Knobs())):
        query, arguments = neighbours.approximate(tx, model, ASKED, Filter(kinds=("k1",)), 10)
        steps = await explained(tx, query, arguments)
    assert {table: len(names) for table, names in partitions(steps).items()} == {model.table: 1, "fact": 1}
    near = of_vectors(steps, model)
    assert any("_e_idx" in step["Index Name"] and "Order By" in step for step in near), near
    assert not [step for step in steps if step["Node Type"] in {"Seq Scan", "Bitmap Heap Scan"}]


async def test_settings_of_a_search_end_with_it(filled: tuple[Database, Model]) -> None:
    database, model = filled
    names = ("enable_sort", "enable_hashjoin", "plan_cache_mode", "jit", "join_collapse_limit")
    async with database.transaction("default") as tx:
        before = [await tx.value(f"SHOW {name}") for name in names]
        await neighbours.nearest(tx, model, ASKED, Filter(), limit=10, knobs=Knobs(exact_below=10))
        await neighbours.nearest(tx, model, ASKED, Filter(speakers=("s7",)), limit=10, knobs=Knobs(exact_below=50))
        await keywords.search(tx, "mak", Filter(), limit=3)
        assert [await tx.value(f"SHOW {name}") for name in names] == before
