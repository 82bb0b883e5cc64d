"""Refused attempts: the first of each minute are records, and of the others not one is lost in number."""

import asyncio
from collections import Counter

from channels.refusals import Refusals
from database import Database
from ledger import refusals

COUNTED = "SELECT coalesce(sum(count), 0)::int AS count, coalesce(sum(told), 0)::int AS told FROM refusal WHERE tenant = 'default'"
RECORDS = "SELECT body FROM record WHERE tenant = 'default' AND kind = 'access' ORDER BY seq"


async def minute_over(database: Database) -> None:
    """Let the minute pass, and somebody close it."""
    async with database.transaction("default") as tx:
        await tx.execute("UPDATE refusal SET minute = minute - interval '1 minute' WHERE tenant = 'default'")
        await refusals.close(tx)


async def bodies(database: Database, event: str) -> list[dict[str, object]]:
    async with database.transaction("default") as tx:
        return [row["body"] for row in await tx.fetch(RECORDS) if row["body"]["event"] == event]


async def put(kept: Refusals, source: str, count: int) -> None:
    await asyncio.gather(*(kept.put("default", source, {"event": "refused", "by": source}) for _ in range(count)))


async def total(database: Database) -> int:
    """Count what was refused: what is on record by itself, and what the lines of closed minutes say."""
    told, more = await bodies(database, "refused"), await bodies(database, "refused more")
    return len(told) + sum(int(str(body["count"])) for body in more)


async def test_of_a_flood_the_first_are_records_and_the_rest_is_one_line_for_each_source(database: Database) -> None:
    # Two processes, which know nothing of each other.
    first, second = Refusals(database, "web"), Refusals(database, "web")
    await asyncio.gather(put(first, "a", 900), put(second, "a", 600), put(first, "b", 3))
    # A minute may end anywhere in the test: then there are two of them.
    await minute_over(database)
    by_source = Counter(str(body["by"]) for body in await bodies(database, "refused"))
    assert refusals.ATTEMPTS.source <= by_source["a"] <= 2 * refusals.ATTEMPTS.source and by_source["b"] == 3
    assert 1 <= len(await bodies(database, "refused more")) <= 2
    assert await total(database) == 1503


async def test_a_flood_from_many_sources_is_bounded_as_a_whole(database: Database) -> None:
    kept = Refusals(database, "web")
    count = refusals.SOURCES + 500
    await asyncio.gather(*(kept.put("default", f"10.0.{nth // 250}.{nth % 250}", {"event": "refused"}) for nth in range(count)))
    async with database.transaction("default") as tx:
        rows = await tx.value("SELECT count(*) FROM refusal WHERE tenant = 'default'")
    assert rows <= 2 * (refusals.SOURCES + 1)
    assert len(await bodies(database, "refused")) <= 2 * refusals.ATTEMPTS.channel
    await minute_over(database)
    assert await total(database) == count
    async with database.transaction("default") as tx:
        assert dict(await tx.row(COUNTED) or {}) == {"count": 0, "told": 0}


async def test_what_was_refused_is_kept_before_the_answer_and_a_failure_is_told(database: Database, database_url: str) -> None:
    gone = await Database.connect(database_url, size=2)
    kept = Refusals(gone, "web")
    await put(kept, "a", 1)
    assert len(await bodies(database, "refused")) == 1
    await gone.close()
    failures = await asyncio.gather(*(kept.put("default", "a", {}) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(failure, Exception) for failure in failures)
