"""Words on a run, on a real Postgres: each changes the row once, is on record, and leaves a wake-up."""

import asyncio

import pytest

from contracts.operations import Operated, StepWord, Word
from database import Database
from ledger import operations, records, runs, steps
from tests.integration.ledger.rows import LINEAGE, open_run

ANN, BEN = Word(by="ann", reason="lunch"), Word(by="ben")
STEP = """
INSERT INTO plan_step (tenant, lineage, step, decision, position, tool, arguments, status, ended_at, n)
VALUES ('default', $1, $2, 'd1', 1, 'blog.publish', '{}', $3, CASE WHEN $3 = 'planned' THEN NULL ELSE now() END, 1)
"""
DECISION = "INSERT INTO decision (tenant, lineage, step, result) VALUES ('default', $1, 'd1', '{}')"


async def said(database: Database, name: str, word: Word = ANN, **given: object) -> Operated:
    """Say one word on the run in a transaction of its own."""
    async with database.transaction("default") as tx:
        return await getattr(operations, name)(tx, LINEAGE, word, channel="test", **given)


async def events(database: Database) -> list[str]:
    """Return what is on record."""
    async with database.transaction("default") as tx:
        return [row["body"]["event"] for row in await records.of_run(tx, LINEAGE)]


async def wakes(database: Database) -> int:
    """Count the wake-ups that were left."""
    async with database.transaction("default") as tx:
        return await tx.value("SELECT count(*) FROM outbox WHERE body ->> 'run' = 'true'")


async def test_a_pause_and_a_resume_change_the_row_once_each(database: Database) -> None:
    await open_run(database)
    first, second = await said(database, "pause"), await said(database, "pause", BEN)
    assert first.changed and not second.changed and "paused by ann since " in second.message and second.message.endswith(": lunch already")
    async with database.transaction("default") as tx:
        standing = await operations.standing(tx, LINEAGE)
    assert standing.paused is not None and (standing.paused.by, standing.paused.reason) == ("ann", "lunch")
    assert (await said(database, "resume", BEN)).changed and not (await said(database, "resume", BEN)).changed
    assert await events(database) == ["paused", "resumed"] and await wakes(database) == 2
    async with database.transaction("default") as tx:
        assert (await operations.standing(tx, LINEAGE)).paused is None


async def test_of_many_pauses_at_once_one_is_on_record(database: Database) -> None:
    await open_run(database)
    results = await asyncio.gather(*(said(database, "pause", Word(by=f"person-{nth}")) for nth in range(10)))
    assert sum(result.changed for result in results) == 1 and await events(database) == ["paused"]


async def test_a_second_cancel_changes_nothing_and_says_what_stands(database: Database) -> None:
    await open_run(database)
    assert (await said(database, "cancel", ending="keep")).changed
    again = await said(database, "cancel", BEN, ending="undo")
    assert again.accepted and not again.changed and "is being cancelled by ann" in again.message and "leaving what it did" in again.message
    assert "is being cancelled by ann" in (await said(database, "pause", BEN)).message
    async with database.transaction("default") as tx:
        assert (await operations.standing(tx, LINEAGE)).ending == "keep"


@pytest.mark.parametrize("name", ["pause", "resume", "cancel", "retry"])
async def test_a_run_that_has_ended_is_left_alone(database: Database, name: str) -> None:
    await open_run(database)
    async with database.transaction("default") as tx:
        await runs.close(tx, LINEAGE, "completed", "")
    given = {"cancel": {"ending": None}, "retry": {"claim": "c"}}.get(name, {})
    result = await said(database, name, StepWord(by="ann", step="a") if name == "retry" else ANN, **given)
    assert not result.accepted and "wf-1 is completed since" in result.message and await events(database) == []


@pytest.mark.parametrize(("status", "n"), [("failed", 2), ("denied", 2), ("unknown", 1)])
async def test_a_step_is_opened_once_for_each_word_and_its_number_rises_where_it_surely_did_not_happen(
    database: Database, status: str, n: int
) -> None:
    await open_run(database)
    async with database.transaction("default") as tx:
        await tx.execute(DECISION, LINEAGE)
        await tx.execute(STEP, LINEAGE, "a", status)
    for _ in range(2):
        assert (await said(database, "retry", StepWord(by="ann", step="a"), claim="c1")).accepted
    async with database.transaction("default") as tx:
        row = await steps.read(tx, LINEAGE, "a")
        assert row is not None and (row.status, row.n, row.retries, row.ended_at) == ("planned", n, 1, None)
        assert (await operations.standing(tx, LINEAGE)).retries == {"a": 1}
    assert await events(database) == ["retried"]


async def test_a_word_from_another_tenant_finds_no_run(database: Database) -> None:
    await open_run(database)
    async with database.transaction("other") as tx:
        assert (await operations.pause(tx, LINEAGE, ANN, channel="test")).message == "there is no such run"
    assert await events(database) == []
