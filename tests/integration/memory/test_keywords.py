"""Keyword search on a real Postgres."""

import math
from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from database import Database, Tx
from memory import keywords, postings, scoring
from memory.filters import Filter
from tests.integration.memory.corpora import Row, tenant, write

BODIES = [
    "the adoption agency called Caroline about the papers",
    "Caroline went hiking in the mountains with the dogs",
    "papers about mountain weather and mountain huts",
    "the agency of mountain guides, an agency with a long name and a longer history of papers",
]
ROWS = [Row(f"f{nth}", body) for nth, body in enumerate(BODIES)]


def bm25(query: list[str], bodies: list[list[str]]) -> list[float]:
    """BM25 as the textbook has it, over words that need no stemmer."""
    mean = sum(map(len, bodies)) / len(bodies)
    scores = []
    for body in bodies:
        counts, total = Counter(body), 0.0
        for word in set(query):
            df = sum(word in other for other in bodies)
            tf = counts[word]
            weight = math.log1p((len(bodies) - df + 0.5) / (df + 0.5))
            total += weight * tf * (scoring.K1 + 1) / (tf + scoring.K1 * (1 - scoring.B + scoring.B * len(body) / mean)) if tf else 0.0
        scores.append(total)
    return scores


async def found(database: Database, query: str, filter: Filter | None = None, *, limit: int = 10, of: str = "default") -> list[int]:
    async with database.transaction(of) as tx:
        return [num for num, _ in await keywords.search(tx, query, filter or Filter(), limit=limit)]


async def test_a_fact_is_found_in_the_transaction_that_writes_it(database: Database) -> None:
    async with database.transaction("default") as tx:
        nums = await write(tx, ROWS)
        assert (await keywords.search(tx, "adoption", Filter(), limit=5))[0][0] == nums["f0"]


async def test_any_word_finds_and_the_rarer_one_weighs_more(database: Database) -> None:
    async with database.transaction("default") as tx:
        nums = await write(tx, ROWS)
    assert await found(database, "what did Caroline hear of the adoption?") == [nums["f0"], nums["f1"]]


async def test_words_meet_by_their_stem(database: Database) -> None:
    async with database.transaction("default") as tx:
        nums = await write(tx, ROWS)
    assert (await found(database, "hike in a mountain"))[0] == nums["f1"]


async def test_nothing_is_found_for_stop_words_or_words_that_nobody_said(database: Database) -> None:
    async with database.transaction("default") as tx:
        await write(tx, ROWS)
    assert await found(database, "the of and") == []
    assert await found(database, "zebra") == []


WORD = st.sampled_from(["bak", "dok", "fik", "guk", "lok", "mak"])
TEXT = st.lists(WORD, min_size=1, max_size=8)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(TEXT, min_size=1, max_size=8), query=st.lists(WORD, min_size=1, max_size=3), folds=st.booleans())
async def test_scores_are_bm25_whether_statistics_were_folded_or_not(
    database: Database, bodies: list[list[str]], query: list[str], folds: bool
) -> None:
    async with database.transaction("default") as tx:
        await tx.execute("SAVEPOINT clean")
        nums = await write(tx, [Row(f"f{nth}", " ".join(body)) for nth, body in enumerate(bodies)])
        while folds and await postings.fold(tx):
            pass
        got = dict(await keywords.search(tx, " ".join(query), Filter(), limit=20))
        await tx.execute("ROLLBACK TO SAVEPOINT clean")
    wanted = {nums[f"f{nth}"]: score for nth, score in enumerate(bm25(query, bodies)) if score}
    assert got.keys() == wanted.keys()
    assert all(math.isclose(got[num], score, rel_tol=1e-6) for num, score in wanted.items())


async def test_frequent_words_do_not_keep_out_the_best(database: Database) -> None:
    bodies = [["mak"] * (1 + nth % 3) + ["lok"] * (nth % 2) + [f"w{nth % 50}x"] for nth in range(5_000)]
    async with database.transaction("default") as tx:
        nums = await write(tx, [Row(f"f{nth}", " ".join(body)) for nth, body in enumerate(bodies)])
        rows = await keywords.search(tx, "mak lok w7x", Filter(), limit=5)
    wanted = sorted(bm25(["mak", "lok", "w7x"], bodies), reverse=True)[:5]
    assert [round(score, 6) for _, score in rows] == [round(score, 6) for score in wanted]
    assert {num for num, _ in rows} <= set(nums.values())


async def test_a_narrow_filter_finds_what_frequent_words_would_hide(database: Database) -> None:
    rows = [Row(f"f{nth}", f"mak lok {'guk ' * (nth == 77)}", speaker="ann" if nth % 500 == 77 else "bob") for nth in range(5_000)]
    async with database.transaction("default") as tx:
        nums = await write(tx, rows)
        asked = await keywords.words(tx, "mak lok")
        listed = await keywords.find(tx, asked, Filter(speakers=("ann",)), limit=20)
        probed = await keywords.find(tx, asked, Filter(speakers=("ann",)), limit=20, matching=10)
        among = await keywords.find(tx, asked, Filter(speakers=("ann",)), limit=20, matching=9_000)
    assert {num for num, _ in probed.rows} == {nums[f"f{nth}"] for nth in range(77, 5_000, 500)}
    assert {num for num, _ in listed.rows} == {num for num, _ in probed.rows}
    assert among.rows == listed.rows


async def test_current_results_hold_nothing_superseded_or_over_and_the_past_does(database: Database) -> None:
    now = datetime.now(UTC)
    async with database.transaction("default") as tx:
        nums = await write(tx, [Row(name, "the door code") for name in ("now", "over", "replaced", "later")])
        await tx.execute("UPDATE fact SET superseded_at = recorded_at + interval '1 hour' WHERE tenant = $1 AND id = 'replaced'", tx.tenant)
    async with database.transaction("default") as tx:
        assert set(await _at(tx, None)) == {nums["now"], nums["over"], nums["later"]}
        assert set(await _at(tx, now + timedelta(minutes=30))) == set(nums.values())
        assert set(await _at(tx, now - timedelta(days=1))) == set()


async def _at(tx: Tx, moment: datetime | None) -> list[int]:
    return [num for num, _ in await keywords.search(tx, "door", Filter(as_of=moment), limit=9)]


async def test_no_tenant_finds_or_counts_anothers_words(database: Database) -> None:
    await tenant(database, "other")
    async with database.transaction("other") as tx:
        await write(tx, [Row(f"o{nth}", "Caroline Caroline") for nth in range(5)])
    async with database.transaction("default") as tx:
        nums = await write(tx, ROWS)
        assert {num for num, _ in await keywords.search(tx, "Caroline", Filter(), limit=10)} == {nums["f0"], nums["f1"]}
        assert (await keywords.words(tx, "Caroline")).words[0].df == 2


async def test_a_query_of_any_shape_is_answered(database: Database) -> None:
    async with database.transaction("default") as tx:
        await write(tx, ROWS)
        for query in ("", "\0", "a\ud800b", "'; DROP TABLE fact --", "!:* & | <->", "x" * 100_000, "mountain " * 20_000, "%s {part} $1"):
            await keywords.search(tx, query, Filter(), limit=3)
