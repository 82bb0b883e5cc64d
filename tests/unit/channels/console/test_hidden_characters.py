"""The form of an edit and characters that nobody sees: they are written out, and what is sent is what was seen."""

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.console import editing
from tools.invisible import INVISIBLE

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"title": {"type": "string"}, "tags": {"type": "array"}}}
TRICKS = ["\u202egnp.exe", "a\u200bb", "x\U000e0041", "a\x1b[2J", "soft\u00adhyphen", "\ufeffbom", "\u3164", "a\r\nb", "\ue000", "\x7f"]


def shown(arguments: dict[str, Any]) -> dict[str, str]:
    return {editing.PREFIX + field.name: field.value for field in editing.fields(SCHEMA, arguments)}


def visible(text: str) -> bool:
    return not INVISIBLE.search(text) and all(unicodedata.category(c) not in editing.HIDDEN or c in "\n\t" for c in text)


@pytest.mark.parametrize("trick", TRICKS)
def test_what_nobody_sees_is_written_out_and_comes_back_as_it_was(trick: str) -> None:
    arguments = {"title": trick, "tags": [trick, {trick: 1}]}
    form = shown(arguments)
    assert all(map(visible, form.values()))
    assert json.loads(form["arg.title"]) == trick
    assert editing.read(SCHEMA, arguments, form) == (arguments, {})


def test_the_order_of_what_is_shown_can_be_taken_out_of_the_text() -> None:
    arguments = {"title": "pay \u202e001 to joe"}
    form = shown(arguments)
    assert form["arg.title"] == '"pay \\u202e001 to joe"'
    assert editing.read(SCHEMA, arguments, {"arg.title": '"pay 001 to joe"', "arg.tags": ""}) == ({"title": "pay 001 to joe"}, {})


@pytest.mark.parametrize(("field", "typed"), [("title", "a\u202eb"), ("title", "a\u200db"), ("tags", '["a\u202eb"]')])
def test_what_is_typed_and_cannot_be_seen_is_refused_at_its_field_and_named(field: str, typed: str) -> None:
    _, problems = editing.read(SCHEMA, {"title": "x", "tags": []}, {"arg.title": "x", "arg.tags": "[]", f"arg.{field}": typed})
    assert list(problems) == [field] and "which nobody sees" in problems[field] and "U+20" in problems[field]


def test_a_text_of_any_script_stays_a_text() -> None:
    for text in ("Zürich", "日本語", "שלום", "مرحبا", "a line\nand\tanother", 'quotes " and \\ too', "❤️"):
        [title, *_] = editing.fields(SCHEMA, {"title": text})
        assert (title.kind, title.value) == ("text", text)


@given(st.text(st.characters(codec="utf-8")))
def test_every_text_is_seen_whole_and_comes_back_as_it_was(text: str) -> None:
    arguments = {"title": text, "tags": [text]}
    form = shown(arguments)
    assert all(map(visible, form.values()))
    assert editing.read(SCHEMA, arguments, form) == (arguments, {})
