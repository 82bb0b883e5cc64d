"""The form of an edit: a field for each argument, and what it gives back."""

from typing import Any

from channels.slack import forms
from ledger.approvals import Request
from tests.integration.ledger import rows

SCHEMA = {
    "type": "object",
    "required": ["title", "count"],
    "properties": {
        "title": {"type": "string", "maxLength": 20},
        "count": {"type": "integer", "minimum": 1},
        "tone": {"type": "string", "enum": ["dry", "warm"]},
        "loud": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "body": {"type": "string"},
    },
}
ARGUMENTS = {"title": "hello", "count": 3, "tone": "dry", "loud": False, "tags": ["a"], "body": "long " * 1000}


def made(**given: Any) -> Request:
    return rows.request(schema=SCHEMA, arguments={**ARGUMENTS, **given})


def sent(request: Request, **typed: str | None) -> dict[str, Any]:
    """What Slack sends of a form in which these arguments were typed or chosen."""
    fields = {field.name: field for field in forms.editable(request)[0]}
    state = {field.block: field.shown for field in fields.values()} | {fields[name].block: value for name, value in typed.items()}
    return {block: {"value": {"type": "plain_text_input", "value": value or None}} for block, value in state.items()}


def wrong(request: Request, **typed: str | None) -> dict[str, str]:
    names = {field.block: field.name for field in forms.editable(request)[0]}
    return {names.get(block, block): said for block, said in forms.edited(request, sent(request, **typed))[1].items()}


def test_a_form_that_nobody_touched_gives_the_arguments_back() -> None:
    hidden = made(title="a\u200bb", tags=["\u202e", "x"], loud=None)
    assert forms.edited(hidden, sent(hidden))[0] == hidden.arguments
    assert forms.edited(made(), sent(made())) == (ARGUMENTS, {})


def test_each_value_comes_back_as_what_its_schema_says() -> None:
    arguments, problems = forms.edited(made(), sent(made(), title="12", count="4", tone="warm", loud="true", tags='["b", "c"]'))
    assert problems == {}
    assert arguments == {**ARGUMENTS, "title": "12", "count": 4, "tone": "warm", "loud": True, "tags": ["b", "c"]}


def test_an_optional_argument_that_was_emptied_is_left_out_and_a_required_one_is_not() -> None:
    arguments, problems = forms.edited(made(), sent(made(), tone=None, title=None))
    assert problems == {} and "tone" not in arguments and arguments["title"] == ""


def test_what_is_wrong_is_said_at_its_field() -> None:
    assert list(wrong(made(), count="many")) == ["count"]
    assert "minimum" in wrong(made(), count="0")["count"]
    assert list(wrong(made(), tags='["a", 1]')) == ["tags"]
    assert "JSON" in wrong(made(), tags="NaN")["tags"]
    assert set(wrong(made(), title="x" * 21, count="0")) == {"count", "title"}


def test_what_is_too_long_for_a_form_stays_as_it_is() -> None:
    fields, kept = forms.editable(made())
    assert kept == ["body"] and "body" not in [field.name for field in fields]
    assert forms.edited(made(), sent(made(), title="new"))[0]["body"] == ARGUMENTS["body"]


def test_arguments_that_no_schema_names_are_refused_as_the_tool_would() -> None:
    assert "Additional properties" in next(iter(wrong(made(extra="x"), title="new").values()))


def test_a_schema_without_types_gives_back_what_was_there() -> None:
    request = rows.request(schema={}, arguments={"a": "text", "b": 1, "c": None, "d": {"e": [1]}})
    assert forms.edited(request, sent(request))[0] == request.arguments
