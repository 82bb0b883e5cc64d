"""Perdure in a fake Slack: a real Postgres, deliveries that are signed and answered over HTTP or a socket."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from channels.operating import Connect
from channels.slack import program
from channels.slack.poster import Channels, Poster
from channels.slack.program import Slack
from contracts.errors import StackError
from database import Database
from devstack import fake_slack, web_server
from devstack.fake_slack import FakeSlack, Message
from devstack.fake_slack.server import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET
from devstack.fake_slack.workspace import TEAM
from ledger import approvals, directory
from ledger.approvals import Request
from ledger.directory import Person
from settings import Settings
from tests.integration.ledger import rows

CHANNEL, FINANCE = "C0OWNERS", "C0FINANCE"
ANN, BOB, EVE = "U0ANN", "U0BOB", "U0EVE"


async def no_temporal() -> NoReturn:
    """Stand for a Temporal that is down."""
    raise StackError("Temporal is down")


@dataclass
class Stand:
    """What a test can do with it. Ann may rule as editor, Bob operates, Eve is in the workspace and in no directory."""

    fake: FakeSlack
    slack: Slack
    database: Database
    settings: Settings
    connect: Connect

    async def ask(self, id: str = "apr-1", **given: Any) -> Request:
        """Ask for an approval, and have it shown."""
        made = replace(rows.request(id), **given)
        async with self.database.transaction("default") as tx:
            await approvals.ask(tx, made)
        await self.slack.parts.poster.look()
        return made

    async def request(self, id: str = "apr-1") -> Request:
        """Return a request as it stands."""
        async with self.database.transaction("default") as tx:
            found = await approvals.read(tx, id)
        assert found is not None
        return found

    async def refusals(self) -> list[dict[str, Any]]:
        """Return what was refused, in order."""
        async with self.database.transaction("default") as tx:
            found = await tx.fetch("SELECT body FROM record WHERE tenant = 'default' AND kind = 'access' ORDER BY seq")
        return [row["body"] for row in found if row["body"].get("event") == "refused"]

    async def rulings(self, id: str = "apr-1") -> int:
        """Return how often a request was ruled."""
        async with self.database.transaction("default") as tx:
            return await tx.value("SELECT count(*) FROM record WHERE tenant = 'default' AND id = $1", f"{id}/ruled")

    def cards(self, channel: str = CHANNEL) -> list[Message]:
        """Return a channel's messages."""
        return self.fake.workspace.in_channel(channel)

    @property
    def card(self) -> Message:
        """The only message of the owners' channel."""
        (found,) = self.cards()
        return found

    def whispers(self, user: str, channel: str = CHANNEL) -> list[str]:
        """Return what one person alone was told."""
        return [message.text for message in self.fake.workspace.in_channel(channel, only=user)]

    async def settled(self) -> None:
        """Wait until nothing that a delivery began is under way."""
        await self.slack.parts.work.idle()

    def another_poster(self) -> None:
        """Have the poster of another program take over, whom Slack has not asked to be left alone."""
        parts, given = self.slack.parts, self.settings
        channels = Channels(given.slack_channels, given.slack_channel, given.slack_alerts)
        poster = Poster(self.database, parts.tenant, parts.desk, parts.workspace, channels)
        self.slack = replace(self.slack, parts=replace(parts, poster=poster))

    async def press(self, user: str, action: str, where: Message | fake_slack.View | None = None) -> fake_slack.Reply:
        """Press a button, of the card unless another place is named, and wait for all that comes of it."""
        reply = await self.fake.people.press(user, where or self.card, action)
        await self.settled()
        return reply

    async def form(self, user: str, action: str) -> fake_slack.View:
        """Press a button that opens a form and return the form."""
        before = set(self.fake.workspace.views)
        await self.press(user, action)
        (opened,) = set(self.fake.workspace.views) - before
        return self.fake.workspace.views[opened]


def configured(fake: FakeSlack, folder: Path, *, socket: bool = False, **changes: Any) -> Settings:
    """Return settings of an installation whose Slack is the fake one."""
    folder.mkdir(exist_ok=True)
    (folder / "SLACK_BOT_TOKEN").write_text(BOT_TOKEN)
    (folder / "SLACK_SIGNING_SECRET").write_text(SIGNING_SECRET)
    if socket:
        (folder / "SLACK_APP_TOKEN").write_text(APP_TOKEN)
    given = {"slack_channel": CHANNEL, "slack_api": fake.api_url, "secrets": folder, **changes}
    return Settings.model_validate(given)


async def staff(database: Database, fake: FakeSlack) -> None:
    """Let Ann, Bob and Eve into the workspace, and the first two into the directory."""
    for user in (ANN, BOB, EVE):
        fake.workspace.add_user(user)
    people = [
        Person("ann", "Ann", "approver", frozenset({"editor"}), TEAM, ANN),
        Person("bob", "Bob", "operator", frozenset({"finance"}), TEAM, BOB),
    ]
    async with database.transaction("default") as tx:
        for person in people:
            await directory.put(tx, person, "tester")


@asynccontextmanager
async def standing(
    database: Database, folder: Path, *, socket: bool = False, connect: Connect = no_temporal, **changes: Any
) -> AsyncGenerator[Stand]:
    """Open a stand: a run that is under way, people, two channels, and Slack's program without its loop."""
    async with fake_slack.serving() as fake:
        for channel in (CHANNEL, FINANCE):
            fake.workspace.add_channel(channel)
        await staff(database, fake)
        await rows.open_run(database)
        settings = configured(fake, folder / "secrets", socket=socket, **changes)
        async with (
            program.opened(settings, database, connect, ping_seconds=0.2) as slack,
            web_server.listening(slack.door.application) as url,
        ):
            fake.people.request_url = f"{url}/slack/events"
            if slack.socket:
                await slack.socket.connect_async()
                await fake.sockets.connected()
            yield Stand(fake, slack, database, settings, connect)
