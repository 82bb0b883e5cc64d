"""The other pages: runs, calendar, memory, numbers; and the link that logs in at this machine."""

from datetime import UTC, datetime, timedelta

import pytest

from channels.cli import console as command
from contracts.errors import BadInput
from database import Database
from ledger import directory, runs
from ledger.directory import Person
from memory import facts
from memory.facts import NewFact
from memory.writes import WriteKey
from settings import Settings
from tests.integration.channels.console.conftest import Console
from tests.integration.ledger import rows
from tools import documents

NEXT = datetime(2031, 5, 6, 9, 30, tzinfo=UTC)


async def planned(console: Console, entry: str = "e1", state: str = "planned") -> None:
    async with console.database.transaction("default") as tx:
        await runs.open_run(tx, rows.run(), limit_micros=1000)
        body = {"at": NEXT.isoformat(), "channel": "blog", "title": "Retries", "lineage": rows.LINEAGE, "state": state}
        await documents.write(tx, "content-ops", "calendar", entry, body, writer=f"test/{entry}")


async def test_runs_are_found_by_their_words_and_state(console: Console) -> None:
    async with console.database.transaction("default") as tx:
        for nth, word in enumerate(("alpha", "beta_1", "beta%2")):
            await runs.open_run(tx, rows.run(f"lineage-{nth}", workflow_id=f"run-{word}"), limit_micros=1000)
        await runs.close(tx, "lineage-0", "completed", "all done")
    async with console.visitor("vera") as vera:
        assert "run-alpha" in (await vera.load("/runs?q=alpha")).text
        found = (await vera.load("/runs?q=beta_")).text
        assert "run-beta_1" in found and "run-beta%2" not in found
        found = (await vera.load("/runs?status=completed")).text
        assert "run-alpha" in found and "run-beta" not in found and "all done" in found
        for wrong in ("/runs?status=odd", "/runs?limit=0", "/runs?before=x", "/runs?before=2030-01-01T00:00:00/x"):
            assert (await vera.load(wrong)).status_code == 400, wrong


async def test_the_calendar_shows_slots_by_day_and_moves_one(console: Console) -> None:
    await planned(console)
    async with console.visitor("otto") as otto:
        page = (await otto.load("/calendar")).text
        assert "2031-05-06" in page and "Retries" in page and "wf-1" in page
        moved = await otto.send("/calendar/content-ops/e1", at="2031-05-07T10:00")
        assert moved.status_code == 200 and "2031-05-07" in moved.text
        assert (await otto.send("/calendar/content-ops/e1", at="tomorrow")).status_code == 409
        assert (await otto.send("/calendar/content-ops/gone", at="+1h")).status_code == 409
    async with console.database.transaction("default") as tx:
        [body] = [row["body"] for row in await tx.fetch("SELECT body FROM record WHERE tenant = 'default' AND kind = 'configuration'")]
    assert body["event"] == "moved" and body["by"] == "otto"


async def test_the_numbers_are_drawn_and_said(console: Console) -> None:
    await console.asked()
    async with console.visitor("ann") as ann:
        await ann.load("/requests/apr-1")
        await ann.send("/requests/apr-1/approve", digest=rows.DIGEST)
        page = (await ann.load("/numbers")).text
        assert "Runs by day" in page and "by channel" in page and "web" in page and "ann" in page
        assert (await ann.load("/numbers?days=0")).status_code == 400


async def test_one_is_said_as_one_and_two_as_two(console: Console) -> None:
    await console.asked()
    async with console.database.transaction("default") as tx:
        await runs.close(tx, rows.LINEAGE, "completed", "all done")
        count = await tx.value("SELECT count(*) FROM run WHERE tenant = 'default'")
    assert count == 1
    async with console.visitor("ann") as ann:
        await ann.send("/requests/apr-1/approve", digest=rows.DIGEST)
        page = (await ann.load("/numbers")).text
        assert "<b>1 run, 0 failed</b>" in page and "1 of 1 run completed" in page and "<b>1 ruling</b>" in page
        async with console.database.transaction("default") as tx:
            await runs.open_run(tx, rows.run("lineage-2", workflow_id="wf-2"), limit_micros=1000)
        page = (await ann.load("/numbers")).text
        assert "<b>2 runs, 0 failed</b>" in page and "1 of 2 runs completed" in page


async def test_memory_is_shown_and_an_admin_alone_may_forget(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_SECRET_MEMORY_KEY", "k" * 40)
    async with console.visitor("otto") as otto, console.visitor("ada") as ada:
        assert "Nothing is remembered yet" in (await otto.load("/memory")).text
        await otto.load("/inbox")
        assert (await otto.send("/memory/forget", subject="bob", reason="asked to")).status_code == 403
        assert (await ada.send("/memory/forget", subject="", reason="")).status_code == 400
        done = await ada.send("/memory/forget", subject="Bob Smith", reason="asked to")
        assert done.status_code == 200 and "forgotten" in done.text
        async with console.database.transaction("default") as tx:
            await facts.write(tx, WriteKey("l", "s"), [NewFact("Write to bobby@example.com"), NewFact("Mila met \u0411\u043e\u0431")])
        also = "bobby@example.com\n\n\u0411\u043e\u0431\n"
        done = await ada.send("/memory/forget", subject="Bob Smith", reason="asked to", also=also)
        assert done.status_code == 200 and "bobby" not in done.text and "\u0411\u043e\u0431" not in done.text


async def test_the_command_puts_who_is_at_the_machine_into_the_directory_once(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "Mary Ann")
    settings = Settings.model_validate({"one_machine": True, "database_url": database_url, "console_port": 1234})
    urls = [await command._link(settings, "default", None) for _ in range(2)]  # pyright: ignore[reportPrivateUsage]
    assert urls[0] != urls[1] and all(url.startswith("http://127.0.0.1:1234/login/link?key=") for url in urls)
    async with database.transaction("default") as tx:
        assert [(one.id, one.role) for one in await directory.people(tx)] == [("mary-ann", "admin")]
        await directory.put(tx, Person("mary-ann", "M", "admin", disabled=True), "tester")
    for named in (None, "mary-ann", "nobody"):
        with pytest.raises(BadInput):
            await command._link(settings, "default", named)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(BadInput, match="one-machine"):
        await command._link(settings.model_copy(update={"one_machine": False}), "default", None)  # pyright: ignore[reportPrivateUsage]


async def test_a_link_is_good_for_ten_minutes_only(console: Console) -> None:
    link = await console.link("ann")
    async with console.database.transaction("default") as tx:
        await tx.execute("UPDATE console_link SET expires_at = $2 WHERE tenant = $1", tx.tenant, datetime.now(UTC) - timedelta(seconds=1))
    async with console.visitor(None) as nobody:
        assert (await nobody.client.get(link)).status_code == 403
