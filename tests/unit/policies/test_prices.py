"""Prices: whole micro-dollars, rounded up, and never more than was reserved."""

from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage, calc_price
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import NoPrice
from policies.agents import Price, Route
from policies.prices import MILLION, Tokens, cost, worst_case

MODELS = ["gpt-4o-mini", "gpt-4o", "claude-sonnet-4-0", "gemini-2.5-pro"]
COUNTS = st.integers(0, 400_000)


@pytest.mark.parametrize(
    ("price", "tokens", "micros"),
    [((1, 1), (1, 0), 1), ((0, 0), (9, 9), 0), ((1_000_000, 2_000_000), (3, 4), 11), ((150_000, 600_000), (1, 1), 1), ((1, 0), (0, 9), 0)],
)
def test_a_routes_own_price_is_rounded_up(price: tuple[int, int], tokens: tuple[int, int], micros: int) -> None:
    route = Route(price=Price(input_micros_per_million=price[0], output_micros_per_million=price[1]))
    for free in (True, False):
        assert cost(route, "nobody-knows-it", Tokens(*tokens), free=free) == micros


def test_a_model_on_this_machine_is_free() -> None:
    assert cost(Route(), "nobody-knows-it", Tokens(10, 10), free=True) == worst_case(Route(), "nobody-knows-it", "prompt", free=True) == 0


@pytest.mark.parametrize(
    "call", [lambda: cost(Route(), "nobody-knows-it", Tokens(1, 1), free=False), lambda: worst_case(Route(), "", "x", free=False)]
)
def test_a_model_without_a_price_is_refused_with_the_way_out(call: Any) -> None:
    with pytest.raises(NoPrice, match=r"give models\.<route>\.price in automation\.yaml"):
        call()


@given(st.sampled_from(MODELS), COUNTS, COUNTS)
def test_a_public_price_is_a_whole_number_rounded_up(model: str, input: int, output: int) -> None:
    micros = cost(Route(), model, Tokens(input, output), free=False)
    exact = calc_price(Usage(input_tokens=input, output_tokens=output), model).total_price * MILLION
    assert isinstance(micros, int) and Decimal(0) <= micros - exact < 1


@given(st.sampled_from([*MODELS, "own"]), st.text(max_size=300), st.integers(1, 100_000), st.data())
def test_no_call_costs_more_than_its_worst_case(model: str, prompt: str, most: int, data: st.DataObject) -> None:
    price = Price(input_micros_per_million=123_457, output_micros_per_million=7) if model == "own" else None
    route = Route(max_tokens=most, price=price)
    tokens = Tokens(data.draw(st.integers(0, len(prompt.encode()))), data.draw(st.integers(0, most)))
    assert cost(route, model, tokens, free=False) <= worst_case(route, model, prompt, free=False)
