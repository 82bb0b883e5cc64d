"""Socket mode: the same as over HTTP, over a socket that breaks."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from channels.slack.forms import REASON
from database import Database
from tests.slack import ANN, EVE, Stand, standing


@pytest.fixture
async def socketed(database: Database, tmp_path: Path) -> AsyncGenerator[Stand]:
    """Slack over a socket."""
    async with standing(database, tmp_path, socket=True) as made:
        yield made


async def test_a_press_over_the_socket_rules(socketed: Stand) -> None:
    await socketed.ask()
    assert (await socketed.press(ANN, "approve")).status == 200
    assert (await socketed.request()).state == "approved"
    assert socketed.card.buttons == []


async def test_a_forms_errors_come_back_over_the_socket(socketed: Stand) -> None:
    await socketed.ask()
    form = await socketed.form(ANN, "reject")
    assert (await socketed.fake.people.submit(ANN, form, {})).errors == {REASON: "a rejection needs a reason"}


async def test_an_envelope_that_comes_again_after_a_dropped_socket_rules_once(socketed: Stand) -> None:
    await socketed.ask()
    socketed.fake.faults.dropped_sockets = 1
    reply = await socketed.press(ANN, "approve")
    assert reply.status == 200 and socketed.fake.sockets.connections == 2
    assert await socketed.rulings() == 1 and socketed.whispers(ANN) == []


async def test_an_envelope_delivered_twice_rules_once(socketed: Stand) -> None:
    await socketed.ask()
    socketed.fake.faults.delivered_twice = 1
    await socketed.press(ANN, "approve")
    assert await socketed.rulings() == 1 and socketed.whispers(ANN) == []


async def test_a_stranger_over_the_socket_rules_nothing(socketed: Stand) -> None:
    await socketed.ask()
    await socketed.press(EVE, "approve")
    assert (await socketed.request()).state == "pending" and len(await socketed.refusals()) == 1
