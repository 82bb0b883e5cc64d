import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.confidence import ASSUMED_EFFECT, estimate, wilson
from memory.samples import MOST

TARGET = 0.99
QUERIES = st.lists(st.integers(0, 10).flatmap(lambda wanted: st.tuples(st.integers(0, wanted), st.just(wanted))), max_size=60)


def test_the_interval_is_the_one_that_is_published() -> None:
    # 81 of 263: Newcombe, Two-Sided Confidence Intervals for the Single Proportion, Statistics in Medicine 17 (1998), table I, method 3.
    low, high = wilson(81 / 263, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_nothing_asked_says_nothing() -> None:
    found = estimate([])
    assert (found.recall, found.low, found.high) == (None, 0.0, 1.0)
    assert not found.settles(TARGET)


def test_queries_that_match_nothing_are_no_evidence() -> None:
    assert estimate([(0, 0)] * 100) == estimate([])


@given(QUERIES)
def test_the_bounds_lie_around_the_recall(found: list[tuple[int, int]]) -> None:
    got = estimate(found)
    assert 0 <= got.low <= got.high <= 1
    if got.recall is not None:
        assert got.low <= got.recall + 1e-12
        assert got.recall <= got.high + 1e-12
        assert got.low <= got.best_low + 1e-12


def test_a_perfect_record_reaches_the_target_only_when_it_is_long_enough() -> None:
    few, many = estimate([(10, 10)] * 100), estimate([(10, 10)] * 250)
    assert few.low < TARGET <= many.low
    assert not few.settles(TARGET)
    assert many.settles(TARGET)


def test_a_clear_failure_is_judged_by_few() -> None:
    found = estimate([(3, 10)] * 5)
    assert found.high < TARGET
    assert found.settles(TARGET)


def test_misses_that_gather_in_one_query_widen_the_interval() -> None:
    spread = estimate([(9, 10)] * 40 + [(10, 10)] * 60)
    gathered = estimate([(0, 10)] * 4 + [(10, 10)] * 96)
    assert spread.recall == gathered.recall
    assert gathered.low < spread.low


@pytest.mark.parametrize("effect", ["spread", "gathered", "whole"])
def test_the_lower_bound_holds_in_19_of_20_samples(effect: str) -> None:
    generator, truth, held, rounds = random.Random(11), 0.985, 0, 500
    for _ in range(rounds):
        held += estimate([(_hits(generator, truth, effect), 10) for _ in range(MOST)]).low <= truth
    # A two-sided interval of 95 % leaves its lower end 97.5 %; what is asked is that it is not far too sure of itself.
    assert held / rounds >= 0.95


def _hits(generator: random.Random, truth: float, effect: str) -> int:
    if effect == "whole":
        return 0 if generator.random() < 1 - truth else 10
    if effect == "spread":
        return sum(generator.random() < truth for _ in range(10))
    # Half of all misses come five at a time.
    missed = 5 if generator.random() < (1 - truth) else 0
    return 10 - missed - sum(generator.random() < (1 - truth) / 2 for _ in range(10 - missed))


def test_a_sample_without_a_miss_is_judged_by_the_effect_that_is_assumed() -> None:
    assert estimate([(10, 10)] * 50).low == pytest.approx(wilson(1.0, 500 / ASSUMED_EFFECT)[0])


def test_misses_that_are_seen_to_be_spread_narrow_the_interval() -> None:
    found = estimate([(9, 10)] * 20 + [(10, 10)] * 380)
    assert found.low > wilson(0.995, 4_000 / ASSUMED_EFFECT)[0]
    assert found.low > 0.99
