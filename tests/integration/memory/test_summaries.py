"""Rolling summaries on a real Postgres: each names its range, and none tells of turns that are not there."""

import pytest

from contracts.errors import BadInput
from database import Database, Tx
from memory import sessions, summaries
from memory.sessions import Turn
from memory.summaries import Summary, chain


def summary(first: int, last: int, body: str = "") -> Summary:
    return Summary(first, last, body or f"{first}-{last}", "test")


async def say(tx: Tx, count: int) -> None:
    await sessions.append(tx, "s", 0, [Turn("user", "user", str(nth)) for nth in range(1, count + 1)])


async def test_of_one_range_there_is_one_summary_the_first(database: Database) -> None:
    async with database.transaction("default") as tx:
        await say(tx, 10)
        assert await summaries.add(tx, "s", summary(1, 5, "first")) == summary(1, 5, "first")
        assert await summaries.add(tx, "s", summary(1, 5, "second")) == summary(1, 5, "first")
        assert await summaries.one(tx, "s", 1, 5) == summary(1, 5, "first")
        assert await summaries.one(tx, "s", 1, 6) is None


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        (summary(0, 3), "counted from 1"),
        (summary(4, 3), "counted from 1"),
        (summary(8, 12), "has 3 of the 5 turns from 8 to 12"),
        (summary(1, 3, " "), "is empty"),
    ],
)
async def test_a_summary_covers_turns_that_are_there(database: Database, bad: Summary, match: str) -> None:
    with pytest.raises(BadInput, match=match):
        async with database.transaction("default") as tx:
            await say(tx, 10)
            await summaries.add(tx, "s", bad)


async def test_the_widest_summaries_cover_a_session_up_to_a_turn(database: Database) -> None:
    async with database.transaction("default") as tx:
        await say(tx, 40)
        for first, last in ((1, 10), (11, 20), (21, 30), (1, 20), (31, 40)):
            await summaries.add(tx, "s", summary(first, last))
        assert await summaries.cover(tx, "s", 40) == [summary(1, 20), summary(21, 30), summary(31, 40)]
        assert await summaries.cover(tx, "s", 25) == [summary(1, 20)]
        assert await summaries.cover(tx, "s", 9) == []


async def test_what_is_due_begins_where_the_cover_ends_and_leaves_the_last_turns_alone(database: Database) -> None:
    async with database.transaction("default") as tx:
        await say(tx, 30)
        assert await summaries.due(tx, "s", 14, recent=5, every=10) is None
        assert await summaries.due(tx, "s", 15, recent=5, every=10) == (1, 10)
        await summaries.add(tx, "s", summary(1, 10))
        assert await summaries.due(tx, "s", 24, recent=5, every=10) is None
        assert await summaries.due(tx, "s", 30, recent=5, every=10) == (11, 20)


async def test_a_copied_session_has_the_summaries_up_to_its_point(database: Database) -> None:
    async with database.transaction("default") as tx:
        await say(tx, 20)
        for first, last in ((1, 10), (11, 20)):
            await summaries.add(tx, "s", summary(first, last))
        await summaries.copy(tx, "s", "t", 15)
        assert await summaries.cover(tx, "t", 20) == [summary(1, 10)]


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([], []),
        ([(2, 5)], []),
        ([(1, 3), (5, 9)], [(1, 3)]),
        ([(1, 3), (1, 6), (4, 9), (7, 8)], [(1, 3), (4, 9)]),
        ([(1, 2), (3, 4), (5, 6), (1, 4), (1, 6)], [(1, 6)]),
    ],
)
def test_a_chain_has_no_gap_and_no_overlap_and_reaches_furthest(ranges: list[tuple[int, int]], expected: list[tuple[int, int]]) -> None:
    assert [(one.first, one.last) for one in chain([summary(*each) for each in ranges])] == expected
