"""The card: a pure function of the bound action, whatever a model or a stranger wrote into it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from channels.card import Card, CardFacts, Said, card
from ledger.approvals import Request
from tools.invisible import INVISIBLE

AT = datetime(2030, 1, 31, 9, tzinfo=UTC)
ABOUT = {"effect": "write", "guarantee": "guarded", "reversible": False, "cost_micros": 500, "version": "v1", "rules": ["dear"]}
REQUEST = Request(
    id="apr-1", lineage="lineage", workflow_id="my-run", step="s1", n=1, tool="shop.refund", digest="abcdef" * 10, bundle="b",
    arguments={"amount": 7, "note": "short"}, schema={}, question="run", reason="it is dear", groups=["finance"], unsigned=False,
    state="pending", rungs=[{"at": int(AT.timestamp() * 1000), "kind": "end"}], created_at=AT, expires_at=AT, about=ABOUT,
    terms={"stages": [{"groups": ["finance"], "quorum": 2}, {"groups": ["owner"], "quorum": 1}]},
)  # fmt: skip
HOSTILE = st.one_of(
    st.text(max_size=3000),
    st.sampled_from(
        ["<script>alert(1)</script>", "*bold* <!channel> `x`", "\u202eevil\u202c", "]]>", "{{7*7}}", "| a | b |", "\x1b[2J", "\u0000"]
    ),
    st.text(alphabet="\u200b\u202e\u2066\U000e0041ab", max_size=40),
)


def region(made: Card) -> Any:
    """Return what says which action it is and what ruling on it does."""
    return (
        made.request, made.tool, made.effect, made.reversible, made.cost, made.after, made.rules, made.groups, made.needed, made.silence,
        made.digest12, made.deadline, made.state,
    )  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(note=HOSTILE, name=st.text(min_size=1, max_size=40))
def test_no_text_in_the_arguments_changes_what_the_card_says_of_the_action(note: str, name: str) -> None:
    made = card(replace(REQUEST, arguments={"amount": 7, name: note, "list": [note, {"deep": note}]}))
    assert region(made) == region(card(REQUEST))
    assert not any(INVISIBLE.search(row.name + row.value) for row in made.rows)
    assert bool(made.warnings) == bool(INVISIBLE.search("\n".join((name, note))))


def test_a_card_says_who_else_must_agree_and_what_it_costs() -> None:
    made = card(REQUEST, CardFacts(spent=100, limit=1000, votes=(Said("ann", "approve", 0, AT, behalf="bob"),)))
    assert (made.needed, made.agreed) == ("1 more of finance, then 1 of owner", ("ann for bob",))
    assert (made.spent, made.cost, made.after, made.limit) == (100, 500, 600, 1000)
    assert made.silence == "at 2030-01-31 09:00 UTC silence refuses it"


def test_silence_that_escalates_names_who_is_next() -> None:
    terms = {**REQUEST.terms, "silence": "escalate", "escalation": [["lead"], ["board", "owner"]]}
    assert card(replace(REQUEST, terms=terms)).silence.startswith("where nobody rules, lead, then one of board, owner may rule too; at ")
    assert card(replace(REQUEST, terms=terms, escalated=1)).silence.startswith("where nobody rules, one of board, owner may")


def test_a_megabyte_is_shown_shortened_with_its_length_and_its_own_digest() -> None:
    long, other = "x" * 1_000_000, "x" * 999_999 + "y"
    [row], [changed] = (card(replace(REQUEST, arguments={"text": text})).rows for text in (long, other))
    assert row.shortened and row.size == 1_000_000 and len(row.value) < 2200 and "1,000,000 characters" in row.value
    assert row.value != changed.value, "a change beyond what is shown must show"


def test_short_values_come_before_long_ones_and_too_many_are_counted() -> None:
    made = card(replace(REQUEST, arguments={f"n{nth:03}": nth for nth in range(60)} | {"a": "x" * 500}))
    assert len(made.rows) == 50 and made.warnings == ("11 arguments are not shown",)
    assert [row.name for row in card(replace(REQUEST, arguments={"a": "x" * 500, "b": 1})).rows] == ["b", "a"]


def test_an_edit_shows_what_it_changed_only() -> None:
    edited = replace(REQUEST, arguments={"amount": 8, "note": "short", "to": "ann"}, supersedes="apr-0")
    made = card(edited, CardFacts(before=replace(REQUEST, arguments={"amount": 7, "note": "short", "from": "bob"})))
    assert [(one.name, one.before, one.after) for one in made.changes] == [("amount", "7", "8"), ("from", "bob", None), ("to", None, "ann")]


def test_a_card_of_what_is_decided_says_by_whom_and_why_and_asks_nobody() -> None:
    made = card(replace(REQUEST, state="rejected", ruled_by="ann", ruled_at=AT, ruling={"reason": "no\u202e"}))
    assert made.outcome == "rejected by ann at 2030-01-31 09:00:00 UTC: no" and made.needed == ""


def test_a_request_from_before_its_effect_was_kept_says_that_it_is_not_known() -> None:
    made = card(replace(REQUEST, about={}, terms={}))
    assert made.reversible is None and made.needed == "1 of finance" and "not known" in made.warnings[0]
