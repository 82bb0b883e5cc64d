"""Steps of a plan on a real Postgres."""

import pytest

from contracts.plans import PlanStep
from database import Database
from ledger import decisions, steps
from tests.integration.ledger.rows import LINEAGE, open_run


@pytest.fixture(autouse=True)
async def _planned(database: Database) -> None:
    await open_run(database)
    async with database.transaction("default") as tx:
        taken = await decisions.take(tx, LINEAGE, "plan-1")
        assert taken is not None
        await decisions.finish(tx, taken.hold, {}, {}, steps=[PlanStep(id=id, tool="t", arguments={"x": 1}) for id in ("a", "b", "c")])


async def read(database: Database, step: str = "a") -> steps.StepRow:
    async with database.transaction("default") as tx:
        row = await steps.read(tx, LINEAGE, step)
    assert row is not None
    return row


async def test_what_has_ended_stays_as_it_is(database: Database) -> None:
    async with database.transaction("default") as tx:
        await steps.end(tx, LINEAGE, "a", "done", output={"n": 1})
        await steps.end(tx, LINEAGE, "a", "failed", "late")
        await steps.mark(tx, LINEAGE, "a", "wait", "late")
        await steps.rewrite(tx, LINEAGE, "a", {"late": True})
    row = await read(database)
    assert (row.status, row.arguments, row.output) == ("done", {"x": 1}, {"n": 1})


async def test_an_open_step_says_what_it_waits_for_and_takes_a_persons_arguments(database: Database) -> None:
    async with database.transaction("default") as tx:
        await steps.mark(tx, LINEAGE, "a", "needs_approval", "x" * 900)
        await steps.rewrite(tx, LINEAGE, "a", {"y": 2})
    row = await read(database)
    assert (row.status, row.detail, row.arguments, row.ended_at) == ("needs_approval", "x" * 500, {"y": 2}, None)


async def test_n_rises_by_one_and_once(database: Database) -> None:
    for n in (2, 2, 4, 3):
        async with database.transaction("default") as tx:
            await steps.again(tx, LINEAGE, "a", n)
    assert (await read(database)).n == 3


async def test_open_steps_are_skipped_at_the_end(database: Database) -> None:
    async with database.transaction("default") as tx:
        await steps.end(tx, LINEAGE, "a", "done")
        assert await steps.skip_open(tx, LINEAGE, "the run ended") == 2
        assert [row.status for row in await steps.of_run(tx, LINEAGE)] == ["done", "skipped", "skipped"]


async def test_steps_are_seen_by_their_tenant_only(database: Database) -> None:
    async with database.transaction("other") as tx:
        assert await steps.of_run(tx, LINEAGE) == [] and await steps.read(tx, LINEAGE, "a") is None
        assert await steps.skip_open(tx, LINEAGE, "x") == 0
        await steps.end(tx, LINEAGE, "a", "done")
    assert (await read(database)).status == "planned"
