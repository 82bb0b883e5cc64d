"""One request in a browser and in Slack at once: the click and the press meet at the row, and one of them decides."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect
from temporalio.client import Client

from channels.slack import program
from channels.slack.program import Slack
from devstack import fake_slack, web_server
from devstack.fake_slack import FakeSlack, Message
from devstack.fake_slack.workspace import TEAM
from ledger import directory
from tests.e2e.test_console import browser, console, house, pytestmark, served, visiting, waiting
from tests.house import House
from tests.integration.channels.console.conftest import Console
from tests.servers import until
from tests.slack import ANN, CHANNEL, configured

__all__ = ["browser", "console", "house", "pytestmark", "served"]
LOCK = "SELECT id FROM approval WHERE tenant = 'default' AND id = $1 FOR UPDATE"
QUEUED = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FROM approval WHERE%FOR UPDATE%'
"""
DECIDED = r"already decided by {} at \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC"


@dataclass
class Beside:
    """Slack, which shows the same requests as the console. Ann is an owner with an account there, Ada one in the console."""

    fake: FakeSlack
    slack: Slack

    @property
    def card(self) -> Message:
        """The only card."""
        (found,) = self.fake.workspace.in_channel(CHANNEL)
        return found


@pytest.fixture
async def slack(house: House, console: Console, tmp_path: Path) -> AsyncGenerator[Beside]:
    async def connect() -> Client:
        return house.client

    async with fake_slack.serving() as fake:
        fake.workspace.add_channel(CHANNEL)
        fake.workspace.add_user(ANN)
        async with house.database.transaction("default") as tx:
            ann = await directory.person(tx, "ann")
            assert ann is not None
            await directory.put(tx, replace(ann, groups=frozenset({"owner"}), slack_team=TEAM, slack_user=ANN), "tester")
        settings = configured(fake, tmp_path / "secrets", one_machine=True)
        async with program.opened(settings, house.database, connect) as opened, web_server.listening(opened.door.application) as url:
            fake.people.request_url = f"{url}/slack/events"
            yield Beside(fake, opened)


@asynccontextmanager
async def held(house: House, request: str) -> AsyncGenerator[None]:
    """Hold a request's row, so that who comes now has to queue for it."""
    async with house.database.transaction("default") as tx:
        await tx.value(LOCK, request)
        yield


async def queued(house: House, count: int) -> None:
    """Wait until so many queue for a row."""

    async def check() -> bool:
        async with house.database.transaction("default") as tx:
            return await tx.value(QUEUED) == count

    await until(check)


@pytest.mark.parametrize("first", ["web", "slack"])
async def test_a_click_and_a_press_at_once_make_one_decision(
    browser: Browser, house: House, console: Console, slack: Beside, first: str
) -> None:
    handle, request = await waiting(house)
    await slack.slack.parts.poster.look()
    async with visiting(browser, console) as page, visiting(browser, console, "vera") as other:
        await other.goto(f"/runs/{handle.id}")
        await expect(other.locator("body[data-connected]")).to_be_attached()
        button = await open_card(page, request.id)
        words = [button.click, lambda: slack.fake.people.press(ANN, slack.card, "approve")]
        async with held(house, request.id):
            for nth, word in enumerate(words if first == "web" else reversed(words), 1):
                await word()
                await queued(house, nth)
        winner, channel = ("ada", "web") if first == "web" else ("ann", "slack")
        await expect(page.locator("#card [data-result].good")).to_have_count(int(first == "web"))
        if first == "slack":
            await expect(page.locator("#card [data-result]")).to_have_text(re.compile(DECIDED.format("ann")))
        await slack.slack.parts.work.idle()
        await told(slack, [] if first == "slack" else [DECIDED.format("ada")])
        # Nobody has touched the other page.
        await expect(other.locator("#timeline")).to_contain_text(f"approved by {winner} over {channel}")
        await expect(other.locator("header .state")).to_have_text("completed")
    await house.ended(handle)
    assert set((await house.calls()).values()) == {1} and await house.notes() == ["one", "two"]
    await rewritten(slack, winner)


async def open_card(page: Page, request: str) -> Any:
    """Open a request's page and return its button."""
    await page.goto(f"/requests/{request}")
    button = page.locator("form[data-rule=approve]").get_by_role("button")
    await expect(button).to_be_visible()
    return button


async def told(slack: Beside, expected: list[str]) -> None:
    """See what Ann alone was told."""
    heard = [message.text for message in slack.fake.workspace.in_channel(CHANNEL, only=ANN)]
    assert len(heard) == len(expected) and all(map(re.match, expected, heard)), heard


async def rewritten(slack: Beside, winner: str) -> None:
    """See that the card says how it ended, and can be pressed no more."""

    async def done() -> bool:
        await slack.slack.parts.poster.look()
        return slack.card.buttons == []

    await asyncio.wait_for(until(done), 60)
    assert f"by {winner} at" in str(slack.card.blocks)
