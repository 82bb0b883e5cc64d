"""The form of an edit: a field for each argument, and what was typed as JSON again."""

from typing import Any

import pytest

from channels.console import editing

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["title"],
    "properties": {
        "title": {"type": "string", "maxLength": 20},
        "count": {"type": "integer", "minimum": 1},
        "share": {"type": "number"},
        "loud": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "note": {"type": ["string", "null"]},
    },
}
ARGUMENTS: dict[str, Any] = {"title": "x", "count": 2, "share": 0.5, "loud": True, "tags": ["a"], "note": None}


def typed(**changes: str) -> dict[str, str]:
    shown = {editing.PREFIX + field.name: field.value for field in editing.fields(SCHEMA, ARGUMENTS)}
    return shown | {editing.PREFIX + name: value for name, value in changes.items()}


def test_a_form_that_nobody_changed_gives_the_arguments_it_was_made_of() -> None:
    assert editing.read(SCHEMA, ARGUMENTS, typed()) == (ARGUMENTS, {})


def test_what_was_typed_becomes_values_of_the_schema_s_types() -> None:
    edited, problems = editing.read(
        SCHEMA, ARGUMENTS, typed(title="y\r\nz", count="7", share="1e3", loud="", tags='["b", "c"]', note='"n"')
    )
    assert problems == {}
    assert edited == {"title": "y\nz", "count": 7, "share": 1000.0, "loud": False, "tags": ["b", "c"], "note": "n"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": "x" * 21}, "title"),
        ({"count": "0"}, "count"),
        ({"count": "two"}, "count"),
        ({"count": "1.5"}, "count"),
        ({"tags": "[1]"}, "tags"),
        ({"tags": "not json"}, "tags"),
        ({"tags": "[" * 100_000}, "tags"),
        ({"share": ""}, "share"),
    ],
)
def test_what_does_not_fit_is_named_at_its_field(changes: dict[str, str], field: str) -> None:
    _, problems = editing.read(SCHEMA, ARGUMENTS, typed(**changes))
    assert list(problems) == [field] and problems[field]


def test_an_argument_that_was_not_there_and_stays_empty_is_left_out() -> None:
    edited, problems = editing.read(SCHEMA, {"title": "x"}, {"arg.title": "y", "arg.count": "", "arg.tags": ""})
    assert problems == {} and edited == {"title": "y", "loud": False}


def test_what_was_typed_stands_in_the_form_again_with_its_problem() -> None:
    [title] = [field for field in editing.fields(SCHEMA, ARGUMENTS, typed(title="z"), {"title": "too short"}) if field.name == "title"]
    assert (title.value, title.problem, title.required) == ("z", "too short", True)
