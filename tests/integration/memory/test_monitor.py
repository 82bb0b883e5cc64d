"""The recall monitor on a real Postgres: it reports what really ran, and raises the knobs where it must."""

from collections.abc import Sequence

import pytest
from prometheus_client import REGISTRY

from activities.recall_watch import RecallWatch
from database import Database, Tx
from memory import knobs, monitor, probes, samples
from memory.filters import Filter
from memory.knobs import Knobs
from memory.models import Model
from memory.monitor import Near, Truth
from memory.samples import Sample
from memory.search import Query, search
from tests.integration.memory.stores import Store, filled

NEAREST = """
SELECT v.fact, v.e <=> $2::real[]::halfvec AS distance FROM fact_vec_7 v JOIN fact f ON f.tenant = $1 AND f.num = v.fact
 WHERE v.tenant = $1 AND v.indexed AND {condition} ORDER BY v.e <=> $2::real[]::halfvec LIMIT $3
"""
GROW = """
INSERT INTO fact_vec_7 (tenant, fact, body_hash, e, scope, kind, subject, session, speaker)
SELECT $1, 10000 + n, '', e, scope, kind, subject, session, speaker FROM fact_vec_7, generate_series(1, 20) AS n
 WHERE tenant = $1 AND fact = 1
"""
BARE = Knobs(ef_search=10, exact_below=0)


async def indexed(tx: Tx, model: Model, embedding: Sequence[float], filter: Filter, k: int, knobs: Knobs) -> tuple[list[Near], str]:
    """Serve by HNSW, as pgvector does it out of the box, unless the knobs say exact."""
    condition, values = filter.sql(4)
    for name in ("enable_seqscan", "enable_bitmapscan", "enable_sort"):
        await tx.execute("SELECT set_config($1, $2, true)", name, "on" if knobs.exact_only else "off")
    await tx.execute("SELECT set_config('enable_indexscan', $1, true)", "off" if knobs.exact_only else "on")
    await tx.execute("SELECT set_config('hnsw.ef_search', $1, true)", str(knobs.ef_search))
    rows = await tx.fetch(NEAREST.format(condition=condition), tx.tenant, embedding, k, *values)
    return [(row["fact"], row["distance"]) for row in rows], "exact" if knobs.exact_only else "ann"


async def lying(tx: Tx, model: Model, embedding: Sequence[float], filter: Filter, k: int, knobs: Knobs) -> tuple[list[Near], str]:
    """Search exactly and claim the index, as a plan does that was cached before its settings changed."""
    found, _ = await indexed(tx, model, embedding, filter, k, Knobs(exact_only=True))
    return found, "ann"


async def blind(tx: Tx, model: Model, embedding: Sequence[float], filter: Filter, k: int, knobs: Knobs) -> tuple[list[Near], str]:
    """Find little for as long as an index is asked."""
    found, mode = await indexed(tx, model, embedding, filter, k, knobs)
    return found if knobs.exact_only else found[:2], mode


async def coded(tx: Tx, model: Model, embedding: Sequence[float], filter: Filter, k: int, knobs: Knobs) -> tuple[list[Near], str]:
    """Answer by codes that lead to some only, for as long as few are compared."""
    found, _ = await indexed(tx, model, embedding, filter, k, Knobs(exact_only=True))
    return (found, "exact") if knobs.exact_only else (found if knobs.ef_search >= 400 else found[:8], "codes")


@pytest.fixture
async def store(database: Database, owner_database_url: str) -> Store:
    return await filled(database, owner_database_url, 3_000)


@pytest.fixture
async def little(database: Database, owner_database_url: str) -> Store:
    return await filled(database, owner_database_url, 60)


async def _keep(store: Store, asked: Sequence[Sample]) -> None:
    async with store.database.transaction("default") as tx:
        for one in asked:
            assert await samples.offer(
                tx, store.model.id, one.embedding, one.filter, k=one.k, mode="ann", knobs=Knobs(sampled=1), target=one.target
            )


async def _knobs(store: Store) -> Knobs:
    async with store.database.transaction("default") as tx:
        return await knobs.knobs(tx, store.model.id)


async def test_an_injected_ef_search_of_10_is_reported(store: Store) -> None:
    async with store.database.transaction("default", isolation="REPEATABLE READ") as tx:
        seen = await monitor.snapshot(tx, store.model, store.samples(40))
        good = await monitor.compare(tx, seen, Knobs(ef_search=1000), indexed)
        injected, proven = await monitor.prove(tx, seen, indexed)
    assert good.whole.estimate.recall is not None
    assert injected.whole.estimate.recall is not None
    assert good.whole.estimate.recall > 0.99 > injected.whole.estimate.recall
    assert (good.whole.approximate, good.whole.refused) == (40, 0)
    assert proven
    assert all("_e_idx" in plan or "hnsw" in plan or "near" in plan for plan in good.whole.plans), good.whole.plans


async def test_a_search_that_claims_the_index_but_ran_exact_is_no_evidence(store: Store) -> None:
    async with store.database.transaction("default", isolation="REPEATABLE READ") as tx:
        seen = await monitor.snapshot(tx, store.model, store.samples(20))
        report = await monitor.compare(tx, seen, Knobs(), lying)
        _, proven = await monitor.prove(tx, seen, lying)
    assert report.whole.refused == 20
    assert report.whole.estimate.recall is None
    assert not proven


async def test_recall_is_reported_for_each_selectivity(store: Store) -> None:
    asked = [sample for share in ("100 %", "50 %", "10 %", "1 %", "0.1 %") for sample in store.samples(5, share)]
    async with store.database.transaction("default", isolation="REPEATABLE READ") as tx:
        seen = await monitor.snapshot(tx, store.model, asked)
        report = await monitor.compare(tx, seen, Knobs(), indexed)
    assert [group.selectivity for group in report.groups] == ["every", "index", "100 %", "50 %", "10 %", "1 %", "0.1 %"]
    assert report.size == "<10k"
    # Three facts match, so three are the whole of what could be found.
    assert {len(truth.nearest) for truth in seen.truths[-5:]} == {3}
    by_name = {group.selectivity: group.estimate.recall or 0 for group in report.groups}
    # pgvector filters after its scan: what it finds dwindles with the filter, and that must show.
    assert by_name["0.1 %"] < by_name["10 %"] < by_name["100 %"]


async def test_knobs_rise_until_the_bound_holds_and_say_why(store: Store) -> None:
    await _keep(store, store.samples(80, target=0.96))
    async with store.database.transaction("default") as tx:
        await knobs.raise_to(tx, store.model.id, BARE, "injected")
    found = await RecallWatch(store.database, "default", indexed).review("default", store.model)
    assert found
    assert found.reports[0].low
    assert not found.reports[-1].low
    assert found.proven
    held = await _knobs(store)
    assert held.ef_search == found.settled.ef_search > BARE.ef_search
    assert not held.exact_only
    assert held.sampled == Knobs().sampled
    async with store.database.transaction("default") as tx:
        lines = {line.selectivity: line for line in await probes.latest(tx)}
        because = await tx.value("SELECT because FROM recall_knob WHERE tenant = $1", tx.tenant)
        causes = await tx.fetch("SELECT DISTINCT cause FROM recall_probe WHERE tenant = $1", tx.tenant)
    assert lines["every"].low >= 0.96 == lines["every"].target
    assert lines["every"].settings["ef_search"] == held.ef_search
    assert any("near" in plan or "idx" in plan for plan in lines["every"].plans)
    assert because.startswith("recall of ")
    assert {"watch", "self-test"} < {row["cause"] for row in causes}
    labels = {"tenant": "default", "model": "7", "size": "<10k", "selectivity": "every"}
    assert (REGISTRY.get_sample_value("perdure_recall_low", labels) or 0) >= 0.96
    assert REGISTRY.get_sample_value("perdure_recall_monitor_proven", {"tenant": "default", "model": "7"}) == 1


async def test_what_is_answered_by_codes_has_the_same_guarantee(store: Store) -> None:
    await _keep(store, store.samples(80, target=0.96))
    found = await RecallWatch(store.database, "default", coded).review("default", store.model)
    assert found
    first, last = found.reports[0], found.reports[-1]
    assert [group.selectivity for group in first.groups] == ["every", "codes", "100 %"]
    assert "codes" in {group.selectivity for group in first.low}
    assert not last.low
    assert (await _knobs(store)).ef_search == last.knobs.ef_search == 400
    assert found.proven is None


async def test_what_no_index_can_answer_is_searched_exactly_in_the_end(store: Store) -> None:
    await _keep(store, store.samples(40, target=0.9))
    found = await RecallWatch(store.database, "default", blind).review("default", store.model)
    assert found
    assert (await _knobs(store)).exact_only
    assert found.reports[-1].whole.estimate.recall == 1
    assert found.reports[-1].whole.approximate == 0


async def test_a_few_good_samples_raise_nothing(little: Store) -> None:
    await _keep(little, little.samples(10))
    found = await RecallWatch(little.database, "default", indexed).review("default", little.model)
    assert found
    assert len(found.reports) == 1
    assert found.reports[0].whole.estimate.low < 0.99
    assert await _knobs(little) == Knobs()


async def test_the_strictest_promise_among_the_samples_is_the_target(little: Store) -> None:
    asked = [*little.samples(3, target=0.9), *little.samples(1, target=0.995)]
    async with little.database.transaction("default", isolation="REPEATABLE READ") as tx:
        seen = await monitor.snapshot(tx, little.model, asked)
    assert seen.target == 0.995


async def test_knobs_never_fall(little: Store) -> None:
    async with little.database.transaction("default") as tx:
        await knobs.raise_to(tx, 7, Knobs(ef_search=400, exact_only=True), "high")
        await knobs.raise_to(tx, 7, Knobs(ef_search=200), "an older reading")
        held = await knobs.knobs(tx, 7)
    assert (held.ef_search, held.exact_only) == (400, True)


async def test_only_one_compares_at_a_time(little: Store) -> None:
    await _keep(little, little.samples(2))
    async with little.database.transaction("default") as tx:
        assert await probes.alone(tx, little.model)
        assert await RecallWatch(little.database, "default", indexed).review("default", little.model) is None


async def test_a_store_that_grew_is_looked_at_before_the_hour_is_over(little: Store) -> None:
    await _keep(little, little.samples(2))
    async with little.database.transaction("default") as tx:
        assert await probes.due(tx, little.model)
    await RecallWatch(little.database, "default", indexed).review("default", little.model)
    async with little.database.transaction("default") as tx:
        assert not await probes.due(tx, little.model)
    async with little.database.transaction("default") as tx:
        await tx.execute(GROW, tx.tenant)
        assert await probes.due(tx, little.model)


async def test_every_tenant_is_watched_and_its_index_is_not_asked_twice_within_the_hour(little: Store) -> None:
    await _keep(little, little.samples(3))
    watch = RecallWatch(little.database, "default")
    await watch.watch()
    await watch.watch()
    async with little.database.transaction("default") as tx:
        assert await tx.value("SELECT count(*) FROM recall_probe WHERE tenant = $1 AND selectivity = $2", tx.tenant, "every") == 1


async def test_without_one_snapshot_nothing_is_compared(little: Store) -> None:
    async with little.database.transaction("default") as tx:
        with pytest.raises(AssertionError, match="REPEATABLE READ"):
            await monitor.snapshot(tx, little.model, little.samples(1))


async def test_samples_hold_no_words_and_go_with_age_and_erasure(little: Store) -> None:
    await _keep(little, little.samples(6, "10 %"))
    async with little.database.transaction("default") as tx:
        held = await samples.newest(tx, 7)
        assert [sample.filter for sample in held[::-1]] == [sample.filter for sample in little.samples(6, "10 %")]
        assert await samples.trim(tx, 7, most=4) == 2
        assert [sample.id for sample in await samples.newest(tx, 7)] == [sample.id for sample in held[:4]]
        columns = await tx.fetch("SELECT column_name FROM information_schema.columns WHERE table_name = 'recall_sample'")
        assert "text" not in {row["column_name"] for row in columns}
        await samples.offer(tx, 7, [1.0], Filter(), k=1, mode="exact", knobs=Knobs(sampled=1))
        assert len(await samples.newest(tx, 7)) == 5
        assert await samples.trim(tx, 7, others=0) == 1
    async with little.database.transaction("other") as tx:
        assert await samples.newest(tx, 7) == []
        assert await samples.clear(tx) == 0
    async with little.database.transaction("default") as tx:
        assert await samples.clear(tx) == 4


async def test_no_query_is_kept_where_none_is_to_be(little: Store) -> None:
    async with little.database.transaction("default") as tx:
        assert not await samples.offer(tx, 7, [1.0], Filter(), k=1, mode="ann", knobs=Knobs(sampled=0))
        assert await samples.newest(tx, 7) == []


async def test_a_query_leaves_a_sample_which_is_asked_again_as_it_was(store: Store) -> None:
    question = store.corpus.questions(1)[0]
    asked = Query(question.text, question.embedding, Filter(speakers=("speakers-3",)), k=5, target=0.95)
    async with store.database.transaction("default") as tx:
        await knobs.raise_to(tx, store.model.id, Knobs(ef_search=10, exact_below=0, sampled=1), "injected")
        answer = await search(tx, asked)
        kept = await samples.newest(tx, store.model.id)
    assert [(one.filter, one.k, one.target) for one in kept] == [(asked.filter, 5, 0.95)]
    found = await RecallWatch(store.database, "default").review("default", store.model)
    assert found
    plans = found.reports[0].whole.plans
    assert [plan.partition(":")[0] for plan in plans] == [answer.mode] == ["ann"]


async def test_what_memory_serves_is_proven_by_the_drop_that_is_injected(store: Store) -> None:
    asked = [sample for share in ("100 %", "50 %", "10 %") for sample in store.samples(15, share)]
    async with store.database.transaction("default", isolation="REPEATABLE READ") as tx:
        seen = await monitor.snapshot(tx, store.model, asked)
        report = await monitor.compare(tx, seen, Knobs(exact_below=0))
        exact = await monitor.compare(tx, seen, Knobs())
        _, proven = await monitor.prove(tx, seen)
    assert proven
    assert report.whole.approximate == len(asked)
    assert (exact.whole.approximate, exact.whole.estimate.recall) == (0, 1)


def test_a_tie_with_the_last_neighbour_is_as_good_and_a_stranger_is_not() -> None:
    truth = Truth(Sample(1, [], Filter(), 3, 0.99), 9, [(1, 0.1), (2, 0.2), (3, 0.3)])
    assert truth.hits([(1, 0.1), (2, 0.2), (4, 0.3)]) == 3
    # Nearer than the nearest, and yet not among them: it does not match the filter.
    assert truth.hits([(9, 0.05), (1, 0.1), (2, 0.2)]) == 2
    assert truth.hits([(1, 0.1), (1, 0.1), (1, 0.1)]) == 1
