"""Vectors on a real Postgres: what is kept, what is found, and what is refused."""

import asyncio
import math
from datetime import timedelta

import numpy as np
import pytest

from contracts.errors import BadInput
from database import Database
from memory import backlog, models, neighbours, postings, succession, tombstones, vectors
from memory.filters import Filter
from memory.knobs import Knobs
from memory.planning import aside, by_index
from tests.integration.memory import corpora
from tests.integration.memory.corpora import DIMS, Row

ALWAYS_INDEX = Knobs(exact_below=0, ef_search=200)


@pytest.fixture
async def model(database: Database, owner_database_url: str) -> models.Model:
    return await corpora.laid(database, owner_database_url)


def rows(count: int) -> list[Row]:
    made = corpora.clustered(count)
    return [Row(f"f{nth}", f"word{nth}", kind=f"k{nth % 10}", vector=made[nth].tolist()) for nth in range(count)]


async def test_a_vector_is_found_before_the_index_has_it_and_after(database: Database, model: models.Model) -> None:
    given = rows(300)
    async with database.transaction("default") as tx:
        nums = await corpora.write(tx, given, model)
    for _ in ("fresh", "indexed"):
        async with database.transaction("default") as tx:
            near = await neighbours.nearest(tx, model, given[7].vector or [], Filter(), limit=3, knobs=ALWAYS_INDEX)
        assert (near.mode, near.rows[0][0], round(near.rows[0][1], 3)) == ("ann", nums["f7"], 1.0)
        await corpora.flip(database, model)


async def test_few_rows_are_compared_more_are_told_apart_by_codes_and_many_are_asked_of_the_index(
    database: Database, model: models.Model
) -> None:
    given = rows(600)
    async with database.transaction("default") as tx:
        await corpora.write(tx, given, model)
    await corpora.flip(database, model)
    asked, few = given[3].vector or [], Filter(kinds=("k3",))
    async with database.transaction("default") as tx:
        assert (await neighbours.nearest(tx, model, asked, Filter(), limit=5, knobs=Knobs(exact_below=199))).mode == "ann"
        exact = await neighbours.nearest(tx, model, asked, few, limit=5, knobs=Knobs(exact_below=199))
        assert (exact.mode, exact.searched) == ("exact", 60)
        codes = await neighbours.nearest(tx, model, asked, few, limit=1, knobs=Knobs(exact_below=20, ef_search=5))
        assert (codes.mode, codes.searched) == ("codes", 20)
        assert (await neighbours.nearest(tx, model, asked, few, limit=5, knobs=Knobs(exact_below=19))).mode == "ann"
        assert (await neighbours.nearest(tx, model, asked, Filter(), limit=5, knobs=Knobs(exact_below=0, exact_only=True))).mode == "exact"


async def test_the_nearest_code_leads_to_the_nearest_vector_whether_the_index_has_it_or_not(
    database: Database, model: models.Model
) -> None:
    given = rows(400)
    async with database.transaction("default") as tx:
        nums = await corpora.write(tx, given, model)
        knobs = Knobs(exact_below=200, ef_search=5)
        for row in given[::40]:
            near = await neighbours.nearest(tx, model, row.vector or [], Filter(), limit=1, knobs=knobs)
            assert (near.mode, near.searched, near.rows[0][0], round(near.rows[0][1], 3)) == ("codes", 20, nums[row.id], 1.0)


async def test_codes_that_let_everything_pass_find_what_exact_search_does(database: Database, model: models.Model) -> None:
    given, made = rows(300), corpora.clustered(1, seed=3)[0].tolist()
    async with database.transaction("default") as tx:
        await corpora.write(tx, given, model)
        exact = await neighbours.nearest(tx, model, made, Filter(), limit=20, knobs=Knobs())
        codes = await neighbours.nearest(tx, model, made, Filter(), limit=20, knobs=Knobs(exact_below=100))
    assert (exact.mode, codes.mode) == ("exact", "codes") and exact.rows == codes.rows


async def test_codes_that_tell_nothing_give_way_to_exact_search(database: Database, model: models.Model) -> None:
    made = np.abs(np.random.default_rng(1).standard_normal((600, DIMS)))
    async with database.transaction("default") as tx:
        nums = await corpora.write(tx, [Row(f"f{nth}", f"word{nth}", vector=made[nth].tolist()) for nth in range(600)], model)
        near = await neighbours.nearest(tx, model, made[5].tolist(), Filter(), limit=10, knobs=Knobs(exact_below=300, ef_search=10))
    assert (near.mode, near.searched, near.capped, near.rows[0][0]) == ("exact", 600, True, nums["f5"])


async def test_codes_that_are_gathered_lead_to_what_the_key_of_all_leads_to(database: Database, model: models.Model) -> None:
    random = np.random.default_rng(8)
    given = [
        Row(row.id, row.body, "wide", f"k{random.integers(4)}", *(f"{one}{random.integers(3)}" for one in "bst"), vector=row.vector)
        for row in rows(900)
    ]
    async with database.transaction("default") as tx:
        await corpora.write(tx, given[:600], model)
    await corpora.flip(database, model)
    async with database.transaction("default") as tx:
        # Some are in the index, some are not, and some are believed no more.
        await corpora.write(tx, given[600:], model)
        await tx.execute("UPDATE fact SET superseded_at = clock_timestamp() WHERE tenant = $1 AND num % 5 = 0", tx.tenant)
        before = await tx.value("SELECT max(recorded_at) FROM fact WHERE tenant = $1", tx.tenant)
        asked = [
            Filter(scopes=("wide",)), Filter(kinds=("k1", "k3", "k1")), Filter(subjects=("b2",)), Filter(sessions=("s0", "none")),
            Filter(speakers=("t1",)), Filter(speakers=("t1",), as_of=before), Filter(kinds=("nobody",)),
            Filter(), Filter(as_of=before), Filter(kinds=("k0", "k1", "k2"), speakers=("t1", "t0"), sessions=("s2", "s1")),
            Filter(kinds=tuple(f"k{nth}" for nth in range(1, 60)), speakers=("t1",)),
        ]  # fmt: skip
        for filter in asked:
            assert filter.facets or not filter.narrow
            for vector in random.standard_normal((5, DIMS)).tolist():
                async with aside(tx, by_index(Knobs())):
                    one, other = [
                        await tx.fetch(query, *arguments)
                        for query, arguments in (
                            neighbours.coded(tx, model, vector, filter, 10, 900, gathered=gathered) for gathered in (True, False)
                        )
                    ]
                assert [row["fact"] for row in one] == [row["fact"] for row in other]
                assert len(one) == (10 if filter.kinds != ("nobody",) else 0)


async def test_what_is_not_indexed_yet_does_not_make_up_for_an_index_that_gives_out(database: Database, model: models.Model) -> None:
    random = np.random.default_rng(1)

    def around(count: int, kind: str, **axes: float) -> list[Row]:
        made = 0.1 * random.standard_normal((count, DIMS)) + [axes.get(f"a{axis}", 0.0) for axis in range(DIMS)]
        return [Row(f"{kind}{axes}{nth}", "a word", kind=kind, vector=made[nth].tolist()) for nth in range(count)]

    # The filter leaves what lies behind 1,500 others, which is more than the index goes through, and what lies farther and came last.
    async with database.transaction("default") as tx:
        await corpora.write(tx, around(1_500, "other", a0=1.0) + around(300, "asked", a0=0.3, a1=1.0), model)
    await corpora.flip(database, model)
    asked, filter = [1.0] + [0.0] * (DIMS - 1), Filter(kinds=("asked",))
    async with database.transaction("default") as tx:
        await corpora.write(tx, around(60, "asked", a0=-0.5, a2=1.0), model)
        knobs = Knobs(exact_below=50, ef_search=40, max_scan_tuples=500)
        near = await neighbours.nearest(tx, model, asked, filter, limit=40, knobs=knobs)
        true = await neighbours.nearest(tx, model, asked, filter, limit=40, knobs=Knobs(exact_only=True))
    assert (near.mode, near.capped) == ("exact", True) and near.rows == true.rows


@pytest.mark.parametrize("gone", [30, 15])
async def test_facts_that_are_believed_no_more_do_not_keep_codes_from_those_that_are(
    database: Database, model: models.Model, gone: int
) -> None:
    given = rows(400)
    async with database.transaction("default") as tx:
        nums = await corpora.write(tx, given, model)
        near = [
            row.id for row in sorted(given, key=lambda row: -float(np.dot(row.vector or [], given[3].vector or []))) if row.kind == "k3"
        ]
        await tx.execute("UPDATE fact SET superseded_at = clock_timestamp() WHERE tenant = $1 AND id = ANY($2)", tx.tenant, near[:gone])
        knobs = Knobs(exact_below=30, ef_search=5)
        found = await neighbours.nearest(tx, model, given[3].vector or [], Filter(kinds=("k3",)), limit=5, knobs=knobs)
    assert found.mode in ("codes", "exact") and len(found.rows) == 5
    # The nearest of those that are left: 20 likely ones would have had none of them, or five of any kind.
    assert found.rows[0][0] == nums[near[gone]]


async def test_exact_search_is_exact(database: Database, model: models.Model) -> None:
    given, made = rows(400), corpora.clustered(400)
    async with database.transaction("default") as tx:
        nums = await corpora.write(tx, given, model)
        near = await neighbours.nearest(tx, model, made[5].tolist(), Filter(kinds=("k5",)), limit=7, knobs=Knobs())
    wanted = corpora.true_nearest(made, made[5], range(5, 400, 10), 7)
    assert {fact for fact, _ in near.rows} == {nums[f"f{nth}"] for nth in wanted}


async def test_an_index_that_gives_out_too_early_is_made_good_by_exact_search(database: Database, model: models.Model) -> None:
    given = rows(2_000)
    async with database.transaction("default") as tx:
        await corpora.write(tx, given, model)
    await corpora.flip(database, model)
    narrow = Knobs(exact_below=0, ef_search=1, max_scan_tuples=1)
    async with database.transaction("default") as tx:
        near = await neighbours.nearest(tx, model, given[0].vector or [], Filter(kinds=("k3",)), limit=20, knobs=narrow)
    assert (near.mode, near.capped, len(near.rows)) == ("exact", True, 20)


async def test_every_filter_gets_as_many_rows_as_match(database: Database, model: models.Model) -> None:
    count, random = 1_500, np.random.default_rng(3)
    given = [
        Row(row.id, row.body, vector=row.vector, kind=f"k{random.integers(40)}", speaker=f"s{random.integers(4)}") for row in rows(count)
    ]
    async with database.transaction("default") as tx:
        await corpora.write(tx, given, model)
    await corpora.flip(database, model)
    async with database.transaction("default") as tx:
        for _ in range(300):
            filter = Filter(kinds=tuple(f"k{random.integers(40)}" for _ in range(random.integers(3))), speakers=(f"s{random.integers(4)}",))
            matching = sum((not filter.kinds or row.kind in filter.kinds) and row.speaker in filter.speakers for row in given)
            knobs = Knobs(
                exact_below=int(random.integers(30)), ef_search=int(random.integers(1, 50)), max_scan_tuples=int(random.integers(1, 300))
            )
            near = await neighbours.nearest(tx, model, random.standard_normal(DIMS).tolist(), filter, limit=10, knobs=knobs)
            assert len(near.rows) == min(10, matching), (filter, knobs)


ONE = corpora.hashed("", "one")
GOOD = [0.5] * DIMS


@pytest.mark.parametrize(
    ("vector", "says"),
    [
        (GOOD[1:], f"{DIMS - 1} dimensions"),
        ([*GOOD[1:], math.nan], "finite"),
        ([*GOOD[1:], math.inf], "finite"),
        ([*GOOD[1:], 1e6], "finite"),
        ([0.0] * DIMS, "not be 0"),
        ([1e-9] * DIMS, "not be 0"),
    ],
)
async def test_what_is_no_vector_of_the_model_is_refused_whole(
    database: Database, model: models.Model, vector: list[float], says: str
) -> None:
    async with database.transaction("default") as tx:
        nums = await corpora.write(tx, [Row("a", "one"), Row("b", "two")])
        with pytest.raises(BadInput, match=says):
            await vectors.put(tx, model, [(nums["a"], ONE, GOOD), (nums["b"], ONE, vector)])
        with pytest.raises(BadInput, match=says):
            await neighbours.nearest(tx, model, vector, Filter(), limit=3, knobs=Knobs())
        assert await vectors.counts(tx, model) == (0, 0)


async def test_a_vector_that_is_kept_stays_and_a_fact_that_is_gone_gets_none(database: Database, model: models.Model) -> None:
    async with database.transaction("default") as tx:
        nums = await corpora.write(tx, [Row("a", "one")])
        assert await vectors.put(tx, model, [(nums["a"], ONE, GOOD), (nums["a"] + 999, ONE, GOOD)]) == 1
        assert await vectors.put(tx, model, [(nums["a"], ONE, [-one for one in GOOD])]) == 0
        assert (await neighbours.cosines(tx, model, GOOD, [nums["a"]]))[nums["a"]] == pytest.approx(1)
        assert await backlog.waiting(tx, model) == 0


async def test_an_erasure_takes_the_vector_that_is_being_written_too(database: Database, model: models.Model) -> None:
    async with database.transaction("default") as tx:
        nums = list((await corpora.write(tx, [Row("a", "one")])).values())
    async with database.transaction("default") as writing:
        await vectors.put(writing, model, [(nums[0], ONE, GOOD)])
        erasing = asyncio.create_task(_erase(database, nums))
        await asyncio.sleep(0.1)
        assert not erasing.done()
    assert (await erasing)[model.table] == 1
    async with database.transaction("default") as tx:
        assert await vectors.put(tx, model, [(nums[0], ONE, GOOD)]) == 0
        assert await vectors.counts(tx, model) == (0, 0)


async def _erase(database: Database, nums: list[int]) -> dict[str, int]:
    async with database.transaction("default") as tx:
        await postings.remove(tx, nums)
        gone = await vectors.remove(tx, nums)
        await tx.execute("DELETE FROM fact WHERE tenant = $1 AND num = ANY($2::bigint[])", tx.tenant, nums)
        return gone


async def test_who_indexes_waits_for_an_erasure_and_holds_nothing_that_it_needs(database: Database, model: models.Model) -> None:
    async with database.transaction("default") as tx:
        nums = list((await corpora.write(tx, [Row(f"f{nth}", "one") for nth in range(3)])).values())
    async with database.transaction("default") as erasing:
        await tombstones.lock(erasing)
        # An erasure takes facts spelling by spelling, in no order that others could follow.
        await vectors.remove(erasing, nums[2:])
        working = [asyncio.create_task(share) for share in (_put(database, model, nums), corpora.flip(database, model))]
        await asyncio.sleep(0.2)
        assert not any(task.done() for task in working)
        await vectors.remove(erasing, nums[:2])
    assert await asyncio.wait_for(asyncio.gather(*working), 10) == [3, None]


async def test_nobody_writes_a_vector_of_a_model_that_the_tenant_has_left(
    database: Database, model: models.Model, owner_database_url: str
) -> None:
    other = await corpora.laid(database, owner_database_url, "other", 3)
    async with database.transaction("default") as tx:
        (num,) = (await corpora.write(tx, [Row("f", "one")])).values()
    async with database.transaction("default") as leaving:
        await succession.leave(leaving, "other")
        late = asyncio.create_task(_put(database, other, [num]))
        await asyncio.sleep(0.1)
        assert not late.done()
    assert await late == 0
    async with database.transaction("default") as tx:
        assert await vectors.counts(tx, other) == (0, 0)


async def _put(database: Database, model: models.Model, nums: list[int]) -> int:
    async with database.transaction("default") as tx:
        return await vectors.put(tx, model, [(num, ONE, GOOD[: model.dims]) for num in nums])


async def test_no_tenant_finds_anothers_vectors(database: Database, model: models.Model, owner_database_url: str) -> None:
    await corpora.tenant(database, "other")
    await corpora.laid(database, owner_database_url, of="other")
    async with database.transaction("other") as tx:
        theirs = await corpora.write(tx, [Row("a", "one", vector=GOOD)], model)
    async with database.transaction("default") as tx:
        await corpora.write(tx, [Row("b", "two", vector=[-1.0, *GOOD[1:]])], model)
        for knobs in (Knobs(), ALWAYS_INDEX):
            near = await neighbours.nearest(tx, model, GOOD, Filter(), limit=5, knobs=knobs)
            assert len(near.rows) == 1 and near.rows[0][0] not in theirs.values()
        assert await neighbours.cosines(tx, model, GOOD, list(theirs.values())) == {}
        assert await vectors.remove(tx, list(theirs.values())) == dict.fromkeys(await models.tables(tx), 0)


async def test_what_somebody_works_on_is_given_to_nobody_else_until_it_falls_due_again(database: Database, model: models.Model) -> None:
    async with database.transaction("default") as tx:
        await corpora.write(tx, [Row(f"f{nth}", "text", speaker="ann" if nth else "") for nth in range(5)])
        first = await backlog.take(tx, model, limit=3, lease=timedelta(hours=1))
        assert [one.text for one in first] == ["text", "ann: text", "ann: text"]
        assert len(await backlog.take(tx, model, limit=9, lease=timedelta(0))) == 2
        assert len(await backlog.take(tx, model, limit=9, lease=timedelta(0))) == 2
