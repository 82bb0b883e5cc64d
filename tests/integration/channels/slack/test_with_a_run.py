"""Slack and a run that waits: what is pressed there is what the run goes on with, and Temporal's pace is nobody's wait."""

import asyncio
from pathlib import Path

from temporalio.client import Client

from channels.slack import program
from channels.slack.forms import REASON
from database import Database
from devstack import fake_slack, web_server
from devstack.fake_slack.workspace import TEAM
from ledger import directory
from ledger.directory import Person
from tests.house import House, plan, statuses, step
from tests.slack import ANN, CHANNEL, configured, standing


async def test_a_run_waits_in_slack_and_goes_on_with_what_was_pressed_there(house: House, tmp_path: Path) -> None:
    async def connect() -> Client:
        return house.client

    async with fake_slack.serving() as fake:
        fake.workspace.add_channel(CHANNEL)
        fake.workspace.add_user(ANN)
        async with house.database.transaction("default") as tx:
            await directory.put(tx, Person("ann", "Ann", "approver", frozenset({"owner"}), TEAM, ANN), "tester")
        settings = configured(fake, tmp_path / "secrets", one_machine=True)
        async with program.opened(settings, house.database, connect) as slack, web_server.listening(slack.door.application) as url:
            fake.people.request_url = f"{url}/slack/events"
            handle = await house.start(plan(step("a", note="one", ask=True), step("b", note="two", ask=True)))
            await house.waiting(handle, 2)
            await slack.parts.poster.look()
            first, second = sorted(fake.workspace.in_channel(CHANNEL), key=lambda message: message.text)
            await fake.people.press(ANN, first, "approve")
            await fake.people.press(ANN, first, "approve")
            await fake.people.press(ANN, second, "reject")
            await slack.parts.work.idle()
            (form,) = fake.workspace.views.values()
            await fake.people.submit(ANN, form, {REASON: "one is enough"})
            await slack.parts.work.idle()
            await house.ended(handle)
            found = await house.explained(handle)
            assert statuses(found) == {"a": "done", "b": "refused"}
            assert await house.notes() == ["one"] and set((await house.calls()).values()) == {1}
            await slack.parts.poster.look()
            assert [message.buttons for message in fake.workspace.in_channel(CHANNEL)] == [[], []]


async def test_slack_has_its_answer_while_temporal_has_none(database: Database, tmp_path: Path) -> None:
    answered = asyncio.Event()

    async def never_before() -> Client:
        await answered.wait()
        raise OSError("Temporal is down after all")

    async with standing(database, tmp_path, connect=never_before) as stand:
        await stand.ask()
        reply = await stand.fake.people.press(ANN, stand.card, "approve")
        await stand.settled()
        assert reply.status == 200 and (await stand.request()).state == "approved"
        assert stand.card.buttons == []
        async with database.transaction("default") as tx:
            assert await tx.value("SELECT count(*) FROM outbox WHERE tenant = 'default' AND sent_at IS NULL") == 1
        answered.set()
