"""Cards in Slack, and what people say of them there."""

import asyncio
from pathlib import Path

from channels.slack.forms import HAPPENED, OUTPUT, REASON
from database import Database
from ledger import approvals
from tests.integration.ledger.rows import ruling
from tests.slack import ANN, BOB, CHANNEL, EVE, FINANCE, Stand, standing


def shown(message: object) -> str:
    return str(vars(message))


async def test_a_request_is_shown_once_with_its_action_and_its_digest(stand: Stand) -> None:
    await stand.ask()
    await stand.slack.parts.poster.look()
    assert stand.card.buttons == ["approve", "reject", "edit", "details"]
    assert "blog.publish" in shown(stand.card) and "d1d1d1d1d1d1" in shown(stand.card)
    assert {stand.card.button(action)["value"] for action in stand.card.buttons} == {"apr-1"}


async def test_an_approval_over_slack_rules_and_the_message_loses_its_buttons(stand: Stand) -> None:
    await stand.ask()
    reply = await stand.press(ANN, "approve")
    assert reply.status == 200
    found = await stand.request()
    assert (found.state, found.ruled_by, (found.ruling or {})["channel"]) == ("approved", "ann", "slack")
    assert stand.card.buttons == [] and "approved by ann" in shown(stand.card)


async def test_a_double_click_rules_once_and_the_second_hears_who_was_first(stand: Stand) -> None:
    await stand.ask()
    card = stand.card
    await asyncio.gather(stand.fake.people.press(ANN, card, "approve"), stand.fake.people.press(ANN, card, "approve"))
    await stand.settled()
    assert await stand.rulings() == 1
    (heard,) = stand.whispers(ANN)
    assert heard.startswith("already decided by ann at ")


async def test_a_late_click_hears_what_another_channel_decided_and_the_message_is_rewritten(stand: Stand) -> None:
    await stand.ask()
    async with stand.database.transaction("default") as tx:
        result = await approvals.rule(tx, ruling("reject", by="carol", reason="too loud"), channel="cli", trusted=True)
    assert result.accepted
    before = stand.card
    assert before.buttons
    await stand.press(ANN, "approve")
    assert stand.whispers(ANN)[0].startswith("already decided by carol at ")
    assert stand.card.buttons == [] and "too loud" in shown(stand.card)


async def test_what_another_channel_decides_is_shown_without_anybody_pressing(stand: Stand) -> None:
    await stand.ask()
    async with stand.database.transaction("default") as tx:
        await approvals.rule(tx, ruling(by="carol"), channel="console", trusted=True)
    await stand.slack.parts.poster.look()
    assert stand.card.buttons == [] and "approved by carol" in shown(stand.card)
    edits = stand.card.edits
    await stand.slack.parts.poster.look()
    assert stand.card.edits == edits


async def test_a_rejection_needs_its_reason_and_gives_it_to_the_run(stand: Stand) -> None:
    await stand.ask()
    form = await stand.form(ANN, "reject")
    assert (await stand.fake.people.submit(ANN, form, {REASON: "  "})).errors == {REASON: "a rejection needs a reason"}
    reply = await stand.fake.people.submit(ANN, form, {REASON: "not on a Friday"})
    await stand.settled()
    assert reply.status == 200 and not reply.errors
    found = await stand.request()
    assert (found.state, (found.ruling or {})["reason"]) == ("rejected", "not on a Friday")
    assert "not on a Friday" in shown(stand.card)


RESULT = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}


async def test_where_it_is_asked_whether_to_do_it_again_the_form_takes_that_it_did_happen(stand: Stand) -> None:
    await stand.ask(question="again", about={"result": RESULT})
    form = await stand.form(ANN, "reject")
    seen: dict[str, str | None] = {REASON: "the bank shows it", HAPPENED: HAPPENED}
    for typed, said in (("{", "not JSON"), ("[]", "no JSON object"), ('{"id": 7}', "id: 7 is not of type"), ('{"id": "\\u0000"}', "NUL")):
        reply = await stand.fake.people.submit(ANN, form, {**seen, OUTPUT: typed})
        assert list(reply.errors) == [OUTPUT] and said in reply.errors[OUTPUT], typed
    reply = await stand.fake.people.submit(ANN, form, {REASON: "so", OUTPUT: '{"id": "p-1"}'})
    assert "tick that it did happen" in reply.errors[OUTPUT]
    assert REASON in (await stand.fake.people.submit(ANN, form, {HAPPENED: HAPPENED})).errors
    reply = await stand.fake.people.submit(ANN, form, {**seen, OUTPUT: '{"id": "p-1"}'})
    await stand.settled()
    assert reply.status == 200 and not reply.errors
    found = await stand.request()
    assert found.state == "rejected" and found.ruling is not None
    assert found.ruling["happened"] is True and found.ruling["output"] == {"id": "p-1"}
    assert "since it did happen" in shown(stand.card)


async def test_where_it_is_asked_about_an_undo_the_form_takes_that_it_is_undone_already(stand: Stand) -> None:
    await stand.ask(question="undo")
    form = await stand.form(ANN, "reject")
    assert [block["block_id"] for block in form.body["blocks"] if block["type"] == "input"] == [REASON, HAPPENED]
    assert "It is undone already: nothing is called" in str(form.body) and "did happen" not in str(form.body)
    reply = await stand.fake.people.submit(ANN, form, {REASON: "I took it down", HAPPENED: HAPPENED})
    await stand.settled()
    assert reply.status == 200 and not reply.errors
    found = await stand.request()
    assert found.state == "rejected" and found.ruling is not None and found.ruling["happened"] is True
    assert "since it is undone already" in shown(stand.card)


async def test_the_form_may_reject_without_saying_that_it_did_happen(stand: Stand) -> None:
    await stand.ask(question="again", about={"result": RESULT})
    form = await stand.form(ANN, "reject")
    assert not (await stand.fake.people.submit(ANN, form, {REASON: "leave it"})).errors
    await stand.settled()
    found = await stand.request()
    assert found.state == "rejected" and found.ruling is not None and not found.ruling.get("happened")


async def test_other_questions_have_no_such_box(stand: Stand) -> None:
    await stand.ask()
    form = await stand.form(ANN, "reject")
    assert [block["block_id"] for block in form.body["blocks"] if block["type"] == "input"] == [REASON]


async def test_an_edit_that_breaks_the_schema_is_shown_at_its_field(stand: Stand) -> None:
    await stand.ask()
    form = await stand.form(ANN, "edit")
    reply = await stand.fake.people.submit(ANN, form, {"arg0": "a title that is longer than twenty characters"})
    assert list(reply.errors) == ["arg0"] and "too long" in reply.errors["arg0"]
    assert (await stand.request()).state == "pending"


async def test_an_edit_of_nothing_is_told_apart_from_one(stand: Stand) -> None:
    await stand.ask()
    form = await stand.form(ANN, "edit")
    assert "nothing is changed" in (await stand.fake.people.submit(ANN, form, {})).errors[REASON]


async def test_an_edit_carries_the_new_arguments(stand: Stand) -> None:
    await stand.ask()
    form = await stand.form(ANN, "edit")
    reply = await stand.fake.people.submit(ANN, form, {"arg0": "short", REASON: "shorter"})
    await stand.settled()
    found = await stand.request()
    assert not reply.errors, reply.errors
    assert found.state == "superseded" and (found.ruling or {})["arguments"] == {"title": "short"}


async def test_a_refusal_of_a_form_is_shown_in_the_form(stand: Stand) -> None:
    await stand.ask()
    form = await stand.form(ANN, "reject")
    await stand.press(ANN, "approve")
    reply = await stand.fake.people.submit(ANN, form, {REASON: "no"})
    assert reply.errors[REASON].startswith("already decided by ann at ")


async def test_who_is_in_no_directory_rules_nothing_and_is_put_on_record(stand: Stand) -> None:
    await stand.ask(unsigned=True)
    await stand.press(EVE, "approve")
    assert (await stand.request()).state == "pending"
    assert "Perdure does not know who you are" in stand.whispers(EVE)[0]
    assert [one["by"] for one in await stand.refusals()] == ["slack:T0PERDURE/U0EVE"]
    await stand.press(EVE, "details")
    assert not stand.fake.workspace.views


async def test_a_user_of_the_same_name_in_another_workspace_is_somebody_else(stand: Stand) -> None:
    await stand.ask()
    await stand.fake.people.press(ANN, stand.card, "approve", team="T0FOREIGN")
    await stand.settled()
    assert (await stand.request()).state == "pending"
    assert [one["by"] for one in await stand.refusals()] == ["slack:T0FOREIGN/U0ANN"]


async def test_a_person_of_another_group_hears_which_group_is_needed(stand: Stand) -> None:
    await stand.ask()
    await stand.press(BOB, "approve")
    assert (await stand.request()).state == "pending"
    assert "editor" in stand.whispers(BOB)[0]


async def test_each_group_is_asked_in_its_own_channel(database: Database, tmp_path: Path) -> None:
    async with standing(database, tmp_path, slack_channels={"finance": FINANCE}) as stand:
        await stand.ask("apr-1", groups=["finance"])
        await stand.ask("apr-2", groups=["editor"], digest="d2" * 32)
        assert [len(stand.cards(channel)) for channel in (FINANCE, CHANNEL)] == [1, 1]


async def test_a_group_without_a_channel_holds_up_nobody(database: Database, tmp_path: Path) -> None:
    async with standing(database, tmp_path, slack_channel=None, slack_channels={"finance": FINANCE}) as stand:
        for nth in range(25):
            await stand.ask(f"apr-{nth}", groups=["editor"])
        await stand.ask("apr-last", groups=["finance"])
        assert len(stand.cards(FINANCE)) == 1


async def test_whom_time_asks_too_is_asked_in_their_channel(database: Database, tmp_path: Path) -> None:
    async with standing(database, tmp_path, slack_channels={"finance": FINANCE}) as stand:
        await stand.ask()
        async with database.transaction("default") as tx:
            await tx.execute("UPDATE approval SET groups = '{editor,finance}' WHERE tenant = 'default'")
        await stand.slack.parts.poster.look()
        assert [len(stand.cards(channel)) for channel in (FINANCE, CHANNEL)] == [1, 1]
