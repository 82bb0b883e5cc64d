"""Orders that cannot be followed: a flood of them fills no ledger."""

import asyncio

from channels.operating import Operator
from contracts.operations import Word
from database import Database
from ledger import records, refusals, runs
from ledger.refusals import ATTEMPTS
from tests.integration.ledger import rows
from tests.slack import no_temporal

COUNT = 2 * ATTEMPTS.source + 50
OVER = "UPDATE refusal SET minute = minute - interval '1 minute' WHERE tenant = 'default'"


async def nobody(tenant: str) -> None:
    """Wake nobody."""


async def test_of_a_flood_of_orders_that_are_refused_the_first_are_records_and_the_rest_is_a_number(database: Database) -> None:
    await rows.open_run(database)
    operator = Operator(database, no_temporal, nobody, "perdure", "default", "api")
    async with database.transaction("default") as tx:
        await runs.close(tx, rows.LINEAGE, "completed", "all done")
        run = await runs.read(tx, rows.LINEAGE)
    assert run is not None
    for said in (operator.pause, operator.resume):
        answers = await asyncio.gather(*(said(run, Word(by="otto")) for _ in range(COUNT // 2)))
        assert not any(answer.accepted for answer in answers) and "is completed" in answers[0].message
    async with database.transaction("default") as tx:
        await tx.execute(OVER)
        await refusals.close(tx)
        found = [row["body"] for row in await records.of_run(tx, rows.LINEAGE) if row["kind"] == "access"]
        more = await tx.fetch("SELECT body FROM record WHERE tenant = 'default' AND body ->> 'event' = 'refused more'")
    # A minute may end anywhere in the test: then there are two of them.
    assert ATTEMPTS.source <= len(found) <= 2 * ATTEMPTS.source
    assert {(body["by"], body["channel"]) for body in found} == {("otto", "api")} and {body["signal"] for body in found} <= {
        "pause",
        "resume",
    }
    assert len(found) + sum(row["body"]["count"] for row in more) == COUNT
