"""Circuit breakers: when one opens, for how long, who may try, and what a late word changes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from database import Database
from ledger import breakers
from ledger.breakers import Breaker, Threshold
from tests.integration.ledger.rows import THRESHOLD

TOOL = Breaker("tool", "shop", "shop.refund")


async def fail(database: Database, *, times: int = 1, probe: str | None = None, threshold: Threshold = THRESHOLD) -> Breaker:
    for nth in range(times):
        async with database.transaction("default") as tx:
            now = await breakers.fail(tx, TOOL, threshold, f"down {nth}", probe=probe)
    return now  # pyright: ignore[reportPossiblyUnboundVariable]


async def now(database: Database) -> Breaker:
    async with database.transaction("default") as tx:
        return (await breakers.of_tenant(tx))[0]


async def age(database: Database, seconds: float) -> None:
    """Let time pass for the breaker."""
    async with database.transaction("default") as tx:
        moved = "since = since - $1::interval, opened_until = opened_until - $1::interval, probe_until = probe_until - $1::interval"
        await tx.execute(f"UPDATE breaker SET {moved}", timedelta(seconds=seconds))  # noqa: S608


async def probe(database: Database, lease: str) -> bool:
    async with database.transaction("default") as tx:
        return await breakers.probe(tx, TOOL, lease, 10)


async def close(database: Database, lease: str | None = None) -> Breaker:
    async with database.transaction("default") as tx:
        await breakers.close(tx, TOOL, probe=lease)
    return await now(database)


async def test_so_many_failures_open_it_and_the_last_of_them_is_named(database: Database) -> None:
    assert (await fail(database, times=2)).state == "closed"
    opened = await fail(database)
    assert (opened.state, opened.failures, opened.detail) == ("open", 3, "down 0") and 25 < opened.wait <= 30


async def test_one_failure_is_enough_where_the_threshold_is_one(database: Database) -> None:
    opened = await fail(database, threshold=replace(THRESHOLD, failures=1))
    assert opened.state == "open" and 25 < opened.wait <= 30


async def test_failures_of_long_ago_do_not_count(database: Database) -> None:
    await fail(database, times=2)
    await age(database, 61)
    assert ((await fail(database)).failures, (await fail(database)).state) == (1, "closed")


async def test_a_success_forgets_the_failures_before_it(database: Database) -> None:
    await fail(database, times=2)
    assert (await close(database)).failures == 0
    assert (await fail(database, times=2)).state == "closed"


async def test_what_ends_late_neither_closes_nor_prolongs_an_open_one(database: Database) -> None:
    opened = await fail(database, times=3)
    assert (await close(database)).state == "open"
    late = await fail(database)
    assert (late.opened_until, late.openings, late.failures) == (opened.opened_until, 1, 4)


async def test_only_one_may_probe_and_not_too_early(database: Database) -> None:
    await fail(database, times=3)
    assert not await probe(database, "early")
    await age(database, 31)
    assert [await probe(database, lease) for lease in ("first", "second")] == [True, False]
    assert (await now(database)).state == "half_open"


async def test_the_probes_success_closes_and_nobody_elses_does(database: Database) -> None:
    await fail(database, times=3)
    await age(database, 31)
    await probe(database, "mine")
    assert [(await close(database, lease)).state for lease in (None, "other", "mine")] == ["half_open", "half_open", "closed"]
    assert (await now(database)).wait == 0


async def test_each_probe_that_fails_opens_it_twice_as_long_up_to_a_bound(database: Database) -> None:
    waits = [(await fail(database, times=3)).wait]
    for nth in range(3):
        await age(database, 101)
        await probe(database, str(nth))
        assert (await fail(database, probe="other")).state == "half_open"
        waits.append((await fail(database, probe=str(nth))).wait)
    assert waits == pytest.approx([30, 60, 100, 100], abs=5)


async def test_a_probe_that_nobody_saw_end_gives_way_to_the_next(database: Database) -> None:
    await fail(database, times=3)
    await age(database, 31)
    assert await probe(database, "killed")
    await age(database, 11)
    assert await probe(database, "next")
    async with database.transaction("default") as tx:
        await breakers.give_back(tx, TOOL, "killed")
    assert not await probe(database, "third")
    async with database.transaction("default") as tx:
        await breakers.give_back(tx, TOOL, "next")
    assert await probe(database, "third")
