"""A run that ended while its request was open: whoever speaks then, over whichever channel, is told so, and nothing happens."""

from pathlib import Path
from typing import Any

from pydantic import SecretStr

from channels.cli.approvals import rule
from database import Database
from ledger import approvals, runs
from settings import Settings
from tests.integration.channels.console.conftest import served
from tests.integration.ledger import rows
from tests.slack import ANN, staff, standing

__all__ = ["served"]
LATE = "already decided: cancelled"


async def end_run(database: Database) -> None:
    async with database.transaction("default") as tx:
        await approvals.cancel_open(tx, rows.LINEAGE)
        await runs.close(tx, rows.LINEAGE, "cancelled", "")


async def test_who_speaks_after_the_end_is_told_so_over_every_channel(
    database: Database, database_url: str, served: Any, tmp_path: Path
) -> None:
    async with standing(database, tmp_path) as stand, served() as console, console.visitor("ann") as ann:
        await staff(database, stand.fake)
        request = await stand.ask()
        card = stand.card
        form = await ann.load("/requests/apr-1")
        assert "Approve" in form.text and card.buttons
        await end_run(database)
        # The card and the page are still as they were when somebody presses.
        await stand.fake.people.press(ANN, card, "approve")
        await stand.settled()
        assert stand.whispers(ANN) == [LATE]
        answer = await ann.send("/requests/apr-1/approve", digest=request.digest)
        assert answer.status_code == 409 and LATE in answer.text
        settings = Settings(database_url=SecretStr(database_url), one_machine=True, state=tmp_path)
        said = await rule(settings, "default", rows.ruling())
        assert (said.accepted, said.message) == (False, LATE)
        assert stand.card.buttons == [] and "cancelled" in str(stand.card.blocks)
        await stand.slack.parts.poster.look()
        assert len(stand.cards()) == 1
        async with database.transaction("default") as tx:
            channels = await tx.fetch(
                "SELECT body ->> 'channel' AS channel FROM record WHERE tenant = 'default' AND kind = 'access' AND body ->> 'why' = $1",
                LATE,
            )
            assert await tx.value("SELECT count(*) FROM outbox WHERE tenant = 'default'") == 0
    assert {row["channel"] for row in channels} == {"slack", "web", "cli"}
