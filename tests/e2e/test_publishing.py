"""What arrives where: the mail, the post and the social post, each at its slot."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from channels.explain import Explained
from tests.arrivals import front_matter, mail
from tests.e2e.test_plans import approve_all
from tests.machine import BLOG, NEWSLETTER, SOCIAL, Machine


async def test_each_piece_arrives_once_in_the_form_of_its_channel(own: Machine) -> None:
    await own.plan(BLOG, NEWSLETTER, SOCIAL)
    await own.start("three-pieces")
    await approve_all(own, "three-pieces", 3)
    found, arrived = await own.finished("three-pieces")
    assert (found.run.status, arrived.counts, arrived.each_once) == ("completed", (1, 1, 1), True)
    head = front_matter(arrived.posts[0])
    assert (head["title"], head["source"]["path"]) == ("A retry changes nothing", "retries.md")
    assert "\n> A retry is only safe when the second call changes nothing.\n" in arrived.posts[0]
    sent = mail(arrived.mails[0])
    assert (sent["Subject"], sent["To"], sent["From"]) == (
        "Practise the restore", "readers@example.test", "Field notes <notes@example.test>",
    )  # fmt: skip
    assert "it has to be practised before the day it matters." in sent.get_content()
    assert datetime.now(UTC) - parsedate_to_datetime(sent["Date"]) < timedelta(minutes=2)
    assert arrived.social[0]["post"]["content"]["title"] == "Fewer pages at night"


async def test_run_with_wait_tells_what_it_waits_for_and_ends_with_0_when_the_run_completed(own: Machine) -> None:
    await own.plan(SOCIAL)
    started = asyncio.create_task(own.start("watched", wait=True))
    await own.waiting("watched", 1)
    await asyncio.sleep(1)  # It looks twice a second.
    await approve_all(own, "watched", 1)
    said = await started
    assert "watched completed" in said.out
    assert "3 of 4 steps have ended, 1 wait for a person (`" in said.err


async def test_a_slot_that_was_missed_is_skipped_where_the_bundle_says_so(own: Machine) -> None:
    await own.plan(SOCIAL)
    await own.start("too-late", automation="late-skip", first_slot_seconds=3)
    await own.until("too-late", lambda found: bool(found.waiting) and datetime.now(UTC) > _slot(found) + timedelta(seconds=1))
    await approve_all(own, "too-late", 1)
    found, arrived = await own.finished("too-late")
    assert (found.run.status, arrived.counts) == ("completed", (0, 0, 0))
    assert found.steps[-1].status == "skipped"
    shown = (await own.starter("show", "too-late")).out
    assert "its slot was " in shown
    assert "nobody was there" in shown


async def test_a_slot_that_was_missed_is_asked_about_where_the_bundle_says_so(own: Machine) -> None:
    await own.plan(SOCIAL)
    await own.start("late-question", automation="late-ask", first_slot_seconds=1)
    await own.waiting("late-question", 1)
    await own.until("late-question", lambda found: datetime.now(UTC) > _slot(found) + timedelta(seconds=1))
    for _ in range(2):
        found = await own.until("late-question", lambda found: bool(found.waiting) or found.run.status != "running")
        if found.waiting and found.waiting[0].question == "late":
            break
        await own.starter("approve", found.waiting[0].id)
    assert "run it now?" in found.waiting[0].reason
    await own.starter("approve", found.waiting[0].id)
    found, arrived = await own.finished("late-question")
    assert (found.run.status, arrived.counts) == ("completed", (0, 0, 1))


def _slot(found: Explained) -> datetime:
    placed = next(step for step in found.steps if step.tool == "calendar.place")
    assert placed.output is not None
    return datetime.fromisoformat(placed.output["at"])


async def test_moving_a_calendar_entry_moves_the_timer(own: Machine) -> None:
    await own.plan(BLOG)
    await own.start("moved", first_slot_seconds=3600)
    await approve_all(own, "moved", 1)
    found = await own.until("moved", lambda found: any(step.status == "waiting" for step in found.steps))
    shown = (await own.starter("show", "moved")).out
    assert "s1.publish (blog.publish) waits for its slot at " in shown
    assert ", in 59 min" in shown or ", in 60 min" in shown
    (entry,) = [row for row in (await own.starter("calendar", "list", "--json")).json if row["run"] == "moved"]
    assert (entry["state"], entry["title"]) == ("planned", "A retry changes nothing")
    wrong = await own.starter("calendar", "move", entry["entry"], "tomorrow")
    assert (wrong.code, "'tomorrow' is not a time; right is 2030-01-31T09:00" in wrong.err) == (2, True)
    moved = await own.starter("calendar", "move", entry["entry"], "+1s")
    assert moved.code == 0, moved
    found, arrived = await own.finished("moved")
    assert (found.run.status, arrived.counts) == ("completed", (1, 0, 0))
    assert "moved A retry changes nothing on the calendar from " in (await own.starter("why", "moved")).out
    late = await own.starter("calendar", "move", entry["entry"], "+1h")
    assert (late.code, "cannot be moved any more: it is published" in late.err) == (1, True)
