"""Live events: every record reaches whoever watches, whatever the order of commits, and after every break."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from channels import events
from channels.events import Publisher
from contracts.errors import BadInput
from database import SEARCH_PATH, Database
from ledger import feed, records
from ledger.feed import Entry
from tests.integration.ledger.rows import LINEAGE
from tests.servers import until


@pytest.fixture
async def publisher(database_url: str) -> AsyncGenerator[Publisher]:
    watch = await Database.connect(database_url, size=1)
    made = Publisher(watch)
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await watch.close()


async def mark(database: Database) -> str:
    async with database.transaction("default") as tx:
        return str(await feed.mark(tx))


async def note(database: Database, id: str, lineage: str | None = LINEAGE) -> None:
    async with database.transaction("default") as tx:
        await records.append(tx, id, "configuration", lineage, None, {"event": id})


class Page:
    """A page that watches: what it has seen, in order."""

    def __init__(self) -> None:
        self.seen: list[Entry] = []

    @property
    def names(self) -> list[str]:
        return [entry.body["event"] for entry in self.seen]

    async def follow(self, publisher: Publisher, database: Database, lineage: str | None, after: str) -> None:
        async for entry in events.entries(publisher, database, "default", lineage, after):
            if entry:
                self.seen.append(entry)

    async def until(self, count: int) -> None:
        async def come() -> bool:
            return len(self.seen) >= count

        await until(come)


@asynccontextmanager
async def watching(publisher: Publisher, database: Database, after: str, lineage: str | None = LINEAGE) -> AsyncGenerator[Page]:
    page = Page()
    task = asyncio.create_task(page.follow(publisher, database, lineage, after))
    try:
        yield page
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_happens_reaches_every_page_that_watches_the_run_and_no_other(publisher: Publisher, database: Database) -> None:
    begin = await mark(database)
    async with watching(publisher, database, begin) as one, watching(publisher, database, begin, None) as all, \
            watching(publisher, database, begin, "another") as other:  # fmt: skip
        for name in ("a", "b", "c"):
            await note(database, name)
        await note(database, "d", None)
        await all.until(4)
        await one.until(3)
        assert one.names == ["a", "b", "c"] and all.names == ["a", "b", "c", "d"] and other.names == []


async def test_what_was_committed_before_the_page_was_there_is_caught_up(publisher: Publisher, database: Database) -> None:
    begin = await mark(database)
    await note(database, "a")
    async with watching(publisher, database, begin) as page:
        await page.until(1)
        await note(database, "b")
        await page.until(2)
    assert page.names == ["a", "b"]


async def test_a_page_that_was_cut_off_goes_on_where_it_was(publisher: Publisher, database: Database) -> None:
    begin = await mark(database)
    async with watching(publisher, database, begin) as page:
        for name in ("a", "b"):
            await note(database, name)
        await page.until(2)
    await note(database, "c")
    async with watching(publisher, database, page.seen[-1].id) as again:
        await again.until(1)
        await note(database, "d")
        await again.until(2)
    assert again.names[-2:] == ["c", "d"] and "b" not in again.names


async def test_a_record_of_a_transaction_that_began_first_and_ended_last_is_told_too(
    publisher: Publisher, database: Database, database_url: str
) -> None:
    begin = await mark(database)
    slow = await asyncpg.connect(database_url, server_settings=SEARCH_PATH)
    try:
        async with watching(publisher, database, begin) as page:
            await slow.execute("BEGIN; SELECT set_config('app.tenant', 'default', true)")
            await slow.execute(
                "INSERT INTO record (tenant, id, kind, lineage, body) VALUES ('default', 'slow', 'configuration', $1, $2)",
                LINEAGE, '{"event": "slow"}',
            )  # fmt: skip
            await note(database, "quick")
            await page.until(1)
            assert page.names == ["quick"]
            await slow.execute("COMMIT")
            await page.until(2)
        # Whoever was cut off after the quick one, whose `seq` is the higher, is told of the slow one as well.
        async with watching(publisher, database, page.seen[0].id) as again:
            await again.until(1)
        assert page.names == ["quick", "slow"] and again.names == ["slow"]
    finally:
        await slow.close()


async def test_many_records_at_once_all_come(publisher: Publisher, database: Database) -> None:
    begin = await mark(database)
    async with watching(publisher, database, begin) as page:
        async with database.transaction("default") as tx:
            for nth in range(1200):
                await records.append(tx, f"r{nth}", "configuration", LINEAGE, None, {"event": f"r{nth}"})
        await page.until(1200)
    assert page.names == [f"r{nth}" for nth in range(1200)]


async def test_records_of_another_tenant_are_not_told(publisher: Publisher, database: Database) -> None:
    begin = await mark(database)
    async with watching(publisher, database, begin, None) as page:
        async with database.transaction("other") as tx:
            await tx.execute("INSERT INTO tenant (tenant) VALUES ('other')")
            await records.append(tx, "theirs", "configuration", None, None, {"event": "theirs"})
        await note(database, "ours", None)
        await page.until(1)
    assert page.names == ["ours"]


@pytest.mark.parametrize("after", ["", "x", "1-x", "-1", "1--2", "\u0661", "9" * 30, "1-" + "9" * 30])
def test_a_position_that_is_none_is_refused(after: str) -> None:
    with pytest.raises(BadInput, match="not one"):
        events.position(after)
