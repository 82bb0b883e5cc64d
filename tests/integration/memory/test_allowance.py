"""The allowance of a day: what is reserved and settled, by many at once, across a crash and across midnight."""

import asyncio
import random
from collections.abc import AsyncGenerator
from typing import Any

import asyncpg
import pytest

from database import SEARCH_PATH, Database
from memory import allowance
from memory.allowance import MILLION, Standing, Terms

PRICE = 1_000_000
TERMS = Terms(PRICE, 1_000)
"""One token is one micro-dollar, and a day has a thousand of them."""


@pytest.fixture
async def owner(owner_database_url: str) -> AsyncGenerator[Any]:
    connection = await asyncpg.connect(owner_database_url, server_settings=SEARCH_PATH)
    yield connection
    await connection.close()


async def day(database: Database, tenant: str = "default") -> Standing:
    async with database.transaction(tenant) as tx:
        standing = await allowance.today(tx)
        assert standing is not None
        return standing


async def reserve(database: Database, tokens: int, *, tenant: str = "default") -> Any:
    async with database.once(tenant) as tx:
        return await allowance.reserve(tx, TERMS, tokens)


async def settle(database: Database, call: Any, tokens: int, *, tenant: str = "default") -> bool:
    async with database.once(tenant) as tx:
        return await allowance.settle(tx, TERMS, call, tokens)


async def test_what_is_held_and_not_used_is_given_back_once(database: Database) -> None:
    call = await reserve(database, 900)
    assert await reserve(database, 101) is None
    assert (await day(database)).reserved == 900 * MILLION
    assert await settle(database, call, 300) is True
    assert [await settle(database, call, 300), await settle(database, call, 0)] == [False, False]
    found = await day(database)
    assert (found.spent, found.reserved, found.tokens) == (300 * MILLION, 0, 300)
    assert str(found) == f"$0.0003 spent and $0 reserved of $0.001 for embeddings on {found.day} (UTC)"
    assert await reserve(database, 700) is not None
    assert await reserve(database, 1) is None


async def test_a_settlement_that_is_tried_by_many_at_once_is_made_once(database: Database) -> None:
    call = await reserve(database, 800)
    await reserve(database, 100)
    assert sorted(await asyncio.gather(*(settle(database, call, 200) for _ in range(8)))) == [False] * 7 + [True]
    found = await day(database)
    assert (found.spent, found.reserved) == (200 * MILLION, 100 * MILLION)


async def test_one_call_above_the_whole_cap_leaves_no_row(database: Database) -> None:
    assert await reserve(database, 1_001) is None
    async with database.transaction("default") as tx:
        assert await allowance.today(tx) is None
    assert await reserve(database, 1_000) is not None


async def test_twenty_callers_at_once_never_hold_more_than_the_cap(database: Database) -> None:
    dice = random.Random(7)
    over: list[Standing] = []

    async def caller(worst: list[int]) -> tuple[int, int]:
        spent = refused = 0
        for tokens in worst:
            if (call := await reserve(database, tokens)) is None:
                refused += 1
                continue
            if (seen := await day(database)).used > TERMS.limit:
                over.append(seen)
            used = tokens // 4
            assert await settle(database, call, used)
            spent += used
        return spent, refused

    done = await asyncio.gather(*(caller([dice.randrange(40, 200) for _ in range(10)]) for _ in range(20)))
    found = await day(database)
    assert over == []
    assert (found.spent, found.reserved) == (sum(spent for spent, _ in done) * MILLION, 0)
    assert 0.8 * TERMS.limit <= found.spent <= TERMS.limit and sum(refused for _, refused in done) > 0


async def test_a_call_whose_process_died_counts_for_its_day_and_not_for_the_next(database: Database, owner: Any) -> None:
    await reserve(database, 950)
    assert await reserve(database, 51) is None
    await yesterday(owner)
    late = await reserve(database, 1_000)
    assert late is not None and (await day(database)).reserved == 1_000 * MILLION
    rows = await owner.fetch("SELECT reserved, spent FROM embedding_day ORDER BY day")
    assert [tuple(row) for row in rows] == [(950 * MILLION, 0), (1_000 * MILLION, 0)]


async def test_a_call_that_ends_after_midnight_is_booked_on_the_day_that_held_it(database: Database, owner: Any) -> None:
    call = await reserve(database, 600)
    await yesterday(owner)
    today = await reserve(database, 500)
    assert await settle(database, call, 100) and await settle(database, today, 400)
    rows = await owner.fetch("SELECT reserved, spent, tokens FROM embedding_day ORDER BY day")
    assert [tuple(row) for row in rows] == [(0, 100 * MILLION, 100), (0, 400 * MILLION, 400)]


async def yesterday(owner: Any) -> None:
    """Make what was done today have been done yesterday."""
    for table in ("embedding_day", "embedding_call"):
        await owner.execute(f"UPDATE {table} SET day = day - 1")  # noqa: S608


async def write_off(database: Database) -> int:
    async with database.transaction("default") as tx:
        return await allowance.write_off(tx)


async def forgotten(owner: Any) -> None:
    """Make every call one that nobody can come back to."""
    await owner.execute("UPDATE embedding_call SET at = at - $1::interval", allowance.LOST)


async def test_what_nobody_settled_is_spent_on_its_day_after_an_hour_and_makes_room_for_nothing(database: Database, owner: Any) -> None:
    await reserve(database, 300)
    await reserve(database, 400)
    await yesterday(owner)
    lost, theirs = await reserve(database, 600), await reserve(database, 700, tenant="other")
    assert await write_off(database) == 0
    await forgotten(owner)
    alive = await reserve(database, 300)
    assert await write_off(database) == 3 and await write_off(database) == 0
    days = "SELECT spent, reserved, tokens FROM embedding_day WHERE tenant = $1 ORDER BY day"
    assert [tuple(row) for row in await owner.fetch(days, "default")] == [(700 * MILLION, 0, 0), (600 * MILLION, 300 * MILLION, 0)]
    assert [tuple(row) for row in await owner.fetch(days, "other")] == [(0, 700 * MILLION, 0)]
    assert await reserve(database, 101) is None
    # Who comes back all the same finds it booked, and changes nothing.
    assert [await settle(database, lost, 1), await settle(database, alive, 250)] == [False, True]
    assert await settle(database, theirs, 1, tenant="other")
    found = await day(database)
    assert (found.spent, found.reserved, found.tokens) == (850 * MILLION, 0, 250)


async def test_writing_off_and_settling_by_many_at_once_books_each_call_once(database: Database, owner: Any) -> None:
    for _ in range(2):
        calls = [await reserve(database, 50) for _ in range(10)]
        await yesterday(owner)
    await forgotten(owner)
    done = await asyncio.gather(*(settle(database, call, 20) for call in calls), *(write_off(database) for _ in range(6)))
    settled = sum(done[:10])
    assert sum(done[10:]) + settled + await write_off(database) == 20
    rows = await owner.fetch("SELECT spent, reserved FROM embedding_day ORDER BY day")
    assert [tuple(row) for row in rows] == [(500 * MILLION, 0), ((500 - 30 * settled) * MILLION, 0)]


async def test_each_tenant_has_a_day_of_its_own(database: Database) -> None:
    mine, theirs = await reserve(database, 1_000), await reserve(database, 1_000, tenant="other")
    assert mine is not None and theirs is not None and mine != theirs
    assert await settle(database, theirs, 1) is False
    assert (await day(database, "other")).reserved == (await day(database)).reserved == 1_000 * MILLION


async def test_the_day_is_stopped_once(database: Database) -> None:
    async with database.transaction("default") as tx:
        assert await allowance.stop(tx) is False
    await reserve(database, 1_000)

    async def stop() -> bool:
        async with database.transaction("default") as tx:
            return await allowance.stop(tx)

    assert sorted(await asyncio.gather(*(stop() for _ in range(5)))) == [False] * 4 + [True]
    assert (await day(database)).stopped_at is not None


async def test_a_count_above_the_bound_is_booked_as_it_is_and_nothing_more_is_begun(database: Database) -> None:
    call = await reserve(database, 10)
    assert await settle(database, call, 5_000)
    assert (await day(database)).spent == 5_000 * MILLION
    assert await reserve(database, 1) is None


async def test_the_program_can_neither_move_a_day_nor_take_one_away(database: Database) -> None:
    await reserve(database, 10)
    for statement in ("UPDATE embedding_day SET day = day - 1", "DELETE FROM embedding_day", "UPDATE embedding_call SET held = 1"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.transaction("default") as tx:
                await tx.execute(statement)
