"""Claims that raw signals make: each refusal is on record, until a run has been told more in a minute than there is room for."""

from collections.abc import AsyncGenerator

import pytest

from activities.rulings import Ruling
from activities.services import services
from channels.cli import automations
from channels.explain import explain
from contracts import names
from contracts.approvals import Claim, RuleRequest
from contracts.operations import Word
from database import Database
from ledger import refusals, runs
from policies import bundles
from settings import Settings
from tests.house import AUTOMATIONS
from tests.integration.ledger import rows

# The test may go on for some minutes, and each of them has its room.
FULL = """
INSERT INTO refusal (tenant, channel, source, minute, count, told)
SELECT 'default', 'signal', $1, date_trunc('minute', now()) + make_interval(mins => nth), $2, $2 FROM generate_series(0, 30) AS nth
"""
OVER = "UPDATE refusal SET minute = minute - interval '1 hour' WHERE tenant = 'default'"
NO_SIGNAL = Claim(signal="approve", why="there is no signal 'approve'")
NO_REQUEST = Claim.model_validate({"signal": names.DECIDE, "ruling": {"request": "apr-none", "verdict": "approve", "by": "eve"}})
NOT_PROVED = Claim(signal=names.PAUSE, word=Word(by="eve"))
CLAIMS = (NO_SIGNAL, NO_REQUEST, NOT_PROVED)


@pytest.fixture
async def ruling(database: Database) -> AsyncGenerator[Ruling]:
    """Where others share the machine, and a run is under way."""
    bundle = automations.load(AUTOMATIONS / "probe")
    async with database.transaction("default") as tx:
        await bundles.apply(tx, bundle, "tester")
        await runs.open_run(tx, rows.run(automation="probe", bundle=bundle.hash), limit_micros=1_000_000)
    made = services(Settings(one_machine=False), database)
    yield Ruling(made)
    await made.registry.close()


async def hear(ruling: Ruling, claim: Claim, nth: int) -> None:
    request = RuleRequest(tenant="default", lineage=rows.LINEAGE, nth=nth, claim=claim)
    assert not (await ruling.rule(request)).accepted


async def told(database: Database) -> list[tuple[str, int]]:
    """Return the events of the run's refusals, each with the count that it says."""
    async with database.transaction("default") as tx:
        found = await runs.read(tx, rows.LINEAGE)
        assert found is not None
        return [(moment.body["event"], moment.body.get("count", 1)) for moment in (await explain(tx, found)).refusals]


async def test_each_refused_claim_is_on_record_once_however_often_it_is_handed_over(ruling: Ruling, database: Database) -> None:
    for _ in range(2):
        for nth, claim in enumerate(CLAIMS):
            await hear(ruling, claim, nth)
    assert await told(database) == [("refused", 1)] * 3


async def test_of_a_flood_of_signals_a_run_keeps_what_there_is_room_for_and_how_many_more_there_were(
    ruling: Ruling, database: Database
) -> None:
    room = refusals.RULINGS.source - 1
    async with database.transaction("default") as tx:
        await tx.execute(FULL, rows.LINEAGE, room)
    for nth in range(40):
        await hear(ruling, CLAIMS[nth % 3], nth)
    kept = await told(database)
    # A minute may have ended on the way, and then the next one had room again.
    assert 1 <= len(kept) < 20 and set(kept) <= {("refused", 1), ("refused more", 39)}, kept
    async with database.transaction("default") as tx:
        await tx.execute(OVER)
        await refusals.close(tx)
    assert sum(count for _, count in await told(database)) == 40
