"""Sessions on a real Postgres."""

import pytest

from database import Database
from memory.sessions import Turn, append, latest

TURNS = [Turn("user", "user", "one"), Turn("assistant", "agent", "two"), Turn("tool", "tool", "three")]


async def test_append_returns_the_last_seq_and_latest_reads_oldest_first(database: Database) -> None:
    async with database.transaction("default") as tx:
        assert await append(tx, "s", 0, TURNS) == 3
        assert await latest(tx, "s", 3, limit=10) == TURNS


async def test_a_repeated_append_changes_nothing(database: Database) -> None:
    for said in ("first", "second"):
        async with database.transaction("default") as tx:
            assert await append(tx, "s", 0, [Turn("user", "user", said)]) == 1
    async with database.transaction("default") as tx:
        assert [turn.body for turn in await latest(tx, "s", 1, limit=10)] == ["first"]


async def test_appending_nothing_moves_nothing(database: Database) -> None:
    async with database.transaction("default") as tx:
        assert await append(tx, "s", 7, []) == 7


@pytest.mark.parametrize(("upto", "limit", "bodies"), [(3, 2, ["two", "three"]), (2, 5, ["one", "two"]), (0, 5, []), (3, 0, [])])
async def test_a_reader_sees_the_last_turns_up_to_its_seq(database: Database, upto: int, limit: int, bodies: list[str]) -> None:
    async with database.transaction("default") as tx:
        await append(tx, "s", 0, TURNS)
        assert [turn.body for turn in await latest(tx, "s", upto, limit=limit)] == bodies


async def test_a_turn_that_postgres_cannot_keep_is_kept_as_far_as_it_can_be(database: Database) -> None:
    async with database.transaction("default") as tx:
        await append(tx, "s", 0, [Turn("assistant", "agent", "a\0b\ud800")])
        assert [turn.body for turn in await latest(tx, "s", 1, limit=1)] == ["a\ufffdb?"]


async def test_a_session_is_seen_by_its_tenant_only(database: Database) -> None:
    async with database.transaction("default") as tx:
        await append(tx, "s", 0, TURNS)
    async with database.transaction("other") as tx:
        assert await latest(tx, "s", 3, limit=10) == []
        await append(tx, "s", 0, TURNS[:1])
    async with database.transaction("default") as tx:
        assert len(await latest(tx, "s", 3, limit=10)) == 3
