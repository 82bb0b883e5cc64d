"""Live events: every record reaches whoever watches, whatever the order of commits, and after every break."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg
import pytest

from channels import events
from channels.events import Publisher, Watcher
from channels.speech import Progress
from contracts.errors import BadInput
from database import SEARCH_PATH, Database
from ledger import decisions, feed, records, runs, said_so_far
from ledger.decisions import Hold
from ledger.feed import Entry
from ledger.said_so_far import Key, State
from tests.integration.ledger import rows
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
        self.heard: list[Progress] = []

    @property
    def names(self) -> list[str]:
        return [entry.body["event"] for entry in self.seen]

    async def follow(self, publisher: Publisher, database: Database, lineage: str | None, after: str) -> None:
        async for news in events.entries(publisher, database, "default", lineage, after):
            self.heard += [one for one in news if isinstance(one, Progress)]
            self.seen += [one for one in news if isinstance(one, Entry)]

    @property
    def text(self) -> dict[str, str]:
        """What the page shows of each call, superseded ones in brackets."""
        texts: dict[Key, tuple[str, str]] = {}
        for progress in self.heard:
            if progress.whole:
                texts = {}
            for call in progress.calls:
                before = "" if call.anew else texts[call.key][1]
                texts[call.key] = call.state, before + call.text
            for key in progress.gone:
                texts.pop(key, None)
        shown = {"/".join(map(str, key[1:])): said for key, said in texts.items()}
        return {call: f"[{text}]" if state == "superseded" else text for call, (state, text) in shown.items()}

    async def until_shown(self, **texts: str) -> None:
        async def shown() -> bool:
            return self.text == {key.replace("_", "/"): text for key, text in texts.items()}

        await until(shown)

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


async def deciding(database: Database, step: str = "d1", lineage: str = LINEAGE) -> Hold:
    """Take a decision, as one attempt more."""
    async with database.transaction("default") as tx:
        await runs.open_run(tx, rows.run(lineage), limit_micros=1_000_000)
        taken = await decisions.take(tx, lineage, step)
    assert taken is not None
    return taken.hold


async def say(database: Database, hold: Hold, text: str, *, idx: int = 0, state: State = "saying", said: int | None = None) -> None:
    async with database.once("default") as tx:
        await said_so_far.write(tx, hold, idx, state, len(text) if said is None else said, text)


async def test_what_a_model_says_reaches_the_pages_of_its_run_piece_by_piece(publisher: Publisher, database: Database) -> None:
    begin, hold = await mark(database), await deciding(database)
    async with watching(publisher, database, begin) as page, watching(publisher, database, begin, None) as all:
        await say(database, hold, "one")
        await page.until_shown(d1_1_0="one")
        await say(database, hold, "one, two \U0001f600")
        await page.until_shown(d1_1_0="one, two \U0001f600")
        assert page.heard[-1].calls[0].text == ", two \U0001f600", "only what is new is sent"
        # A page that comes in the middle is shown all of it, and goes on with the others.
        async with watching(publisher, database, begin) as late:
            await late.until_shown(d1_1_0="one, two \U0001f600")
            await say(database, hold, "one, two \U0001f600, three", state="done")
            for each in (late, page):
                await each.until_shown(d1_1_0="one, two \U0001f600, three")
    assert all.heard == []


async def test_what_an_attempt_said_is_superseded_by_the_next_one_and_gone_with_the_record(
    publisher: Publisher, database: Database
) -> None:
    begin, hold = await mark(database), await deciding(database)
    async with watching(publisher, database, begin) as page:
        await say(database, hold, "look it up", state="done")
        await say(database, hold, "half an ans", idx=2)
        await page.until_shown(d1_1_0="look it up", d1_1_2="half an ans")
        again = await deciding(database)
        # What is in the journal counts in the next attempt too.
        await page.until_shown(d1_1_0="look it up", d1_1_2="[half an ans]")
        await say(database, hold, "half an answer, too late", idx=2)
        await say(database, again, "an answer", idx=2)
        await page.until_shown(d1_1_0="look it up", d1_1_2="[half an ans]", d1_2_2="an answer")
        async with database.transaction("default") as tx:
            await decisions.finish(tx, again, {}, {"event": "decided"})
        await page.until_shown()
        await page.until(1)
        await say(database, again, "more", idx=3)
        async with database.transaction("default") as tx:
            assert await said_so_far.shown(tx, [LINEAGE]) == []
            assert await said_so_far.sweep(tx) == 3


async def test_of_a_long_answer_the_end_is_shown(publisher: Publisher, database: Database) -> None:
    begin, hold = await mark(database), await deciding(database)
    async with watching(publisher, database, begin) as page:
        await say(database, hold, "a" * 10)
        await page.until_shown(d1_1_0="a" * 10)
        await say(database, hold, "b" * 70_000, said=200_000)
        await page.until_shown(d1_1_0="b" * said_so_far.LONGEST)
        assert page.heard[-1].calls[0].anew


async def test_only_runs_that_somebody_watches_are_listened_to(publisher: Publisher, database: Database) -> None:
    begin, hold = await mark(database), await deciding(database, lineage="another")
    await say(database, hold, "unheard")
    async with watching(publisher, database, begin) as page, watching(publisher, database, begin, "another") as other:
        await other.until_shown(d1_1_0="unheard")
        await note(database, "a")
        await page.until(1)
    assert [progress.calls for progress in page.heard] == [()]


async def test_what_is_said_of_ended_runs_is_swept_and_what_is_said_now_is_not(database: Database) -> None:
    here, there = await deciding(database), await deciding(database, lineage="another")
    for hold in (here, there):
        await say(database, hold, "x")
    async with database.transaction("default") as tx:
        assert await said_so_far.sweep(tx) == 0
        await tx.execute("UPDATE run SET status = 'failed' WHERE tenant = 'default' AND lineage = $1", "another")
        assert await said_so_far.sweep(tx) == 1
        await tx.execute("UPDATE said_so_far SET at = at - interval '2 hours' WHERE tenant = 'default'")
        assert await said_so_far.sweep(tx) == 1


async def test_a_page_that_is_too_slow_is_sent_away_and_told_nothing_past_what_it_missed() -> None:
    entries = [Entry(nth, "configuration", LINEAGE, None, datetime.now(UTC), {}, 1, 1) for nth in range(events.WAITING)]
    slow = Watcher("default", LINEAGE)
    slow.give(entries[:-1])
    slow.give(entries[-2:])
    assert slow.overrun and await slow.take() == entries[:-1]
    slow.give(entries[-1:])
    assert await slow.take() == []
