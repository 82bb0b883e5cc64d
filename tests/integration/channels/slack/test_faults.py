"""What goes wrong between Slack and Perdure: nothing is ruled twice, nothing forged is ruled at all, and no message is lost."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from channels.slack import program
from contracts.approvals import Rung
from database import Database
from devstack.fake_slack.faults import Signature
from ledger import approvals, refusals
from tests.integration.ledger import rows
from tests.integration.ledger.rows import in_seconds
from tests.servers import until
from tests.slack import ANN, BOB, CHANNEL, EVE, FINANCE, Stand, no_temporal, standing


async def rest_over(stand: Stand) -> None:
    """Let nobody know any more that Slack wants to be left alone."""
    stand.another_poster()
    async with stand.database.transaction("default") as tx:
        await tx.execute("UPDATE slack_message SET due_at = now() - interval '1 second' WHERE tenant = 'default'")


@pytest.mark.parametrize("signature", ["bad", "stale", "early", "words", "missing"])
async def test_what_slack_did_not_sign_now_is_refused_and_put_on_record(stand: Stand, signature: Signature) -> None:
    await stand.ask()
    stand.fake.faults.signature = signature
    assert (await stand.press(ANN, "approve")).status == 401
    assert (await stand.request()).state == "pending"
    assert len(await stand.refusals()) == 1


@pytest.mark.parametrize("stamp", ["", "\u0661\u0667", "1e9", "-5", "1 2", "9" * 5000, "0x10", "1.5", "\x7f"])
async def test_a_time_that_is_no_number_is_refused_and_never_an_error_of_ours(stand: Stand, stamp: str) -> None:
    headers = {"x-slack-request-timestamp": stamp.encode(), "x-slack-signature": b"v0=\xff\xfe", "content-type": "application/json"}
    reply = await stand.fake.people.send("{}", headers)
    # The server itself refuses headers that no client can send.
    assert reply.status in (400, 401, 431)
    assert (await stand.fake.people.send("{}", {})).status == 401


async def test_a_replay_within_the_five_minutes_is_refused_and_put_on_record(stand: Stand) -> None:
    await stand.ask()
    stand.fake.faults.replayed = 1
    assert (await stand.press(ANN, "approve")).status == 200
    (refused,) = await stand.refusals()
    assert "replay" in refused["why"] and await stand.rulings() == 1


async def test_two_hundred_forged_deliveries_at_once_rule_nothing_and_are_all_on_record(stand: Stand) -> None:
    await stand.ask()
    kinds: list[Signature] = ["bad", "stale", "early", "words", "missing"]
    statuses = set[int]()
    for kind in kinds:
        stand.fake.faults.signature = kind
        replies = await asyncio.gather(*(stand.fake.people.press(ANN, stand.card, "approve") for _ in range(40)))
        statuses |= {reply.status for reply in replies}
    # Where they come faster than they can be put on record, some get no answer in time: they are on record all the same.
    assert statuses <= {401, 0} and len(await stand.refusals()) == 200
    assert (await stand.request()).state == "pending"


async def refused_in_number(stand: Stand) -> int:
    """Count what was refused, on record by itself or not."""
    query = """
    SELECT (SELECT coalesce(sum(coalesce((body ->> 'count')::int, 1)), 0) FROM record WHERE tenant = 'default' AND kind = 'access'
               AND body ->> 'event' LIKE 'refused%')
         + (SELECT coalesce(sum(count - told), 0) FROM refusal WHERE tenant = 'default')
    """
    async with stand.database.transaction("default") as tx:
        return int(await tx.value(query))


async def test_of_two_thousand_forged_deliveries_none_counts_and_the_ledger_keeps_their_number_in_few_rows(stand: Stand) -> None:
    await stand.ask()
    kinds: list[Signature] = ["bad", "stale", "early", "words", "missing"]
    for kind in kinds:
        stand.fake.faults.signature = kind
        for _ in range(16):
            replies = await asyncio.gather(*(stand.fake.people.press(ANN, stand.card, "approve") for _ in range(25)))
            assert {reply.status for reply in replies} <= {401, 0}

    async def all_counted() -> bool:
        return await refused_in_number(stand) == 2000

    await until(all_counted)
    assert (await stand.request()).state == "pending" and await stand.rulings() == 0
    async with stand.database.transaction("default") as tx:
        await tx.execute("UPDATE refusal SET minute = minute - interval '1 day' WHERE tenant = 'default'")
        await refusals.close(tx)
        found = await tx.fetch("SELECT body FROM record WHERE tenant = 'default' AND kind = 'access' ORDER BY seq")
    assert await all_counted()
    events = Counter(row["body"]["event"] for row in found)
    # However many minutes the test took: each line that says how many more there were goes with a hundred records.
    assert events["refused"] < 2000 and 1 <= events["refused more"] <= events["refused"] // refusals.ATTEMPTS.source


async def test_a_flood_of_a_strangers_presses_is_kept_as_a_number_and_hides_nobody_elses_refusal(stand: Stand) -> None:
    await stand.ask()
    for _ in range(6):
        await asyncio.gather(*(stand.fake.people.press(EVE, stand.card, "approve") for _ in range(25)))
    await stand.settled()
    await stand.press(BOB, "approve")
    found = await stand.refusals()
    by = Counter(one["by"] for one in found)
    # A minute may end anywhere in the test: then there are two of them.
    assert refusals.ATTEMPTS.source <= by["slack:T0PERDURE/U0EVE"] < 150 and by["bob"] == 1
    assert await refused_in_number(stand) == 151


async def test_a_signed_delivery_that_says_nothing_sensible_is_no_error(stand: Stand) -> None:
    for body in ("{}", "[]", "nonsense", "payload=", "payload=%5B%5D", 'payload={"type":"block_actions"}', '{"type":"event_callback"}', ""):
        content_type = "application/json" if body.startswith(("{", "[")) else "application/x-www-form-urlencoded"
        reply = await stand.fake.people.send(body, stand.fake.people.signed(body, content_type))
        assert reply.status < 500, (body, reply)


async def test_a_delivery_that_comes_again_is_answered_and_rules_once(stand: Stand) -> None:
    await stand.ask()
    stand.fake.faults.delivered_twice = 1
    assert (await stand.press(ANN, "approve")).status == 200
    assert await stand.rulings() == 1
    assert stand.whispers(ANN) == [] and await stand.refusals() == []


async def test_a_repetition_of_the_same_second_is_answered_as_the_first_and_put_on_record(stand: Stand) -> None:
    await stand.ask()
    body, kind = '{"type": "url_verification", "challenge": "abc", "event_id": "Ev1"}', "application/json"
    headers = stand.fake.people.signed(body, kind)
    assert (await stand.fake.people.send(body, headers)).status == 200
    assert (await stand.fake.people.send(body, headers)).status == 401
    again = await stand.fake.people.send(body, headers | {"x-slack-retry-num": "1"})
    assert (again.status, again.body.get("challenge")) == (200, "abc")
    assert ["replay" in one["why"] for one in await stand.refusals()] == [True, True]


async def test_a_form_whose_time_ran_out_is_told(stand: Stand) -> None:
    await stand.ask()
    stand.fake.faults.trigger_seconds = 0
    await stand.press(ANN, "reject")
    assert stand.whispers(ANN) == ["Slack's time for opening the form ran out: press again"]


async def test_slack_that_asks_to_wait_gets_its_message_later_and_once(stand: Stand) -> None:
    stand.fake.faults.rate_limited = 1
    stand.fake.faults.retry_after = 30
    await stand.ask()
    assert stand.cards() == []
    await stand.slack.parts.poster.look()
    assert stand.cards() == [], "Slack asked to be left alone for thirty seconds"
    await rest_over(stand)
    await stand.slack.parts.poster.look()
    assert len(stand.cards()) == 1


async def test_a_message_whose_reply_was_lost_is_found_again_and_not_posted_twice(stand: Stand) -> None:
    stand.fake.faults.lost_replies = 1
    await stand.ask()
    assert len(stand.cards()) == 1
    await rest_over(stand)
    await stand.slack.parts.poster.look()
    assert len(stand.cards()) == 1
    await stand.press(ANN, "approve")
    assert stand.card.buttons == []


async def test_a_poster_that_died_before_it_posted_leaves_its_message_to_another(stand: Stand) -> None:
    stand.fake.faults.server_errors = 1
    await stand.ask()
    await rest_over(stand)
    await stand.slack.parts.poster.look()
    assert len(stand.cards()) == 1


async def test_a_deleted_channel_is_told_on_the_run_and_the_default_takes_over(database: Database, tmp_path: Path) -> None:
    async with standing(database, tmp_path, slack_channels={"editor": FINANCE}) as stand:
        stand.fake.workspace.delete_channel(FINANCE)
        await stand.ask()
        assert len(stand.cards(CHANNEL)) == 1
        async with database.transaction("default") as tx:
            body = await tx.value("SELECT body FROM record WHERE tenant = 'default' AND id = $1", f"apr-1/slack/{FINANCE}")
        assert (body["event"], body["summary"]) == ("not shown in Slack", f"{FINANCE}: channel_not_found")
        await stand.press(ANN, "approve")
        assert (await stand.request()).state == "approved"


async def test_a_channel_deleted_after_the_message_went_up_is_one_deleted_before(database: Database, tmp_path: Path) -> None:
    async with standing(database, tmp_path, slack_channels={"editor": FINANCE}) as stand:
        await stand.ask()
        stand.fake.workspace.delete_channel(FINANCE)
        async with database.transaction("default") as tx:
            await tx.execute("UPDATE approval SET reason = 'changed' WHERE tenant = 'default'")
        await stand.slack.parts.poster.look()
        assert len(stand.cards(CHANNEL)) == 1


async def test_two_posters_post_one_message(stand: Stand) -> None:
    async with program.opened(stand.settings, stand.database, no_temporal) as other:
        posters = [stand.slack.parts.poster, other.parts.poster]
        async with stand.database.transaction("default") as tx:
            await approvals.ask(tx, rows.request())
        await asyncio.gather(*(poster.look() for poster in posters * 3))
    assert len(stand.cards()) == 1


async def test_an_ended_request_is_never_posted(stand: Stand) -> None:
    await stand.ask(state="cancelled")
    assert stand.cards() == []


async def test_reminders_and_escalations_are_told_in_the_thread_once(stand: Stand) -> None:
    rungs = [{"at": int(in_seconds(at).timestamp() * 1000), "kind": kind} for at, kind in ((-5, "remind"), (-2, "escalate"), (600, "end"))]
    past = rungs[:2]
    await stand.ask(rungs=rungs)
    async with stand.database.transaction("default") as tx:
        found = await approvals.read(tx, "apr-1")
        assert found is not None
        for rung in past:
            await approvals.climb(tx, found, Rung.model_validate(rung))
    for _ in range(3):
        await stand.slack.parts.poster.look()
    told = [message.text for message in stand.fake.workspace.replies(stand.card)]
    assert told == ["Still waits for editor.", "Nobody has ruled: editor may rule now."]
