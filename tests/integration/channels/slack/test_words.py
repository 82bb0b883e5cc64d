"""The command and the home tab: what people read of Perdure without leaving Slack, and what they may do there."""

from dataclasses import replace

from ledger import approvals, directory
from tests.integration.ledger import rows
from tests.slack import ANN, BOB, EVE, Stand


async def said(stand: Stand, user: str, text: str) -> str:
    reply = await stand.fake.people.command(user, text)
    assert reply.status == 200 and reply.body.get("response_type") == "ephemeral"
    return str(reply.body)


async def test_list_has_what_waits_for_oneself_and_all_what_waits_for_anybody(stand: Stand) -> None:
    await stand.ask("apr-1")
    await stand.ask("apr-2", groups=["finance"], tool="books.pay")
    mine, everything = await said(stand, ANN, "list"), await said(stand, ANN, "list all")
    assert "blog.publish" in mine and "books.pay" not in mine
    assert "blog.publish" in everything and "books.pay" in everything


async def test_show_has_the_card_with_its_buttons_and_counts_as_a_look(stand: Stand) -> None:
    await stand.ask()
    assert "d1d1d1d1d1d1" in await said(stand, ANN, "show apr-1")
    async with stand.database.transaction("default") as tx:
        looks = await tx.fetch("SELECT person, channel FROM look WHERE tenant = 'default' AND request = 'apr-1'")
    assert [tuple(row) for row in looks] == [("ann", "slack")]


async def test_why_tells_what_a_run_did(stand: Stand) -> None:
    await stand.ask()
    told = await said(stand, ANN, "why wf-1")
    assert "wf-1 (content-ops) is running" in told and "asked editor about blog.publish" in told


async def test_what_is_not_there_is_one_clear_sentence(stand: Stand) -> None:
    assert "there is no request" in await said(stand, ANN, "show apr-9")
    assert "there is no run" in await said(stand, ANN, "why <!channel>")
    assert "<!channel>" not in await said(stand, ANN, "why <!channel>")
    assert "/perdure list" in await said(stand, ANN, "")
    assert "there is no `dance`" in await said(stand, ANN, "dance")


async def test_pause_is_for_operators_and_needs_no_temporal_at_that_moment(stand: Stand) -> None:
    assert "needs the role operator" in await said(stand, ANN, "pause wf-1 too noisy")
    assert "wf-1 is paused" in await said(stand, BOB, "pause wf-1 too noisy")
    async with stand.database.transaction("default") as tx:
        row = await tx.row("SELECT paused_by, paused_reason FROM run WHERE tenant = 'default'")
    assert row is not None and tuple(row) == ("bob", "too noisy")
    assert "goes on" in await said(stand, BOB, "resume wf-1")
    assert [one["by"] for one in await stand.refusals()] == ["ann"]


async def test_a_stranger_reads_nothing(stand: Stand) -> None:
    await stand.ask()
    for text in ("list all", "show apr-1", "why wf-1", "pause wf-1"):
        told = await said(stand, EVE, text)
        assert "does not know who you are" in told and "blog.publish" not in told
    assert len(await stand.refusals()) == 4


async def test_a_person_who_is_disabled_reads_and_rules_nothing(stand: Stand) -> None:
    await stand.ask()
    async with stand.database.transaction("default") as tx:
        ann = await directory.person(tx, "ann")
        assert ann is not None
        await directory.put(tx, replace(ann, disabled=True), "tester")
    assert "ann is disabled" in await said(stand, ANN, "list")
    await stand.press(ANN, "approve")
    assert (await stand.request()).state == "pending"


async def test_the_home_tab_has_ones_own_queue_and_rules_from_there(stand: Stand) -> None:
    await stand.ask("apr-1")
    await stand.ask("apr-2", groups=["finance"], tool="books.pay", digest="d2" * 32)
    await stand.fake.people.visit(ANN)
    await stand.settled()
    home = stand.fake.workspace.homes[ANN]
    assert "blog.publish" in str(home.body) and "books.pay" not in str(home.body)
    await stand.press(ANN, "approve", home)
    assert (await stand.request()).state == "approved"
    assert "Nothing waits for you" in str(stand.fake.workspace.homes[ANN].body)


async def test_a_strangers_home_tab_is_empty_of_requests(stand: Stand) -> None:
    await stand.ask()
    await stand.fake.people.visit(EVE)
    await stand.settled()
    assert "does not know who you are" in str(stand.fake.workspace.homes[EVE].body)


async def test_thirty_one_requests_fit_a_home_tab_and_the_rest_is_named(stand: Stand) -> None:
    async with stand.database.transaction("default") as tx:
        for nth in range(31):
            await approvals.ask(tx, rows.request(f"apr-{nth}", step=f"s{nth}", arguments={"title": "x" * 3000}))
    await stand.fake.people.visit(ANN)
    await stand.settled()
    assert "the oldest 30" in str(stand.fake.workspace.homes[ANN].body)


async def test_the_details_have_the_whole_value_and_a_megabyte_comes_as_a_file(stand: Stand) -> None:
    text = "".join(f"line {nth}\n" for nth in range(120_000))
    await stand.ask(arguments={"title": "x", "body": text})
    assert "characters" in str(vars(stand.card)) and len(str(stand.card.blocks)) < 20_000
    form = await stand.form(ANN, "details")
    assert "Not all of it is shown here" in str(form.body)
    await stand.press(ANN, "whole", form)
    (sent,) = stand.fake.workspace.shared
    assert sent["channel"] == ANN and len(sent["content"]) > len(text)
