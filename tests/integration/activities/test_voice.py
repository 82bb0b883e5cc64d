"""What a model says is passed on beside the decision: a few times a second, and never to the decision's harm."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from activities import voice
from activities.voice import Voice
from database import Database
from ledger import decisions, runs, said_so_far
from ledger.decisions import Hold
from ledger.said_so_far import Saying
from tests.integration.ledger import rows
from tests.integration.ledger.rows import LINEAGE
from tests.servers import until


@pytest.fixture
async def hold(database: Database) -> Hold:
    return await taken(database)


async def taken(database: Database) -> Hold:
    async with database.transaction("default") as tx:
        await runs.open_run(tx, rows.run(), limit_micros=1_000_000)
        found = await decisions.take(tx, LINEAGE, "d1")
    assert found is not None
    return found.hold


async def shown(database: Database) -> list[Saying]:
    async with database.transaction("default") as tx:
        return await said_so_far.shown(tx, [LINEAGE])


async def rows_left(database: Database) -> int:
    async with database.transaction("default") as tx:
        return await tx.value("SELECT count(*) FROM said_so_far WHERE tenant = 'default'")


async def until_said(database: Database, text: str) -> None:
    async def said() -> bool:
        return [call.text for call in await shown(database)] == [text]

    await until(said)


class Counting(Database):
    """A database that counts what is asked of it by statements of their own, and fails them when told to."""

    def __init__(self, database: Database) -> None:
        super().__init__(database._pool)  # pyright: ignore[reportPrivateUsage]
        self.count = 0
        self.fault: Exception | None = None

    def once(self, tenant: str) -> Any:
        self.count += 1
        if self.fault:
            raise self.fault
        return super().once(tenant)


async def test_what_is_said_is_there_while_it_is_said_and_gone_with_the_decision(database: Database, hold: Hold) -> None:
    async with Voice(database, "default", hold) as speaking:
        with speaking.call(0) as hear:
            hear("one, ")
            hear("two")
            await until_said(database, "one, two")
            hear(", three")
            await until_said(database, "one, two, three")
    assert await rows_left(database) == 0


async def test_what_a_failed_call_said_stays_as_superseded_until_the_next_attempt_has_decided(database: Database, hold: Hold) -> None:
    with pytest.raises(ValueError, match="broken"):
        async with Voice(database, "default", hold) as speaking:
            with speaking.call(0) as hear:
                hear("half an ans")
                raise ValueError("broken")
    assert [(call.state, call.text) for call in await shown(database)] == [("superseded", "half an ans")]
    async with Voice(database, "default", await taken(database)) as again:
        with again.call(0) as hear:
            hear("an answer")
    assert await rows_left(database) == 0


async def test_an_answer_that_is_there_at_once_costs_no_statement(database: Database, hold: Hold) -> None:
    counting = Counting(database)
    async with Voice(counting, "default", hold) as speaking:
        with speaking.call(0) as hear:
            for piece in ("one", "two", "three"):
                hear(piece)
    async with Voice(counting, "default", hold):
        """A decision whose model is not heard at all."""
    assert counting.count == 0


async def test_many_pieces_make_few_writes(database: Database, hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "EVERY", 3600.0)
    counting = Counting(database)
    with pytest.raises(ValueError, match="broken"):
        async with Voice(counting, "default", hold) as speaking:
            with speaking.call(0) as hear:
                for _ in range(1000):
                    hear("piece ")
                    await asyncio.sleep(0)
                raise ValueError("broken")
    assert counting.count == 1 and [call.text for call in await shown(database)] == ["piece " * 1000]


async def test_of_an_endless_answer_the_end_is_kept(database: Database, hold: Hold) -> None:
    with pytest.raises(ValueError, match="broken"):
        async with Voice(database, "default", hold) as speaking:
            with speaking.call(0) as hear:
                for _ in range(100):
                    hear("\0\ud800" * 500)
                hear("the end")
                raise ValueError("broken")
    [call] = await shown(database)
    assert call.said == 100_007 and len(call.text) == said_so_far.LONGEST and call.text.endswith("\ufffd?the end")


@pytest.mark.parametrize("fault", [OSError("the database is down"), TimeoutError(), RuntimeError("anything")], ids=repr)
async def test_a_database_that_takes_nothing_hurts_nobody_and_is_told_once(database: Database, hold: Hold, fault: Exception) -> None:
    counting = Counting(database)
    counting.fault = fault
    with capture_logs() as logs:
        async with Voice(counting, "default", hold) as speaking:
            for idx in (0, 1):
                with speaking.call(idx) as hear:
                    hear("one")

                    async def tried(before: int = counting.count) -> bool:
                        return counting.count > before

                    await until(tried)
    assert [log["event"] for log in logs] == ["what the model says cannot be shown"]


async def test_a_table_that_is_locked_keeps_no_decision_waiting(database: Database, hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "WRITE_SECONDS", 0.3)
    async with database.transaction("default") as tx:
        await tx.execute("INSERT INTO said_so_far (tenant, lineage, step, fence, idx, state, said, text) "
                         "VALUES ('default', $1, 'd1', 1, 0, 'saying', 1, 'x')", LINEAGE)  # fmt: skip
        # The row is another's until its transaction ends, which it does not.
        async with Voice(database, "default", hold) as speaking:
            with speaking.call(0) as hear:
                hear("one")
                await asyncio.sleep(2 * voice.EVERY)
    assert await rows_left(database) in (0, 1)


async def test_a_cancelled_decision_leaves_no_writer_behind(database: Database, hold: Hold) -> None:
    async def decide() -> None:
        async with Voice(database, "default", hold) as speaking:
            with speaking.call(0) as hear:
                hear("half")
                await asyncio.sleep(3600)

    before = asyncio.all_tasks()
    deciding = asyncio.create_task(decide())
    await until_said(database, "half")
    deciding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deciding
    assert asyncio.all_tasks() == before
    assert [call.state for call in await shown(database)] == ["superseded"]
