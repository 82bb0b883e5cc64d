"""Alerts: broken glass is told at once and again when nobody reviews it, and of reviewers who may not read somebody hears."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from channels.slack import program
from contracts.approvals import RuleResult
from database import Database
from ledger import alerts, approvals, directory, reviews, votes
from ledger.directory import Person
from ledger.votes import Vote
from tests.integration.ledger.people import asked, put
from tests.integration.ledger.rows import open_run, request, ruling
from tests.slack import CHANNEL, EVE, FINANCE, TEAM, Stand, no_temporal, standing

ALERTS = "C0ALERTS"
REASON = "the site is down and people wait"


@pytest.fixture
async def watched(database: Database, tmp_path: Path) -> AsyncGenerator[Stand]:
    """Slack with a channel for alerts."""
    async with standing(database, tmp_path, slack_alerts=ALERTS) as made:
        made.fake.workspace.add_channel(ALERTS)
        yield made


async def broken(database: Database, *people: str, id: str = "apr-1") -> RuleResult:
    """Have a request of finance let through by people of the operations."""
    async with database.transaction("default") as tx:
        await approvals.ask(tx, asked(("finance", 2), id=id, break_glass=["ops"]))
    result: RuleResult | None = None
    for name in people:
        person = await put(database, name, "ops")
        async with database.transaction("default") as tx:
            said = ruling(request=id, by=name, reason=REASON, break_glass=True)
            result = await approvals.rule(tx, said, channel="cli", trusted=True, who=person)
    assert result is not None
    return result


async def age(database: Database, hours: float) -> None:
    """Let the review have been due for so long."""
    async with database.transaction("default") as tx:
        await tx.execute("UPDATE review SET due_at = now() - make_interval(hours => $1) WHERE tenant = 'default'", hours)


def texts(stand: Stand, channel: str = ALERTS) -> list[str]:
    return [message.text for message in stand.fake.workspace.in_channel(channel)]


async def look(stand: Stand, times: int = 1) -> None:
    for _ in range(times):
        await stand.slack.parts.poster.look()


async def test_broken_glass_is_told_at_once_and_once(watched: Stand) -> None:
    await broken(watched.database, "joe")
    await look(watched)
    assert texts(watched) == []
    assert (await broken(watched.database, "joe", "kim")).message == "approved by kim"
    await look(watched, 3)
    (said,) = texts(watched)
    assert said.startswith("The glass was broken: joe and kim let blog.publish (s1 of wf-1) through against its stages; by 20")
    assert "starter.py review apr-1" in said


async def test_a_review_that_is_overdue_alerts_again_each_day_until_it_is_done(watched: Stand) -> None:
    await broken(watched.database, "joe", "kim")
    await look(watched)
    for hours in (1, 2, 25, 26):
        await age(watched.database, hours)
        await look(watched)
    said = texts(watched)
    assert len(said) == 3 and all("A review is overdue since" in one for one in said[1:])
    async with watched.database.transaction("default") as tx:
        await reviews.close(tx, "apr-1", "ada", "it was needed")
    await age(watched.database, 100)
    await look(watched)
    assert len(texts(watched)) == 3


async def test_two_posters_tell_an_alert_once(watched: Stand) -> None:
    async with program.opened(watched.settings, watched.database, no_temporal) as other:
        await broken(watched.database, "joe", "kim")
        for poster in (watched.slack.parts.poster, other.parts.poster) * 2:
            await poster.look()
    assert len(texts(watched)) == 1


async def test_an_alert_whose_reply_was_lost_is_not_told_twice(watched: Stand) -> None:
    await broken(watched.database, "joe", "kim")
    async with watched.database.transaction("default") as tx:
        await tx.execute("UPDATE approval SET state = 'cancelled' WHERE tenant = 'default' AND state = 'pending'")
    watched.fake.faults.lost_replies = 1
    for _ in range(3):
        await look(watched)
        watched.another_poster()
        async with watched.database.transaction("default") as tx:
            await tx.execute("UPDATE slack_alert SET due_at = now() WHERE tenant = 'default'")
    assert len(texts(watched)) == 1


async def test_without_a_channel_for_alerts_the_groups_that_were_passed_over_hear(database: Database, tmp_path: Path) -> None:
    async with standing(database, tmp_path, slack_channels={"finance": FINANCE}) as stand:
        await broken(database, "joe", "kim")
        await look(stand)
        assert any("The glass was broken" in text for text in texts(stand, FINANCE))
        assert not any("The glass" in text for text in texts(stand, CHANNEL))


async def test_where_the_channel_for_alerts_is_gone_the_admins_hear_but_whom_it_is_about(watched: Stand) -> None:
    watched.fake.workspace.delete_channel(ALERTS)
    await put(watched.database, "ada", role="admin", slack_team=TEAM, slack_user=EVE)
    await broken(watched.database, "joe", "kim")
    await look(watched, 2)
    assert any("The glass was broken" in text for text in texts(watched, EVE))


async def hasty(database: Database, person: str = "ann", count: int = 50) -> None:
    """Let a person have approved all of their last requests."""
    async with database.transaction("default") as tx:
        for nth in range(count):
            await approvals.ask(tx, request(f"apr-{person}-{nth}", state="approved"))
            await votes.put(tx, f"apr-{person}-{nth}", Vote(person, 0, "approve", "web"))


async def test_a_doubtful_reviewer_is_told_of_once_a_week(watched: Stand) -> None:
    await hasty(watched.database)
    await look(watched, 2)
    (said,) = texts(watched)
    assert said.startswith("ann may not read what they approve: ann approved 50 of the last 50")
    for days in (6, 8):
        async with watched.database.transaction("default") as tx:
            passed = "UPDATE slack_alert SET begun_at = begun_at - make_interval(days => $1), id = id || $1::int WHERE tenant = 'default'"
            await tx.execute(passed, days)
        async with program.opened(watched.settings, watched.database, no_temporal) as anew:
            await anew.parts.poster.look()
        assert len(texts(watched)) == 1 + (days > 7)


async def test_of_a_reviewer_no_group_hears_and_no_admin_of_themselves(database: Database, tmp_path: Path) -> None:
    async with standing(database, tmp_path) as stand:
        await put(database, "ada", role="admin", slack_team=TEAM, slack_user=EVE)
        await hasty(database, "ann")
        await hasty(database, "ada")
        await look(stand)
        assert texts(stand, CHANNEL) == []
        (said,) = texts(stand, EVE)
        assert said.startswith("ann may not read")


async def test_an_alert_concerns_its_groups_and_admins_but_not_whom_it_is_about(database: Database) -> None:
    await put(database, "ann", "finance")
    await open_run(database)
    await broken(database, "joe", "kim")
    async with database.transaction("default") as tx:
        (alert,) = await alerts.glass(tx)
        people = {one.id: one for one in await directory.people(tx)}
    assert alert.concerns(people["ann"]) and alert.concerns(Person("ada", "Ada", "admin"))
    assert not alert.concerns(people["joe"]) and not alert.concerns(Person("bob", "Bob", "operator", frozenset({"editor"})))
