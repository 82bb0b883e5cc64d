"""Edited arguments are held against the tool's schema, and a hostile schema stops no channel."""

from typing import Any

import pytest

from ledger.approvals import edit_problem


@pytest.mark.parametrize(
    ("schema", "arguments", "said"),
    [
        ({"properties": {"a": {"type": "string"}}}, {"a": "x"}, None),
        ({"properties": {"a": {"type": "string"}}}, {"a": 1}, "a: 1 is not of type 'string'"),
        ({"properties": {"a": {}}}, {"b": 1}, "arguments: Additional properties are not allowed"),
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 300 + "!"}, "a: the value breaks `pattern"),
        ({"anyOf": [{"type": "array"}] * 5000}, {"a": "x" * 1_000_000}, "the arguments cannot be checked: it takes too many steps"),
        ({}, None, "an edit needs `arguments`"),
    ],
)
def test_an_edit_that_does_not_fit_or_cannot_be_checked_is_refused(schema: dict[str, Any], arguments: Any, said: str | None) -> None:
    found = edit_problem(schema, arguments)
    assert found is None if said is None else said in str(found)
