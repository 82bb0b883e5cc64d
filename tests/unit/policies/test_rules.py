"""Rules: the strictest wins, silence denies, and what cannot be evaluated denies too."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadInput
from policies.automation import Rule
from policies.rules import FACTS, STRICTNESS, Judgement, Rules

OUTCOMES = st.sampled_from(STRICTNESS)


def rule(outcome: str, when: str = "true", id: str = "", irreversible: Sequence[str] = ()) -> Rule:
    return Rule.model_validate(
        {
            "id": id or outcome.replace("_", "-"),
            "when": when,
            "outcome": outcome,
            "because": f"it says {outcome}",
            "irreversible": irreversible,
        }
    )


def facts(**given: Any) -> dict[str, Any]:
    return {
        "tool": "blog.publish", "effect": "egress", "guarantee": "idempotent", "reversible": True, "arguments": {"n": 3, "to": ["a"]},
        "input": {}, "taint": ["notes"], "automation": "content-ops", "tenant": "default", "cost_micros": 5, "budget_left_micros": 100,
    } | given  # fmt: skip


def judge(*rules: Rule, asked: bool = False, **given: Any) -> Judgement:
    return Rules(rules).judge(facts(**given), asked=asked)


def test_where_no_rule_holds_the_action_is_denied() -> None:
    assert judge() == judge(rule("allow", "false")) == Judgement("deny", (), "no rule allows it")


@given(st.lists(OUTCOMES, min_size=1, max_size=6), st.booleans(), st.booleans())
def test_the_strictest_match_wins_and_asking_only_tightens(outcomes: list[str], reversible: bool, asked: bool) -> None:
    rules = [rule(outcome, id=f"r{n}") for n, outcome in enumerate(outcomes)]
    said = judge(*rules, reversible=reversible, asked=asked)
    strictest = max(outcomes, key=STRICTNESS.index)
    floor = "allow" if reversible and not asked else "require_approval"
    assert said.outcome == max(strictest, floor, key=STRICTNESS.index)
    assert said.matched == tuple(one.id for one in rules) and said.because


def test_the_winner_says_why_and_all_that_matched_are_named() -> None:
    said = judge(rule("allow"), rule("deny", "arguments.n > 2"), rule("require_approval", "cost_micros > 5"))
    assert said.as_json() == {"outcome": "deny", "rules": ["allow", "deny"], "because": "it says deny"}


@pytest.mark.parametrize(
    "when",
    ["arguments.none > 1", "arguments.n == 'x' || arguments.none", "arguments.to > 3", "arguments.n", "input.a.b", "arguments.n / 0 > 1"],
)
def test_a_rule_that_cannot_be_evaluated_denies_and_is_named(when: str) -> None:
    said = judge(rule("allow"), rule("allow", when, id="broken"))
    assert (said.outcome, said.matched) == ("deny", ("broken",)) and said.because.startswith("rule broken could not be evaluated: ")


@pytest.mark.parametrize("arguments", [{"n": 2**70}, {"n": "\ud800"}, {"n": object()}, {1: 2}])
def test_arguments_that_cel_cannot_hold_deny(arguments: dict[Any, Any]) -> None:
    said = judge(rule("allow", "has(arguments.n) || arguments.size() > 0"), arguments=arguments)
    assert said.outcome == "deny"


@pytest.mark.parametrize(
    ("named", "outcome"), [((), "require_approval"), (("social.post",), "require_approval"), (("social.post", "blog.publish"), "allow")]
)
def test_what_cannot_be_undone_passes_a_person_unless_a_rule_names_it(named: tuple[str, ...], outcome: str) -> None:
    assert judge(rule("allow", irreversible=named), reversible=False).outcome == outcome


def test_a_plan_that_asks_for_a_person_gets_one_even_where_a_rule_names_the_tool() -> None:
    said = judge(rule("allow", irreversible=("blog.publish",)), reversible=False, asked=True)
    assert (said.outcome, said.because) == ("require_approval", "the plan asks for a person here")


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("tol == 'x'", "undeclared reference to 'tol'"),
        ("tool == 3", "no matching overload"),
        ("tool ==", "Syntax error"),
        ("", "mismatched input"),
    ],
)
def test_a_mistake_in_a_condition_is_found_before_it_runs(when: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        Rules([rule("allow", when, id="mine")])
    assert str(caught.value).startswith("rule mine: ") and said in str(caught.value)
    assert f"(facts are {', '.join(sorted(FACTS))})" in str(caught.value)


@pytest.mark.parametrize("when", ["tool", "cost_micros + 1", "[1, 2]"])
def test_a_condition_is_a_truth_value(when: str) -> None:
    with pytest.raises(BadInput, match="is not a truth value"):
        Rules([rule("allow", when)])
