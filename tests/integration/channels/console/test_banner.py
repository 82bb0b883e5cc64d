"""The banner: whoever has to be told is told on every page, and nobody else."""

from channels.console.banner import REMEMBERED, Banner
from database import Database
from ledger import approvals, reviews, votes
from ledger.directory import Person
from ledger.votes import Vote
from tests.integration.channels.console.conftest import Console
from tests.integration.ledger.rows import LINEAGE, open_run, request


async def break_glass(console: Console, *people: str) -> None:
    await console.asked(groups=["editor"])
    async with console.database.transaction("default") as tx:
        await reviews.open_review(tx, "apr-1", LINEAGE, "s1", people)


async def test_broken_glass_is_told_on_every_page_to_its_groups_and_to_admins(console: Console) -> None:
    await break_glass(console, "joe", "kim")
    for person, told in (("ann", True), ("vera", True), ("ada", True), ("otto", False)):
        async with console.visitor(person) as visitor:
            for path in ("/inbox", "/runs", "/numbers"):
                page = await visitor.client.get(path, headers={"accept": "text/html"})
                assert ("The glass was broken: joe and kim let blog.publish" in page.text) == told, (person, path)
            assert ("starter.py review apr-1" in (await visitor.client.get("/alerts")).text) == told


async def test_who_broke_the_glass_is_not_asked_to_review_it(console: Console) -> None:
    await break_glass(console, "ann", "Ada")
    for person in ("ann", "ada"):
        async with console.visitor(person) as visitor:
            assert "The glass" not in (await visitor.client.get("/alerts")).text


async def test_an_overdue_review_is_told_as_such_until_it_is_done(console: Console) -> None:
    await break_glass(console, "joe", "kim")
    async with console.database.transaction("default") as tx:
        await tx.execute("UPDATE review SET due_at = now() - interval '1 minute' WHERE tenant = 'default'")
    async with console.visitor("ann") as ann:
        assert "A review is overdue since" in (await ann.client.get("/alerts")).text
        async with console.database.transaction("default") as tx:
            await reviews.close(tx, "apr-1", "ada", "it was needed")
        assert "overdue" not in (await ann.client.get("/alerts")).text


async def test_somebody_else_closes_a_review_on_the_card_with_a_note(console: Console) -> None:
    await break_glass(console, "joe", "ada")
    async with console.database.transaction("default") as tx:
        await tx.execute("UPDATE approval SET state = 'approved' WHERE tenant = 'default'")
    async with console.visitor("ada") as ada, console.visitor("vera") as vera, console.visitor("ann") as ann:
        page = (await ada.load("/requests/apr-1")).text
        assert "The glass was broken for this by ada and joe" in page and 'name="note"' not in page
        assert "broke this glass" in (await ada.send("/requests/apr-1/review", note="fine")).text
        assert 'name="note"' not in (await vera.load("/requests/apr-1")).text
        assert (await vera.send("/requests/apr-1/review", note="fine")).status_code == 403
        assert 'name="note"' in (await ann.load("/requests/apr-1")).text
        assert (await ann.send("/requests/apr-1/review", note=" ")).status_code == 400
        answer = await ann.send("/requests/apr-1/review", note="it was needed")
        assert answer.status_code == 200 and "reviewed by ann" in answer.text and "The glass" not in answer.text
        assert "The glass" not in (await ann.client.get("/alerts")).text
    async with console.database.transaction("default") as tx:
        note = await tx.value("SELECT note FROM review WHERE tenant = 'default' AND done_by = 'ann'")
    assert note == "it was needed"


async def approve_all(database: Database, person: str) -> None:
    async with database.transaction("default") as tx:
        for nth in range(50):
            await approvals.ask(tx, request(f"apr-{nth}", state="approved"))
            await votes.put(tx, f"apr-{nth}", Vote(person, 0, "approve", "web"))


async def test_of_a_doubtful_reviewer_admins_hear_and_not_the_reviewer(console: Console) -> None:
    await open_run(console.database)
    await approve_all(console.database, "ann")
    for person, told in (("ada", True), ("ann", False), ("otto", False)):
        async with console.visitor(person) as visitor:
            page = await visitor.client.get("/inbox", headers={"accept": "text/html"})
            assert ("ann may not read what they approve" in page.text) == told, person


async def test_how_people_decide_is_looked_at_now_and_then(database: Database) -> None:
    now = [0.0]
    banner, ada = Banner(clock=lambda: now[0]), Person("ada", "Ada", "admin")
    await open_run(database)
    assert await banner.of(database, "default", ada) == ()
    await approve_all(database, "ann")
    assert await banner.of(database, "default", ada) == ()
    now[0] += REMEMBERED + 1
    (alert,) = await banner.of(database, "default", ada)
    assert alert.people == ("ann",)
