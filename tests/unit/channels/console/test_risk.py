"""How much could go wrong, and what is the same."""

from dataclasses import replace

import pytest

from channels.console.risk import risk, sameness, together
from ledger.approvals import Request
from tests.integration.ledger import rows


def asked(**given: object) -> Request:
    return replace(rows.request(), **{"about": {"effect": "write", "reversible": True}, **given})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "low"),
        ({"about": {"effect": "egress", "reversible": True}}, "medium"),
        ({"question": "again"}, "medium"),
        ({"about": {"effect": "write", "reversible": False}}, "high"),
        ({"about": {}}, "high"),
        ({"terms": {"above": True}}, "high"),
    ],
)
def test_risk_is_high_where_nothing_takes_it_back_or_nobody_knows(given: dict[str, object], expected: str) -> None:
    assert risk(asked(**given)) == expected


def test_requests_are_the_same_whatever_run_they_are_of_and_not_where_an_argument_differs() -> None:
    assert sameness(asked()) == sameness(asked(id="apr-2", lineage="other", step="s9"))
    assert sameness(asked()) != sameness(asked(arguments={"title": "y"}))


def test_only_identical_ones_of_low_risk_go_together() -> None:
    assert together([asked(), asked(id="apr-2")]) is None
    assert "identical" in (together([asked(), asked(arguments={"title": "y"})]) or "")
    assert "low risk" in (together([asked(about={}), asked(id="apr-2", about={})]) or "")
