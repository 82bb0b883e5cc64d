"""The desk on a real Postgres: forged words, a crowd at once, a slow Temporal, the inbox, and the numbers."""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from channels.desk import Desk, Filters
from contracts.approvals import Ruling
from contracts.errors import BadInput
from database import Database
from ledger import approvals, directory, numbers, outbox, records, runs, signatures
from ledger.directory import Person
from tests.integration.ledger.people import ask, asked, delegate, put, read
from tests.integration.ledger.rows import DIGEST, LINEAGE, open_run, request, ruling

KEY = "k" * 40


async def nobody_listens(tenant: str) -> None:
    """Send nothing."""


def desk(database: Database, *, one_machine: bool = False, wake: Callable[[str], Any] = nobody_listens) -> Desk:
    return Desk(database, wake, one_machine=one_machine, secret={signatures.KEY_NAME: KEY}.get)


async def refusals(database: Database) -> list[dict[str, Any]]:
    async with database.transaction("default") as tx:
        rows = await tx.fetch("SELECT body FROM record WHERE kind = 'access' AND body ->> 'event' = 'refused'")
    return [row["body"] for row in rows]


def signed(said: Ruling, at: datetime, *, key: str = KEY, digest: str = DIGEST, tenant: str = "default") -> Ruling:
    return said.model_copy(update={"token": signatures.sign(key, tenant, said, digest, at)})


def forged(dice: random.Random, nth: int, now: datetime) -> tuple[Ruling, Person | None]:
    """Make up a word that nobody may believe: unsigned, signed for something else, with another key, too old, or tampered with."""
    names, verdict = ("ann", "bob", "eve", "root", "ann ", "ANN"), dice.choice(("approve", "reject"))
    said, mine = (ruling(verdict, by=by, reason=f"forged {nth}") for by in (dice.choice(names), "ann"))
    good = signed(mine, now).token or ""
    at = dice.randrange(len(good))
    other = chr((ord(good[at]) + dice.randrange(1, 90)) % 0x2FFF or 33)
    edit, elsewhere = ruling("edit", by="ann", arguments={"title": "y"}), ruling(request=f"apr-{nth}")
    outsider = Person("bob", "Bob", "admin", frozenset({"editor"}))
    token = dice.choice(("", ".", "a.b", "é", "x" * 9000, "👍.👍", good[:at], good[:at] + other + good[at + 1 :]))
    kinds = (
        (said, None),
        (said, outsider),
        (signed(said, now, key=dice.choice(("", "j" * 40, KEY[:-1]))), None),
        (signed(mine, now - timedelta(minutes=dice.randrange(10, 9999))), None),
        (signed(mine, now, digest="e" * 64), None),
        (signed(mine, now, tenant="other"), None),
        (signed(edit, now).model_copy(update={"arguments": {"title": "z"}}), None),
        (signed(elsewhere, now).model_copy(update={"request": "apr-1"}), None),
        (mine.model_copy(update={"token": good, "by": dice.choice(names[1:])}), None),
        (mine.model_copy(update={"token": token}), None),
    )
    return dice.choice(kinds)


async def test_of_two_thousand_forged_words_none_is_believed_and_each_is_on_record(database: Database) -> None:
    await put(database, "ann", "finance")
    await put(database, "bob", "editor", role="admin")
    await ask(database, asked())
    made = desk(database, one_machine=True)
    async with database.transaction("default") as tx:
        now = await approvals.now(tx)
    slots, dice = asyncio.Semaphore(20), random.Random(7)

    async def tried(said: Ruling, who: Person | None) -> bool:
        async with slots:
            return (await made.rule("default", said, who, channel="test")).accepted

    assert not any(await asyncio.gather(*(tried(*forged(dice, nth, now)) for nth in range(2000))))
    assert (await read(database)).state == "pending"
    kept = await refusals(database)
    assert all(body["why"] and "token" not in body and "output" not in body for body in kept)
    assert len(kept) == 2000


async def test_a_refused_ruling_is_on_record_with_its_run_and_its_request(database: Database) -> None:
    bob = await put(database, "bob", "editor")
    await ask(database, asked())
    assert not (await desk(database).rule("default", ruling(by="ann"), bob, channel="test")).accepted
    async with database.transaction("default") as tx:
        [row] = await tx.fetch("SELECT id, lineage, body FROM record WHERE kind = 'access' AND body ->> 'event' = 'refused'")
    assert row["id"].startswith("apr-1/refused/") and row["lineage"] == LINEAGE
    assert row["body"]["by"] == "bob" and row["body"]["why"] == "not allowed: needs group finance"


async def test_a_signed_word_that_is_replayed_and_one_that_comes_late_change_nothing(database: Database) -> None:
    await put(database, "ann", "finance")
    await put(database, "bob", "finance")
    await ask(database, asked(("finance", 2)))
    async with database.transaction("default") as tx:
        said = ruling(by="ann")
        said = said.model_copy(update={"token": signatures.sign(KEY, "default", said, DIGEST, await approvals.now(tx))})
    made = desk(database)
    answers = [await made.rule("default", said, None, channel="test") for _ in range(3)]
    assert [answer.accepted for answer in answers] == [True, False, False] and (await read(database)).state == "pending"


async def test_of_a_thousand_people_at_once_one_decides_and_one_effect_uses_it(database: Database) -> None:
    await put(database, "ann", "finance")
    people = [await put(database, f"p{nth}", "finance") for nth in range(20)]
    await ask(database, asked())
    made, slots = desk(database), asyncio.Semaphore(30)

    async def decide(nth: int) -> str:
        verdict, channel = ("approve", "reject")[nth % 2], ("slack", "console", "cli")[nth % 3]
        async with slots:
            result = await made.rule("default", ruling(verdict, reason="so"), people[nth % 20], channel=channel)
        return "won" if result.accepted else result.message

    answers = await asyncio.gather(*(decide(nth) for nth in range(1000)))
    found = await read(database)
    assert answers.count("won") == 1 and all(a == "won" or a.startswith(f"already decided by {found.ruled_by} at ") for a in answers)
    async with database.transaction("default") as tx:
        assert await tx.value("SELECT count(*) FROM outbox") == 1
    if found.state == "approved":
        used = [await consume(database, nth) for nth in range(3)]
        assert used == [True, False, False]


async def consume(database: Database, nth: int) -> bool:
    async with database.transaction("default") as tx:
        return await approvals.consume(tx, await read(database), f"{LINEAGE}/s1/{nth}", DIGEST, "b" * 64)


async def test_an_answer_never_waits_for_temporal_and_a_wake_up_that_fails_is_left_to_workers(database: Database) -> None:
    ann, released = await put(database, "ann", "finance"), asyncio.Event()

    async def slow(tenant: str) -> None:
        await released.wait()
        raise OSError("no such host")

    await ask(database, asked())
    made = desk(database, wake=slow)
    assert (await made.rule("default", ruling(), ann, channel="test")).ended
    released.set()
    await made.close()
    sent: list[str] = []

    async def send(workflow_id: str, body: dict[str, Any]) -> bool:
        sent.append(workflow_id)
        return True

    await outbox.deliver(database, "default", send)
    assert sent == ["wf-1"]


async def test_unsigned_words_are_believed_on_the_one_machine_stack_where_the_request_says_so(database: Database) -> None:
    await ask(database, request())
    assert not (await desk(database).rule("default", ruling(), None, channel="cli")).accepted
    assert (await desk(database, one_machine=True).rule("default", ruling(), None, channel="cli")).accepted
    assert (await refusals(database))[0]["why"].startswith("not proved who is speaking")


async def test_the_inbox_lists_what_one_may_rule_on_oldest_first(database: Database) -> None:
    ann, bob = await put(database, "ann", "finance"), await put(database, "bob", "editor")
    await delegate(database, "ann", "bob", "finance")
    for nth, group in enumerate(("finance", "editor", "owner")):
        await ask(database, asked((group, 1), id=f"apr-{nth}"))
    made = desk(database)

    async def ids(who: Person | None, **wanted: Any) -> list[str]:
        return [found.id for found in await made.open("default", who, Filters(**wanted))]

    assert await ids(None) == ["apr-0", "apr-1", "apr-2"]
    assert await ids(ann, mine=True) == ["apr-0"] and await ids(bob, mine=True) == ["apr-0", "apr-1"]
    assert await ids(bob, mine=True, group="editor") == ["apr-1"] and await ids(ann, mine=True, group="owner") == []
    assert await ids(None, group="owner") == ["apr-2"] and await ids(None, older_seconds=60) == []
    assert await ids(None, limit=1, after="apr-0") == ["apr-1"] and await ids(None, run="wf-1", tool="other") == []
    with pytest.raises(BadInput, match="nobody is logged in"):
        await ids(None, mine=True)


async def test_long_arguments_are_listed_short_and_shown_whole_on_the_card(database: Database) -> None:
    noise = "".join(chr(33 + random.Random(nth).randrange(90)) for nth in range(200_000))
    wanted = asked()
    wanted.arguments["title"] = noise
    await ask(database, wanted)
    [listed] = await desk(database).open("default", None)
    assert len(str(listed.arguments)) < 100
    card = await desk(database).card("default", "apr-1")
    assert card is not None and card.rows[0].shortened and "200,000 characters" in card.rows[0].value
    assert await desk(database).card("default", "apr-none") is None


async def test_a_card_names_the_money_the_votes_and_who_else_must_agree(database: Database) -> None:
    await open_run(database)
    ann = await put(database, "ann", "finance")
    await ask(database, asked(("finance", 2), ("owner", 1)))
    made = desk(database)
    await made.rule("default", ruling(), ann, channel="test")
    card = await made.card("default", "apr-1")
    assert card is not None and card.limit == 1_000_000 and card.agreed == ("ann",)
    assert card.needed == "1 more of finance, then 1 of owner"


async def test_numbers_tell_how_long_people_take_and_who_does_not_read(database: Database) -> None:
    await open_run(database)
    ann, bob = await put(database, "ann", "finance"), await put(database, "bob", "finance", role="operator")
    made = desk(database)
    for nth in range(52):
        await ask(database, asked(id=f"apr-{nth}"))
        who = bob if nth == 51 else ann
        await made.look("default", f"apr-{nth}", who, "console")
        await made.rule("default", ruling("reject" if who is bob else "approve", request=f"apr-{nth}", reason="so"), who, channel="console")
    async with database.transaction("default") as tx:
        by_role = {one.name: one.count for one in await numbers.times(tx, "role")}
        [automation] = await numbers.times(tx, "automation")
        doubtful = await numbers.doubtful(tx)
        assert await tx.value("SELECT count(*) FROM look") == 52
    assert by_role == {"approver": 51, "operator": 1} and (automation.name, automation.count) == ("content-ops", 52)
    assert automation.looked and automation.considered and automation.decided and automation.looked[0] <= automation.decided[0]
    [reviewer] = doubtful
    assert reviewer.person == "ann" and "approved 50 of the last 50" in reviewer.why and reviewer.automations == ("content-ops",)


async def test_a_run_that_ended_while_its_request_was_open_answers_so(database: Database) -> None:
    ann = await put(database, "ann", "finance")
    await open_run(database)
    await ask(database, asked())
    async with database.transaction("default") as tx:
        await runs.close(tx, LINEAGE, "cancelled", "")
        await approvals.cancel_open(tx, LINEAGE)
    assert (await desk(database).rule("default", ruling(), ann, channel="test")).message == "already decided: cancelled"
    async with database.transaction("default") as tx:
        assert [row["kind"] for row in await records.of_run(tx, LINEAGE)] == ["ruling", "access"]
        assert len(await directory.people(tx)) == 1
