"""Invisible text: what hides orders from a person's eye goes, and writing that people use stays."""

import pytest

from tools.invisible import hidden, visible, visible_in

TAGS = "".join(chr(0xE0000 + ord(letter)) for letter in "obey me")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (f"Read a file.{TAGS}", "Read a file."),
        ("re\u200bad\u2060 a\ufeff file", "read a file"),
        ("safe \u202egnihton\u202c \u2066x\u2069", "safe gnihton x"),
        ("a\ufe00\ufe01\ufe0fb", "ab"),
        ("a\ufe0f\ufe0f\ufe0eb", "ab"),
        ("a\U000e0100\U000e01efb", "ab"),
        ("\u3164\u115f\u00adx\u0007", "x"),
    ],
)
def test_what_hides_goes(text: str, seen: str) -> None:
    assert visible(text) == seen
    assert hidden(text) == len(text) - len(seen)


@pytest.mark.parametrize("text", ["Größe\tin\nMeter", "☎\ufe0f 123", "日本語", "مرحبا", "naïve — “quoted”", "é"])
def test_writing_that_people_use_stays(text: str) -> None:
    assert visible(text) == text and hidden(text) == 0


def test_a_schema_is_cleaned_to_its_last_text() -> None:
    schema = {"properties": {f"a{TAGS}": {"description": f"x{TAGS}", "enum": [f"y{TAGS}", 1, None]}}}
    assert visible_in(schema) == {"properties": {"a": {"description": "x", "enum": ["y", 1, None]}}}
    assert hidden(schema) == 3 * len(TAGS)
