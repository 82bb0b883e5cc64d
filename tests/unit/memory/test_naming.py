"""Names as they are written: found whatever their case, order and escapes, and taken out of texts; and nothing else."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory import escapes
from memory.naming import MARK, candidates, goes_by, keys, normal, spellings, without


@pytest.mark.parametrize("name", ["Ann Lee", "ann  LEE", " ann-lee ", "Ann\nLee", "ANN.LEE", "\uff21nn Lee", "ann_lee", "A\u200bnn Lee"])
def test_one_name_has_one_normal_form(name: str) -> None:
    assert normal(name) == "ann lee"


def test_letters_that_differ_make_other_names() -> None:
    assert len({normal(name) for name in ("ann", "anna", "\u00e4nn", "an n")}) == 4


def test_accents_are_the_same_however_they_are_typed() -> None:
    assert normal("Jos\u00e9") == normal("Jose\u0301") != normal("Jose")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ann Lee came", f"{MARK} came"),
        ("ask ANN-LEE, ann lee and Ann", f"ask {MARK}, {MARK} and Ann"),
        ("Joann Lee and Ann Leer", "Joann Lee and Ann Leer"),
        ("annlee", "annlee"),
        ("annlee@x.org or AnnLee", f"{MARK}@x.org or {MARK}"),
        ("JoAnnLee and AnnLeer", "JoAnnLee and AnnLeer"),
        ("id_ann_lee_7", f"id_{MARK}_7"),
        ("A\u200bnn L\u00adee came", f"{MARK} came"),
        ("", ""),
    ],
)
def test_whole_names_are_taken_out_and_nothing_else(text: str, expected: str) -> None:
    assert without(text, ["ann lee"]) == expected


def test_a_whole_name_goes_and_not_its_half() -> None:
    assert without("Ann Lee and Lee", ["lee", "ann lee"]) == f"{MARK} and {MARK}"


@given(st.text(max_size=60), st.text(alphabet="abcdefgh ", min_size=2, max_size=12).filter(lambda name: len(normal(name)) > 1))
def test_no_text_has_the_name_afterwards_and_others_stay_as_they_are(text: str, name: str) -> None:
    words = set(normal(escapes.read(text)).split()) | set(normal(text).split())
    assert without(text, [normal(name)]) == text or words.issuperset(normal(name).split())
    left = without(f"{text} {name} {text}", [normal(name)])
    assert f" {normal(name)} " not in f" {normal(left.replace(MARK, ' | '))} " or normal(name) in normal(MARK)


def test_a_database_finds_a_name_by_its_spellings() -> None:
    assert spellings("Ann-Lee") == ["ann lee"]
    assert set(spellings("Gr\u00f6\u00dfe")) == {"gr\u00f6\u00dfe", "gr\u00f6sse", "gro\u0308\u00dfe", "gro\u0308sse"}


def test_marks_that_are_vowels_belong_to_their_word() -> None:
    ram, romi = "\u0930\u093e\u092e", "\u0930\u094b\u092e\u0940"
    assert normal(ram) == ram != normal(romi)
    assert without(f"{ram} {romi}", [normal(ram)]) == f"{MARK} {romi}"
    assert spellings(ram) == [ram]
    assert normal("Ann \u2764\ufe0f Lee") == "ann lee"


@pytest.mark.parametrize(
    "text",
    [
        *("Lee, Ann", "LEE,ann", "lee ann", "Lee-Ann", "lee_ann", "lee.ann", "Lee ,  Ann", "Lee,\nAnn", "Lee\u00a0Ann", "LeeAnn"),
        *("ann%20lee", "ann+lee", "Lee%2C%20Ann", "Lee%2C+Ann", "%41nn%2520Lee", "Ann%C2%A0Lee", "An%6e%5Flee", "LEE%20ANN"),
        *("Ann&nbsp;Lee", "Lee&comma;&#32;Ann", "&#65;nn&#x20;Lee", "Ann&amp;nbsp;Lee", "Ann&mdash;Lee"),
        *(r"Ann\u0020Lee", r"\u0041nn Lee", r"Lee\u002c Ann", r"Ann\\u0020Lee", r"Ann\nLee", r"Ann\xa0Lee", r"\U00000041nn Lee"),
    ],
)
def test_a_name_is_found_in_any_order_and_in_escapes(text: str) -> None:
    assert without(f"({text}) x", ["ann lee"]) == f"({MARK}) x"
    assert goes_by("ann lee", text)


@pytest.mark.parametrize(
    "text",
    [
        *("Lee met Ann", "Lee. Ann", "Lee; Ann", "Lee and Ann", "Lee (Ann)", "Lee\n\n\nAnn", "Lee, Anna", "Leer, Ann", "Lee, the Ann"),
        *("planned", "Anna%20Lee", "Ann%20Leer", "x%41nn Lee", "Ann%41Lee", r"Ann\u0061 Lee", "LeeAnna", "annlee", "leeann"),
    ],
)
def test_what_only_has_the_same_words_or_letters_is_no_name(text: str) -> None:
    assert without(text, ["ann lee"]) == text
    assert not goes_by("ann lee", text)


def test_three_and_four_words_stand_in_any_order_and_each_once() -> None:
    assert without("Mar, Maria del; del mar maria; Mar Mar del", ["maria del mar"]) == f"{MARK}; {MARK}; Mar Mar del"
    assert without("dd, aa bb cc", ["aa bb cc dd"]) == MARK
    assert without("Lee, A. B.; Lee A.B; see A. Lee", ["a b lee"]) == f"{MARK}.; {MARK}; see A. Lee"
    assert without("e a b c d, a b c d e", ["a b c d e"]) == f"e a b c d, {MARK}"


def test_what_is_beside_an_escaped_name_stays_as_it_is_written() -> None:
    assert without("https://x.org/?q=ann%20lee&next=a%26b#%C3%A9", ["ann lee"]) == f"https://x.org/?q={MARK}&next=a%26b#%C3%A9"
    assert without(r'{"to": "Jos\u00e9 \"x\"", "at": "caf\u00e9"}', ["jos\u00e9"]) == rf'{{"to": "{MARK} \"x\"", "at": "caf\u00e9"}}'


@pytest.mark.parametrize(
    "written", ["Jos%C3%A9", "Jose%CC%81", "Jos%E9", "Jos&eacute;", "Jos&#233;", r"Jos\u00e9", r"JOS\u00C9", r"Jos\xc3\xa9"]
)
def test_a_letter_with_an_accent_is_found_in_each_escape(written: str) -> None:
    assert without(f"see {written}!", ["jos\u00e9"]) == f"see {MARK}!"


def test_letters_of_another_alphabet_make_another_name() -> None:
    assert without("\u0417\u0435\u043b\u044c\u0434\u0430 \u0410nn", ["zelda", "ann"]) == "\u0417\u0435\u043b\u044c\u0434\u0430 \u0410nn"


def test_a_name_has_few_keys() -> None:
    assert keys("ann") == {"ann"}
    assert keys("ann lee") == {"ann lee", ",ann lee", "@annlee", "@leeann"}
    assert keys("a b c d") == {"a b c d", ",a b c d", "@abcd", "@dabc"}
    assert keys("a b c d e") == {"a b c d e", "@abcde"}


@given(st.text(max_size=80) | st.text(alphabet="%&\\ux25aFdD8c0#;np", max_size=40))
def test_each_letter_that_is_read_has_its_place(text: str) -> None:
    plain = escapes.located(text)
    assert plain.text == escapes.read(text)
    assert len(plain.text) == len(plain.starts) == len(plain.ends)
    if text:
        assert (plain.starts[0], *plain.ends) == (0, *plain.starts[1:], len(text))


HOSTILE = [
    "\\",
    "\\x",
    "\\xc3",
    "%",
    "%25",
    "%C3",
    "&",
    "&amp;",
    "\\u00e9",
    "ann,",
    "lee, ann ",
    "ann lee ",
    "ann%20lee ",
    "aA",
    "a@",
    "e\u0301",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_keeps_a_writer_waiting(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    began = time.process_time()
    without(text, ["ann lee"])
    candidates(text, [1, 2, 3])
    # Two seconds at most. What walked through a text again and again took from ten to two hundred.
    assert time.process_time() - began < 6


def test_a_run_of_backslashes_is_one_escape_wherever_it_is_looked_at() -> None:
    assert escapes.read(r"\\n\\\u0041\\x42\\q\\U00000043\\\\") == r" AB\\qC\\\\"
