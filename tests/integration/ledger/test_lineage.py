"""Forks on a real Postgres: what two of them, or a fork and an undo, do at once is done one after the other."""

import asyncio
from dataclasses import replace

from database import Database
from ledger import effects, lineage, orders, runs
from ledger.orders import Order
from tests.integration.ledger.rows import DIGEST, LINEAGE, claim, open_run, run
from tests.servers import until

STEP = """
INSERT INTO plan_step (tenant, lineage, step, decision, position, tool, arguments, status, ended_at, n, inherited)
VALUES ('default', $1, 's1', 'd1', 1, 'blog.publish', '{}', 'done', now(), 1, $2)
"""
DECISIONS = """
INSERT INTO decision (tenant, lineage, step, result)
SELECT 'default', $1, step, '{"seq": 2, "steps": []}' FROM unnest(ARRAY['d1', 'd2']) step
"""
KEY = f"{LINEAGE}/s1/1"


async def forks(database: Database, *names: str, status: str = "running") -> None:
    """Insert forks of the run, which has ended."""
    async with database.transaction("default") as tx:
        await runs.close(tx, LINEAGE, "completed", "")
        for name in names:
            child = run(name, workflow_id=name, parent=LINEAGE, parent_step="s1", ancestors=[LINEAGE])
            await runs.open_run(tx, child, limit_micros=1)
            if status != "running":
                await runs.close(tx, name, status, "")


async def waits_or_ends(database: Database, task: asyncio.Task[object]) -> None:
    """Wait until a task waits for somebody's lock, or is over because nothing held it."""

    async def check() -> bool:
        async with database.transaction("default") as tx:
            waiting = await tx.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return waiting > 0 or task.done()

    await until(check)


async def looked(database: Database, name: str) -> str | None:
    """Look whether the family has done the action, and claim it where nobody has, as `act` does in one transaction."""
    async with database.transaction("default") as tx:
        found = await lineage.done_in_family(tx, name, "blog.publish", DIGEST)
        if found is None:
            await effects.claim(tx, claim(lineage=name, key=f"{name}/s1/1"))
    return found


async def test_of_two_forks_that_do_the_same_at_once_the_second_sees_the_first(database: Database) -> None:
    await open_run(database)
    await forks(database, "one", "two")
    async with database.transaction("default") as tx:
        assert await lineage.done_in_family(tx, "one", "blog.publish", DIGEST) is None
        second = asyncio.create_task(looked(database, "two"))
        await waits_or_ends(database, second)
        await effects.claim(tx, claim(lineage="one", key="one/s1/1"))
    assert await second == "perhaps done already in one (one/s1/1)"


async def test_of_many_forks_that_do_the_same_at_once_one_does_it_unasked(database: Database) -> None:
    names = [f"fork-{nth}" for nth in range(8)]
    await open_run(database)
    await forks(database, *names)
    found = await asyncio.gather(*(looked(database, name) for name in names))
    assert found.count(None) == 1


async def test_forks_that_do_different_things_do_not_wait_for_each_other(database: Database) -> None:
    await open_run(database)
    await forks(database, "one", "two")
    async with database.transaction("default") as tx, database.transaction("default") as other:
        assert await lineage.done_in_family(tx, "one", "blog.publish", DIGEST) is None
        assert await lineage.done_in_family(other, "two", "blog.publish", "e2" * 32) is None


async def test_a_fork_and_an_undo_of_one_family_wait_for_each_other(database: Database) -> None:
    await open_run(database)
    await forks(database, "one")
    async with database.transaction("default") as tx:
        made = await effects.claim(tx, claim())
        assert made is not None
        await effects.record(tx, made, "done")
        await tx.execute(STEP, LINEAGE, None)
        await tx.execute(DECISIONS, LINEAGE)

    async def forked() -> lineage.Point:
        async with database.transaction("default") as tx:
            row = await runs.read(tx, LINEAGE)
            assert row is not None
            return await lineage.point(tx, row, "d2")

    async with database.transaction("default") as tx:
        # As an undo does it, for whichever member of the family.
        await lineage.one_by_one(tx, "one")
        fork = asyncio.create_task(forked())
        await waits_or_ends(database, fork)
        assert await effects.claim(tx, claim(key=f"{KEY}/undo", tool="blog.remove", undoes=KEY))
    assert "s1" in (await fork).again, "what is being undone is not shared"


async def test_what_is_shared_is_known_by_its_key_and_by_who_shares_it(database: Database) -> None:
    await open_run(database)
    await forks(database, "one", "two", status="completed")
    await forks(database, "three", status="cancelled")
    async with database.transaction("default") as tx:
        for name in ("one", "two", "three"):
            await tx.execute(STEP, name, KEY)
        assert await lineage.sharers(tx, LINEAGE) == {KEY: "it is shared with the fork one, which is completed (and 1 more)"}
        assert await lineage.sharers(tx, "one") == {}
    async with database.transaction("other") as tx:
        assert await lineage.sharers(tx, LINEAGE) == {}


async def test_an_order_says_whether_it_takes_back_what_is_shared(database: Database) -> None:
    await open_run(database)
    given = Order(LINEAGE, "one", by="ann", reason="", shared=True)
    async with database.transaction("default") as tx:
        await orders.put(tx, given)
        await orders.put(tx, replace(given, name="two", shared=False))
        assert [order.shared for order in await orders.open_orders(tx, LINEAGE)] == [True, False]
