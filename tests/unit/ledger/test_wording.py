"""What is written is what somebody can read, and a name has one spelling."""

import pytest

from ledger.wording import folded, written


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("it was needed", "it was needed"),
        ("  two\n words\u2003here ", "two words here"),
        ("\u200b\u2060\u3164\u2800\u034f\ufe0f\U000e0041", ""),
        ("a\u202eb\u00ad", "ab"),
        ("\u4e0d\u884c \U0001f600!", "\u4e0d\u884c \U0001f600!"),
    ],
)
def test_what_nobody_sees_is_not_written(text: str, read: str) -> None:
    assert written(text) == read


@pytest.mark.parametrize("name", ["ann", "ANN", " Ann ", "a\u200bnn", "\uff21nn", "ann\u3164", "\u202eann"])
def test_a_name_has_one_spelling(name: str) -> None:
    assert folded(name) == "ann"


def test_other_names_stay_others() -> None:
    assert folded("ann-b@example.test") == "ann-b@example.test" and folded("Anna") != folded("Ann") != folded("ann.b")
