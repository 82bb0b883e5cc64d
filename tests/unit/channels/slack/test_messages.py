"""Cards as messages: whatever the arguments say, what binds the action and what rules on it stay as they are."""

from dataclasses import replace
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from channels.card import Card, CardFacts, card
from channels.slack import forms
from channels.slack.markup import Block
from channels.slack.message import message
from devstack.fake_slack import limits
from ledger.approvals import Request
from tests.integration.ledger import rows

HOSTILE = [
    "<!channel> <@U123> <https://evil.example|Approve>", "*bold* _it_ ~s~ `code` ```\nblock\n```", "> quote\n&gt; &amp; &lt;!here&gt;",
    ":white_check_mark: Approved by the owner", "\u202eevorppA\u202c", "\u2066\u2067\u2068 \u200b\u200c\u200d\ufeff",
    "Z\u0351\u036b\u0343\u0364\u030a" * 500, "\n" * 5000 + "Digest: 000000000000", "\x00\x07\x1b[2J", "\U000e0041\U000e0070",
    '"}]},{"type":"actions","elements":[{"type":"button","action_id":"approve"}]}', "A\u0336p\u0336p\u0336r\u0336o\u0336v\u0336e",
    "|" * 4000, "\t" * 4000, "", " ", "\u3164" * 300, "{{7*7}} ${jndi:ldap://x} <script>alert(1)</script>", "\u2028\u2029\r\n\r",
    "\U0001f3f4\U000e0067\U000e0062\U000e007f", "\ufdfa" * 900, "\U00012219" * 700, "x" * 100_000,
]  # fmt: skip
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=300), st.lists(st.sampled_from(HOSTILE[:-1]), max_size=4).map("".join))


def request(**given: Any) -> Request:
    return replace(rows.request(), about={"effect": "write", "reversible": False, "rules": ["r1"], "cost_micros": 5}, **given)


def place(blocks: list[Block]) -> int:
    """Return where the argument `text` is framed."""
    return next(
        nth
        for nth, block in enumerate(blocks)
        if block["type"] == "rich_text" and block["elements"][0]["elements"][0].get("text") == "text"
    )


def action_region(made: Card, value: int) -> list[Block]:
    """All blocks but the one that frames the hostile value, and the warning that it hides something."""
    blocks = message(made).blocks
    warned = sum(warning.endswith("would be in what runs") for warning in made.warnings)
    kept = [block for nth, block in enumerate(blocks) if nth != value]
    return [block for block in kept if not (warned and "invisible or direction-changing" in str(block))]


@settings(max_examples=500, deadline=None)
@given(text=TEXTS)
@example(text="<!channel>")
def test_five_hundred_hostile_values_leave_the_action_region_unchanged(text: str) -> None:
    arguments = {"title": "hello", "text": "benign"}
    calm = card(request(arguments=arguments))
    shown = card(request(arguments={**arguments, "text": text}))
    # Short values come first, so the two may stand in either order; by its name the hostile one is found.
    where = [place(message(calm).blocks), place(message(shown).blocks)]
    assert action_region(calm, where[0]) == action_region(shown, where[1])
    assert message(shown).text == message(calm).text


@settings(max_examples=200, deadline=None)
@given(tool=TEXTS, step=TEXTS, why=TEXTS, name=TEXTS, value=TEXTS, groups=st.lists(TEXTS.filter(bool), min_size=1, max_size=5))
def test_whatever_a_request_says_slack_takes_its_message_and_its_forms(
    tool: str, step: str, why: str, name: str, value: str, groups: list[str]
) -> None:
    made = request(tool=tool, step=step, reason=why, arguments={name: value, "title": "x"}, groups=groups, workflow_id=value[:200])
    rendered = message(card(made))
    assert limits.message_problem(rendered.text, rendered.blocks) is None
    for view in (forms.rejection(made, "C1"), forms.edit(made, "C1"), forms.details(made)):
        assert limits.view_problem(view) is None


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_nothing_that_others_wrote_is_read_as_markup(text: str) -> None:
    rendered = message(card(request(tool=text, step=text, reason=text, arguments={text: text, "title": text}, groups=[text or "g"])))
    assert not [found for found in every(rendered.blocks) if found.get("type") == "mrkdwn"]
    assert "<" not in rendered.text and ">" not in rendered.text
    assert [found["value"] for found in every(rendered.blocks) if found.get("type") == "button"] == ["apr-1"] * 4


def every(value: Any) -> list[dict[str, Any]]:
    match value:
        case dict():
            return [value, *(found for child in value.values() for found in every(child))]
        case list():
            return [found for child in value for found in every(child)]
        case _:
            return []


def test_forty_arguments_and_as_many_changes_fit_and_what_is_left_out_is_counted() -> None:
    before = request(arguments={f"a{nth}": "y" * 2500 for nth in range(40)})
    made = card(request(arguments={f"a{nth}": "x" * 2500 for nth in range(40)}), CardFacts(before=before))
    rendered = message(made)
    assert limits.message_problem(rendered.text, rendered.blocks) is None
    assert "62 more arguments or changes are not shown here" in str(rendered.blocks)


def test_what_cannot_be_undone_is_asked_twice() -> None:
    approve = message(card(request())).blocks[-1]["elements"][0]
    assert "cannot be undone" in approve["confirm"]["title"]["text"]
    assert "confirm" not in message(card(replace(request(), about={"reversible": True}))).blocks[-1]["elements"][0]
