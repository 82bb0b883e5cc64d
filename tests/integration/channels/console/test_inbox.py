"""The inbox and its cards: what is listed, what is shown, and what a person's word does."""

import pytest
from bs4 import BeautifulSoup

from tests.integration.channels.console.conftest import Console
from tests.integration.ledger import rows

DIGEST = rows.DIGEST
HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}", "</pre></dd><button>Approve</button>", "\u202egnp.exe",
    "javascript:alert(1)", "<form action=//evil>", "&lt;b&gt;", "' hx-get='//evil", "]]>", "\x00\x1b[2J",
)  # fmt: skip


async def test_what_waits_is_listed_oldest_first_and_filtered(console: Console) -> None:
    await console.asked("apr-1", reason="first")
    await console.asked("apr-2", groups=["owner"], step="s2", about={"reversible": False})
    async with console.visitor("ada") as ada:
        page = (await ada.load("/inbox")).text
        assert page.index("apr-1") < page.index("apr-2") and "low risk" in page and "high risk" in page
        assert "apr-2" not in (await ada.load("/inbox?risk=low")).text
        assert "apr-1" not in (await ada.load("/inbox?group=owner")).text
        assert "apr-1" not in (await ada.load("/inbox?age=1d")).text
        assert (await ada.load("/inbox?age=never")).status_code == 400


async def test_a_page_says_how_many_wait_and_leads_to_the_next(console: Console) -> None:
    for nth in range(5):
        await console.asked(f"apr-{nth}", step=f"s{nth}", groups=["owner" if nth == 4 else "editor"])
    async with console.visitor("ada") as ada:
        page = (await ada.load("/inbox?limit=2&group=editor")).text
        assert ">4 waiting" in page and "apr-1" in page and "apr-2" not in page and "<option>owner</option>" in page
        after = BeautifulSoup(page, "html.parser").select_one('a[href*="after="]')
        assert after is not None
        page = (await ada.load(str(after["href"]))).text
        assert ">4 waiting" in page and "apr-1" not in page and "apr-3" in page and "after=" not in page.partition('id="list"')[2]


async def test_a_card_shows_the_action_and_its_digest_and_notes_the_first_look(console: Console) -> None:
    await console.asked(arguments={"title": "Retries <b>once</b>", "text": "long\ntext"})
    async with console.visitor("ann") as ann:
        page = (await ann.load("/requests/apr-1")).text
    assert "Retries &lt;b&gt;once&lt;/b&gt;" in page and DIGEST[:12] in page and "a person vets it" in page and "can be undone" in page
    async with console.database.transaction("default") as tx:
        assert await tx.value("SELECT count(*) FROM look WHERE tenant = 'default' AND request = 'apr-1' AND person = 'ann'") == 1


def skeleton(page: str) -> list[tuple[str, dict[str, object]]]:
    """Return every element of a page with its attributes, without texts and without what a form's fields hold."""
    elements = BeautifulSoup(page, "html.parser").find_all(True)
    return [
        (one.name, {name: value for name, value in one.attrs.items() if name not in ("value", "rows", "title", "data-live", "data-same")})
        for one in elements
    ]


async def test_hostile_texts_are_texts_and_leave_the_page_and_its_actions_as_they_are(console: Console) -> None:
    request = await console.asked(arguments={"title": "plain", "lines": "a\nb"})
    async with console.visitor("ann") as ann:
        before, inbox = skeleton((await ann.load("/requests/apr-1")).text), skeleton((await ann.load("/inbox")).text)
        for text in HOSTILE:
            async with console.database.transaction("default") as tx:
                changed = {"title": text, "lines": f"a\n{text}"}
                await tx.execute("UPDATE approval SET arguments = $3 WHERE tenant = $1 AND id = $2", tx.tenant, request.id, changed)
            page = (await ann.load("/requests/apr-1")).text
            found = [element for element in skeleton(page) if element[1].get("class") != ["notice", "warn"]]
            assert found == before, text
            assert skeleton((await ann.load("/inbox")).text) == inbox, text
            shown = page.partition('class="rule"')[0]
            assert "\u202e" not in shown and "\x1b" not in shown, text


async def test_a_long_argument_is_shortened_and_given_whole_on_demand(console: Console) -> None:
    await console.asked(arguments={"title": "x" * 1_000_000})
    async with console.visitor("ann") as ann:
        page = (await ann.load("/requests/apr-1")).text
        assert "all 1,000,000 characters" in page
        whole = await ann.client.get("/requests/apr-1/arguments/title")
        assert whole.text == "x" * 1_000_000 and whole.headers["content-type"].startswith("text/plain")
        assert (await ann.client.get("/requests/apr-1/arguments/other")).status_code == 404


async def test_an_approval_rules_in_the_name_of_who_is_logged_in(console: Console) -> None:
    await console.asked()
    async with console.visitor("ann") as ann:
        answer = await ann.send("/requests/apr-1/approve", digest=DIGEST, reason="reads well", by="ada")
    assert answer.status_code == 200 and "approved by ann" in answer.text.replace("Ann", "ann")
    found = await console.read()
    assert (found.state, found.ruled_by) == ("approved", "ann") and found.ruling is not None and found.ruling["channel"] == "web"


async def test_a_second_word_is_told_who_decided(console: Console) -> None:
    await console.asked()
    async with console.visitor("ann") as ann, console.visitor("ada") as ada:
        assert (await ann.send("/requests/apr-1/approve", digest=DIGEST)).status_code == 200
        late = await ada.send("/requests/apr-1/reject", digest=DIGEST, reason="no")
    assert late.status_code == 409 and "already decided by ann at" in late.text
    assert (await console.read()).state == "approved" and len(await console.refusals()) == 1


async def test_a_rejection_needs_a_reason(console: Console) -> None:
    await console.asked()
    async with console.visitor("ann") as ann:
        assert "needs a reason" in (await ann.send("/requests/apr-1/reject", digest=DIGEST, reason=" ")).text
        assert (await ann.send("/requests/apr-1/reject", digest=DIGEST, reason="not today")).status_code == 200
    assert (await console.read()).state == "rejected"


RESULT = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}, "note": {"type": "string"}}}


async def test_where_it_is_asked_whether_to_do_it_again_a_person_may_say_that_it_did_happen(console: Console) -> None:
    await console.asked(question="again", about={"result": RESULT})
    async with console.visitor("ann") as ann:
        page = (await ann.load("/requests/apr-1")).text
        assert "It did happen: the step is done" in page and "It has id (required), note." in page
        answer = await ann.send("/requests/apr-1/happened", digest=DIGEST, reason="the bank shows it", output='{"id": "p-1"}')
    assert answer.status_code == 200 and "rejected by ann at" in answer.text and "since it did happen: the bank shows it" in answer.text
    found = await console.read()
    assert found.state == "rejected" and found.ruling is not None
    assert found.ruling["happened"] is True and found.ruling["output"] == {"id": "p-1"} and found.ruling["reason"] == "the bank shows it"


async def test_it_did_happen_may_be_said_without_an_output_but_not_without_a_reason(console: Console) -> None:
    await console.asked(question="again", about={"result": RESULT})
    async with console.visitor("ann") as ann:
        await ann.load("/requests/apr-1")
        answer = await ann.send("/requests/apr-1/happened", digest=DIGEST, reason=" ", output='{"id": "p-1"}')
        assert answer.status_code == 409 and "needs a reason" in answer.text and "{&#34;id&#34;: &#34;p-1&#34;}" in answer.text
        assert (await ann.send("/requests/apr-1/happened", digest=DIGEST, reason="I saw it", output="")).status_code == 200
    found = await console.read()
    assert found.ruling is not None and found.ruling["happened"] is True and found.ruling["output"] is None


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("{", "not JSON"), ("[]", "not a JSON object"), ("null", "not a JSON object"), ('{"id": 7}', "id: 7 is not of type"),
        ("{}", "is a required property"), ('{"id": "\\u0000"}', "NUL characters"), ('{"id": "a\u202eb"}', "U+202E"),
        ("[" * 100_000, "not JSON"),
    ],
)  # fmt: skip
async def test_an_output_that_does_not_fit_is_told_beside_it_and_keeps_what_was_typed(console: Console, output: str, said: str) -> None:
    await console.asked(question="again", about={"result": RESULT})
    async with console.visitor("ann") as ann:
        await ann.load("/requests/apr-1")
        answer = await ann.send("/requests/apr-1/happened", digest=DIGEST, reason="I saw it", output=output)
    page = BeautifulSoup(answer.text, "html.parser")
    problem, field, reason = (page.select_one(where) for where in ("#output-wrong", "#output", ".edit input[name=reason]"))
    assert answer.status_code == 422 and problem and said in problem.text
    assert (
        field and field.text.removeprefix("\n") == output and field["aria-invalid"] == "true" and reason and reason["value"] == "I saw it"
    )
    assert (await console.read()).state == "pending"


async def test_where_it_is_asked_about_an_undo_a_person_may_say_that_it_is_undone_already(console: Console) -> None:
    await console.asked(question="undo")
    async with console.visitor("ann") as ann:
        page = BeautifulSoup((await ann.load("/requests/apr-1")).text, "html.parser")
        form = page.select_one("[data-happened]")
        assert form and "It is undone already: nothing is called" in form.text and "did happen" not in form.text
        assert form.select("[name=output]") == []
        answer = await ann.send("/requests/apr-1/happened", digest=DIGEST, reason="I took it down", output='{"id": "p-1"}')
        assert answer.status_code == 409 and "does not go with an undo" in answer.text
        answer = await ann.send("/requests/apr-1/happened", digest=DIGEST, reason="I took it down")
    assert answer.status_code == 200 and "since it is undone already: I took it down" in answer.text
    found = await console.read()
    assert (found.state, found.ruled_by) == ("rejected", "ann") and found.ruling is not None and found.ruling["happened"] is True


async def test_other_questions_have_no_such_answer(console: Console) -> None:
    await console.asked()
    async with console.visitor("ann") as ann:
        assert "It did happen" not in (await ann.load("/requests/apr-1")).text
        answer = await ann.send("/requests/apr-1/happened", digest=DIGEST, reason="I saw it")
    assert answer.status_code == 409 and "asks whether to do something again" in answer.text
    assert (await console.read()).state == "pending"


async def test_a_word_on_another_action_than_the_one_seen_is_refused(console: Console) -> None:
    await console.asked()
    async with console.visitor("ann") as ann:
        assert (await ann.send("/requests/apr-1/approve", digest="e" * 64)).status_code == 409
        assert (await ann.send("/requests/apr-1/approve")).status_code == 400
    assert (await console.read()).state == "pending"


async def test_who_is_not_of_the_groups_is_refused(console: Console) -> None:
    await console.asked()
    async with console.visitor("otto") as otto:
        answer = await otto.send("/requests/apr-1/approve", digest=DIGEST)
    assert answer.status_code == 409 and "not allowed: needs group editor" in answer.text


async def test_an_edit_that_does_not_fit_the_schema_is_told_beside_its_field_and_keeps_what_was_typed(console: Console) -> None:
    await console.asked()
    async with console.visitor("ann") as ann:
        answer = await ann.send("/requests/apr-1/edit", **{"digest": DIGEST, "arg.title": "a title that is far too long"})
    assert answer.status_code == 422 and "is too long" in answer.text and 'value="a title that is far too long"' in answer.text
    assert 'aria-invalid="true"' in answer.text and (await console.read()).state == "pending"


async def test_identical_requests_of_low_risk_are_approved_with_one_word(console: Console) -> None:
    for nth in range(3):
        await console.asked(f"apr-{nth}", step=f"s{nth}")
    async with console.visitor("ann") as ann:
        page = (await ann.load("/inbox")).text
        assert page.count('name="chosen"') == 3
        answer = await ann.client.post(
            "/inbox/bulk", headers={"hx-request": "true"},
            data={"csrf": ann.csrf, "chosen": [f"apr-{nth}:{DIGEST}" for nth in range(3)], "reason": "the same thrice"},
        )  # fmt: skip
    assert "3 approved" in answer.text
    assert [(await console.read(f"apr-{nth}")).state for nth in range(3)] == ["approved"] * 3


@pytest.mark.parametrize("other", [{"arguments": {"title": "y"}}, {"about": {"reversible": False}}, {"tool": "other.tool"}])
async def test_what_differs_or_cannot_be_undone_is_never_approved_together(console: Console, other: dict[str, object]) -> None:
    await console.asked("apr-1", **({"about": other["about"]} if "about" in other else {}))
    await console.asked("apr-2", **other)
    async with console.visitor("ann") as ann:
        await ann.load("/inbox")
        answer = await ann.client.post("/inbox/bulk", data={"csrf": ann.csrf, "chosen": [f"apr-1:{DIGEST}", f"apr-2:{DIGEST}"]})
    assert answer.status_code == 400
    assert [(await console.read(f"apr-{nth}")).state for nth in (1, 2)] == ["pending", "pending"]


async def test_a_request_of_another_tenant_is_not_there(console: Console) -> None:
    async with console.visitor("ann") as ann:
        assert (await ann.client.get("/requests/apr-other")).status_code == 404
        assert (await ann.send("/requests/apr-other/approve", digest=DIGEST)).status_code == 404
