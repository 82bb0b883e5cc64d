"""What a text may cost at most, and which settings bound it."""

import random
import sys
import unicodedata
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.errors import BadInput
from memory import allowance
from memory.allowance import EXTRA, MOST, Terms, bound, clipped
from memory.embedding import LONGEST
from settings import Settings

AWAY, HERE = "https://api.example.com/v1", "http://127.0.0.1:9/v1"
COSTS: dict[str, Any] = {"embedding_base_url": AWAY, "embedding_micros_per_million": 20_000, "embedding_day_micros": 1_000_000}


def test_no_form_of_a_text_has_more_bytes_than_it_is_held_to_have_tokens() -> None:
    dice = random.Random(1)
    letters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    texts = [*dice.sample(letters, 20_000), *("".join(dice.sample(letters, 40)) for _ in range(500)), "\ufdfa", "\u1e9b", "\u0344", ""]
    for text in texts:
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            assert len(unicodedata.normalize(form, text).encode()) + EXTRA <= bound(text), text  # pyright: ignore[reportArgumentType]


def test_half_a_surrogate_pair_is_counted_too() -> None:
    assert bound("\ud83d") == 3 + EXTRA


def test_a_text_is_cut_where_it_could_cost_more_than_the_longest_may() -> None:
    assert clipped("x" * 50_000) == "x" * LONGEST
    assert clipped("\U0001f600" * LONGEST) == "\U0001f600" * LONGEST
    ligatures = clipped("\ufdfa" * LONGEST)
    assert len(ligatures) > 1_000 and bound(ligatures) <= MOST


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"embedding_base_url": HERE},
        {"embedding_base_url": "http://localhost:9/v1"},
        {"embedding_base_url": AWAY, "embedding_micros_per_million": 0},
    ],
)
def test_what_is_ours_or_said_to_be_free_costs_nothing(given: dict[str, Any]) -> None:
    assert allowance.terms(Settings(**given)) is None


@pytest.mark.parametrize("url", [AWAY, HERE])
def test_a_price_and_a_cap_are_the_terms_wherever_the_endpoint_is(url: str) -> None:
    given: dict[str, Any] = {**COSTS, "embedding_base_url": url}
    assert allowance.terms(Settings(**given)) == Terms(20_000, 1_000_000)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"embedding_day_micros": None}, "MICROS_PER_MILLION is set and PERDURE_EMBEDDING_DAY_MICROS is not"),
        ({"embedding_micros_per_million": None}, "PERDURE_EMBEDDING_MICROS_PER_MILLION is not set: say what api.example.com asks"),
        ({"embedding_micros_per_million": None, "embedding_base_url": HERE}, "MICROS_PER_MILLION is not set"),
        ({"embedding_micros_per_million": None, "embedding_day_micros": None}, "MICROS_PER_MILLION is not set.* 0 where it is free"),
        ({"embedding_micros_per_million": 0}, "DAY_MICROS is set and PERDURE_EMBEDDING_MICROS_PER_MILLION is 0"),
        ({"embedding_base_url": None}, "MICROS_PER_MILLION is set and PERDURE_EMBEDDING_BASE_URL is not"),
        ({"embedding_base_url": None, "embedding_micros_per_million": None}, "DAY_MICROS is set and PERDURE_EMBEDDING_BASE_URL is not"),
        ({"embedding_base_url": "api.example.com/v1"}, "'api.example.com/v1', which is no address; right is https://host/v1"),
        ({"embedding_base_url": "http://[x/v1"}, "which is no address"),
        ({"embedding_day_micros": 1_600}, "DAY_MICROS is 1600, which does not pay for one long text: at this price it takes 1601 at least"),
    ],
)
def test_what_may_be_spent_without_bound_is_refused_by_the_name_of_the_setting(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        allowance.terms(Settings(**COSTS | changed))


@pytest.mark.parametrize("changed", [{"embedding_micros_per_million": -1}, {"embedding_day_micros": 0}, {"embedding_day_micros": 10**13}])
def test_amounts_beyond_reason_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**COSTS | changed)
