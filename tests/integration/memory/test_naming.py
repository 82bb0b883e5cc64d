"""Names in texts: what Python finds, the database finds, and takes out, on names and texts that hypothesis makes."""

import asyncio
import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from database import SEARCH_PATH
from memory import escapes, naming, sieve
from memory.naming import MARK, bare, normal, spellings, without

# Letters of several scripts, with and without accents, and what is written in two small letters or hides from the eye.
LETTERS = "abczqZQ\u00e9\u00dc\u00f1\u0142\u00df\ufb01\uff3a\u0437\u0418\u03b1\u03a9\u738b\u092e\u0645"
WORDS = st.text(alphabet=LETTERS, min_size=1, max_size=6)
# Who has two \u00df writes them in one way: in two ways within one name they are found by Python alone.
NAMES = (
    st.lists(WORDS, min_size=1, max_size=4)
    .map(" ".join)
    .filter(lambda name: len(normal(name).replace(" ", "")) > 1 and name.count("\u00df") < 2)
)
GAPS = st.sampled_from(
    [" ", ", ", ",", "-", "_", ".", "  ", " met ", ". ", "; ", "\u00a0", "+", "", "%20", "&nbsp;", "\\u0020", "\\n", "\u200b"]
)
AROUND = st.sampled_from(
    ["", "ask ", "x", "7", "(", "@", "\u00e9", "%3D", "100%", "&", "&quot;", "\\", "\\n", "%C3", "\\ud83d", "=?", "\u2060"]
)

MARKS = st.sampled_from(["\u0301", "\u094d", "\u0327\u0301"])
"""What makes another letter of the one before."""


def _as_url(text: str) -> str:
    return quote(text)


def _as_entities(text: str) -> str:
    return "".join(f"&#{ord(letter)};" for letter in text)


def _as_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _same(text: str) -> str:
    return text


def _decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


WAYS: Sequence[Callable[[str], str]] = (
    *(_same, str.upper, str.lower, str.title, _decomposed, _as_url, _as_entities, _as_json),
    lambda text: _as_url(_decomposed(text)),
    lambda text: _as_url(_as_url(text)),
)


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a name, and a text in which its words stand in some order, some way: as the name, or as no name at all."""
    name = draw(NAMES)
    words = draw(st.permutations(name.split()))
    way = draw(st.sampled_from(WAYS))
    written = "".join(part for word in words for part in (draw(GAPS), way(word)))[0 if draw(st.booleans()) else 1 :]
    return name, draw(AROUND) + written + draw(MARKS | AROUND) + draw(st.sampled_from(["", " and " + name, " " + way(name)]))


@pytest.fixture
def ask(owner_database_url: str) -> Any:
    """A way to ask the database from a test that is not asynchronous, as those of hypothesis are."""
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(owner_database_url, server_settings=SEARCH_PATH))
    yield lambda query, *given: loop.run_until_complete(connection.fetchrow(query, *given))
    loop.run_until_complete(connection.close())
    loop.close()


@settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts())
def test_python_and_the_database_take_the_same_names_out(ask: Any, made: tuple[str, str]) -> None:
    name, text = made
    likes, hidden, pattern = ask(sieve.SIEVE, spellings(name))
    found, left = ask("SELECT named($1, $2, $3), forgotten($1, $4)", text, likes, hidden, pattern)
    expected = without(text, [normal(name)])
    assert _read(left) == _read(expected)
    assert found or MARK not in left


def _read(text: str) -> str:
    # What is beside a name may be left as it was written or as it is seen.
    return bare(escapes.read(bare(text)))


@settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=40) | texts().map(lambda made: made[1]) | st.text(alphabet="%&\\ux25aFdD8c0#;np", max_size=30))
def test_python_and_the_database_read_the_same(ask: Any, text: str) -> None:
    text = text.replace("\0", "")
    assert tuple(ask("SELECT as_read($1), bare($1)", text)) == (escapes.read(text), bare(text))


def test_python_and_the_database_have_the_same_lists(ask: Any) -> None:
    gaps = (f"(?:{naming.AFTER_INITIAL.pattern})", f"(?:{naming.GAP.pattern})")
    assert tuple(ask("SELECT escapes(), name_gap('q'), name_gap('quimby')")) == (escapes.ESCAPE, *gaps)
    for name, value in [*escapes.ENTITIES.items(), ("quot", None), ("amp", None)]:
        assert ask("SELECT entity($1) AS value", name)["value"] == value
    (definition,) = ask("SELECT prosrc FROM pg_proc WHERE proname = 'entity'")
    assert json.loads(re.findall(r"'(\{.*\})'", definition, re.DOTALL)[0]) == escapes.ENTITIES


@pytest.mark.parametrize("words", [1, 2, 3, 4, 5])
def test_a_name_has_each_order_once(ask: Any, words: int) -> None:
    name = " ".join(f"w{nth}" for nth in range(words))
    assert ask("SELECT count(*) AS count FROM name_orders($1)", name)["count"] == {1: 0, 2: 2, 3: 6, 4: 24, 5: 0}[words]


def test_the_longest_of_names_can_be_looked_for(ask: Any) -> None:
    name = " ".join(letter * 49 for letter in ("\u00df", "\u00e9", "\ufb01", "\u00f1"))
    likes, hidden, pattern = ask(sieve.SIEVE, spellings(name))
    turned = ", ".join(reversed(name.split()))
    for text, left in ((quote(f"ask {name}"), f"ask%20{MARK}"), (turned, MARK), (turned.replace(",", " met"), None)):
        found = ask("SELECT named($1, $2, $3), forgotten($1, $4)", text, likes, hidden, pattern)
        assert tuple(found) == (True, left or text)


@pytest.mark.parametrize(
    ("piece", "size"),
    [
        *(("zelda quimby ", 200_000), ("Quimby, Zelda; ", 200_000), ("zelda,", 200_000), ("zelda%20quimby ", 40_000)),
        *(("\\", 100_000), ("\\xC3", 100_000), ("%25", 100_000), ("&amp;", 100_000)),
    ],
)
def test_no_text_keeps_an_erasure_waiting(ask: Any, piece: str, size: int) -> None:
    sieved = ask(sieve.SIEVE, spellings("Zelda Quimby"))
    text = piece * (size // len(piece))
    # A few seconds at most. A pattern that looks back by more than one character took forty.
    ask("SELECT set_config('statement_timeout', '20s', false)")
    _, left = ask("SELECT named($1, $2, $3), forgotten($1, $4)", text, *sieved)
    assert left == without(text, ["zelda quimby"])


def test_a_mark_of_no_letter_hides_no_name(ask: Any) -> None:
    _, _, pattern = ask(sieve.SIEVE, spellings("Zelda Quimby"))
    for before, left in (
        (" \u0301", f" {MARK}"),
        ("-\u0301\u0327\u0301", f"-{MARK}"),
        ("x\u0301\u0327\u0301", None),
        ("\u0915\u094d", None),
    ):
        text = f"{before}Zelda Quimby"
        assert ask("SELECT forgotten($1, $2) AS left", text, pattern)["left"] == (left or text)
