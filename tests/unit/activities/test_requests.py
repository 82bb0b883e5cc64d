"""How a person is asked: the ladder of times, and what a request binds."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from activities.requests import ends, rungs, terms
from policies.approvals import Approvals
from policies.bundles import Bundle

NOW = datetime(2030, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def ladder(**asking: Any) -> list[tuple[float, str]]:
    """Return the rungs of a request as hours from its start and kind."""
    found = rungs(Approvals.model_validate(asking), NOW)
    return [((rung["at"] / 1000 - NOW.timestamp()) / 3600, rung["kind"]) for rung in found]


def bundle(*rules: dict[str, Any], **asking: Any) -> Bundle:
    agent = {"prompt": "p", "route": "m", "tools": ["t"]}
    body = {
        "goal": "g", "agents": {"a": agent}, "planner": "a", "models": {"m": {}}, "rules": rules, "approvals": asking,
        "budget": {"run_micros": 1},
    }  # fmt: skip
    return Bundle("auto", {"automation": body, "prompts": {}})


def asks(id: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "when": "true", "outcome": "require_approval", "because": "so it is", **more}


def bound(made: Bundle, *matched: str, cost: int = 0, one_machine: bool = True) -> Any:
    return terms(made, matched, cost, one_machine=one_machine)


def test_a_plain_ladder_reminds_and_ends() -> None:
    assert ladder(deadline="PT24H", remind=["PT1H", "PT12H"]) == [(1, "remind"), (12, "remind"), (24, "end")]


def test_silence_that_escalates_goes_through_every_circle_before_it_ends() -> None:
    chain = [{"groups": ["lead"], "within": "PT2H"}, {"groups": ["board"], "within": "PT3H"}, {"groups": ["owner"], "within": "PT1H"}]
    found = ladder(deadline="PT4H", silence="escalate", escalation=chain)
    assert found == [(4, "escalate"), (6, "escalate"), (9, "escalate"), (10, "end")]
    early = ladder(deadline="PT4H", escalate="PT1H", silence="escalate", escalation=chain)
    assert early == [(1, "escalate"), (4, "escalate"), (7, "escalate"), (8, "end")]
    assert ends(rungs(Approvals(deadline=HOUR), NOW)) == NOW + HOUR


@pytest.mark.parametrize(
    ("asking", "message"),
    [
        ({"silence": "allow"}, "deny"),
        ({"silence": "escalate"}, "needs `escalation`"),
        ({"escalation": [{"groups": ["lead"]}]}, "is reached by"),
        ({"quorum": 0}, "greater than or equal to 1"),
        ({"groups": []}, "at least 1"),
        ({"stages": [{"groups": []}]}, "at least 1"),
        ({"deadline": "PT1H", "escalate": "PT2H", "escalation": [{"groups": ["lead"]}]}, "comes before it"),
    ],
)
def test_a_way_of_asking_that_makes_no_sense_is_refused(asking: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Approvals.model_validate(asking)


def test_without_stages_one_person_of_the_groups_is_enough() -> None:
    assert [(stage.groups, stage.quorum) for stage in bound(bundle(groups=["editor"])).stages] == [(("editor",), 1)]


def test_the_stages_of_every_rule_that_matched_must_agree() -> None:
    finance, owner = [{"groups": ["finance"], "quorum": 2}], [{"groups": ["owner"]}]
    made = bundle(asks("dear", stages=finance), asks("prod", stages=owner), asks("both", stages=[*finance, *owner]), groups=["editor"])
    assert [stage.groups for stage in bound(made, "dear").stages] == [("finance",)]
    assert [stage.groups for stage in bound(made, "dear", "prod", "both").stages] == [("finance",), ("owner",)]
    assert [stage.groups for stage in bound(made).stages] == [("editor",)]


def test_above_the_threshold_is_what_costs_more_or_what_a_rule_says() -> None:
    made = bundle(asks("dear", above=True), edit_threshold_micros=100)
    assert not bound(made, cost=100).above and bound(made, cost=101).above and bound(made, "dear").above
    assert not bound(bundle(), cost=10**9).above


def test_self_approval_is_for_the_one_machine_stack() -> None:
    made = bundle(self_approval=True)
    assert bound(made).self_approval and not bound(made, one_machine=False).self_approval and not bound(bundle()).self_approval


def test_only_a_rule_that_asks_says_whom() -> None:
    with pytest.raises(ValidationError, match="go with the outcome `require_approval`"):
        _ = bundle({**asks("x"), "outcome": "allow", "above": True}).settings
