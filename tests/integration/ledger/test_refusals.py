"""Refused attempts: the first of each minute are records, and of the others not one is lost in number."""

import asyncio
from collections import Counter

from channels.refusals import Refusals
from database import Database
from ledger import records, refusals
from ledger.refusals import Refused, Room
from tests.integration.ledger import rows

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


async def test_an_attempt_that_is_added_again_is_one_record_and_counts_once(database: Database) -> None:
    one = Refused({"event": "refused", "by": "a"}, id="claim/1")
    for _ in range(3):
        async with database.transaction("default") as tx:
            await refusals.add(tx, "signal", {"a": [one]}, Room(1, 1))
    async with database.transaction("default") as tx:
        assert dict(await tx.row(COUNTED) or {}) == {"count": 1, "told": 1}
    await minute_over(database)
    assert len(await bodies(database, "refused")) == 1 and await bodies(database, "refused more") == []


async def test_how_much_a_run_was_told_beyond_its_room_is_on_its_own_page(database: Database) -> None:
    await rows.open_run(database)
    those = [Refused({"event": "refused", "nth": nth}, lineage=rows.LINEAGE, id=f"claim/{nth}") for nth in range(30)]
    async with database.transaction("default") as tx:
        await refusals.add(tx, "signal", {rows.LINEAGE: those, "elsewhere": those[:0]}, Room(10, 20))
    await minute_over(database)
    async with database.transaction("default") as tx:
        found = [row["body"] for row in await records.of_run(tx, rows.LINEAGE) if row["kind"] == "access"]
    assert [body["nth"] for body in found if body["event"] == "refused"] == list(range(10))
    assert [body["count"] for body in found if body["event"] == "refused more"] == [20]


async def test_what_was_refused_is_kept_before_the_answer_and_a_failure_is_told(database: Database, database_url: str) -> None:
    gone = await Database.connect(database_url, size=2)
    kept = Refusals(gone, "web")
    await put(kept, "a", 1)
    assert len(await bodies(database, "refused")) == 1
    await gone.close()
    failures = await asyncio.gather(*(kept.put("default", "a", {}) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(failure, Exception) for failure in failures)
