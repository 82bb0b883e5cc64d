"""Runs on a real Postgres."""

import asyncio

import pytest

from database import Database
from ledger import runs
from tests.integration.ledger.rows import LINEAGE, run


async def test_a_second_open_returns_the_first_row_and_keeps_its_budget(database: Database) -> None:
    async with database.transaction("default") as tx:
        first = await runs.open_run(tx, run(), limit_micros=100)
    async with database.transaction("default") as tx:
        again = await runs.open_run(tx, run(bundle="c" * 64, starter="eve", input={}), limit_micros=999)
        assert again == first and await runs.spending(tx, LINEAGE) == (100, 0, 0)


async def test_of_many_opens_at_once_one_row_stands(database: Database) -> None:
    async def open_it(n: int) -> runs.RunRow:
        async with database.transaction("default") as tx:
            return await runs.open_run(tx, run(starter=f"starter-{n}"), limit_micros=n)

    assert len({row.starter for row in await asyncio.gather(*map(open_it, range(50)))}) == 1


async def test_a_run_ends_once(database: Database) -> None:
    async with database.transaction("default") as tx:
        await runs.open_run(tx, run(), limit_micros=100)
        assert await runs.close(tx, LINEAGE, "failed", "it broke")
        assert not await runs.close(tx, LINEAGE, "completed", "all well")
        row = await runs.read(tx, LINEAGE)
    assert row is not None and (row.status, row.summary) == ("failed", "it broke") and row.ended_at is not None


async def test_a_run_is_found_by_lineage_and_the_newest_by_workflow_id(database: Database) -> None:
    for lineage in ("old", "new"):
        async with database.transaction("default") as tx:
            await runs.open_run(tx, run(lineage), limit_micros=100)
    async with database.transaction("default") as tx:
        found = [await runs.find(tx, name) for name in ("wf-1", "old", "nobody")]
        assert [row and row.lineage for row in found] == ["new", "old", None]
        assert [row.lineage for row in await runs.latest(tx)] == ["new", "old"]


@pytest.mark.parametrize(("status", "count"), [(None, 1), ("running", 1), ("failed", 0)])
async def test_runs_are_listed_by_status(database: Database, status: str | None, count: int) -> None:
    async with database.transaction("default") as tx:
        await runs.open_run(tx, run(), limit_micros=100)
        assert len(await runs.latest(tx, status=status)) == count


async def test_a_run_is_seen_by_its_tenant_only(database: Database) -> None:
    async with database.transaction("default") as tx:
        await runs.open_run(tx, run(), limit_micros=100)
    async with database.transaction("other") as tx:
        assert await runs.read(tx, LINEAGE) is None and await runs.find(tx, "wf-1") is None and await runs.latest(tx) == []
        assert not await runs.close(tx, LINEAGE, "failed", "") and await runs.spending(tx, LINEAGE) == (0, 0, 0)
        # The same lineage is another row for another tenant.
        assert (await runs.open_run(tx, run(starter="eve"), limit_micros=5)).starter == "eve"
