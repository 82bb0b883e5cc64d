"""What a model call costs, in integer micro-dollars, before and after it."""

from dataclasses import dataclass
from decimal import ROUND_CEILING

from genai_prices import Usage, calc_price

from contracts.errors import NoPrice
from policies.agents import Route

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one call."""

    input: int
    output: int


def cost(route: Route, model: str, tokens: Tokens, *, free: bool) -> int:
    """Return the price of a call in micro-dollars, rounded up.

    free: the model runs on this machine and costs nothing.
    Source: the route's own price where it has one, else the public table in `genai-prices`.
    Raises: NoPrice where neither knows the model: a cost that cannot be bounded is not begun.
    """
    if route.price is not None:
        micros = tokens.input * route.price.input_micros_per_million + tokens.output * route.price.output_micros_per_million
        return -(-micros // MILLION)
    if free:
        return 0
    try:
        price = calc_price(Usage(input_tokens=tokens.input, output_tokens=tokens.output), model)
    except LookupError:
        raise NoPrice(
            f"no price is known for the model {model!r}: give models.<route>.price in automation.yaml "
            "as {input_micros_per_million, output_micros_per_million}"
        ) from None
    return int((price.total_price * MILLION).to_integral_value(ROUND_CEILING))


def worst_case(route: Route, model: str, prompt: str, *, free: bool) -> int:
    """Return the most a call may cost: no tokenizer makes more tokens than the text has bytes, and the answer is capped."""
    return cost(route, model, Tokens(len(prompt.encode()) + 64, route.max_tokens), free=free)
