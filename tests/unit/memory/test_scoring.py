"""What a fact is worth to a query."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.scoring import beside, fused, idf

SCORES = st.dictionaries(st.integers(1, 30), st.floats(0.001, 50), max_size=20)
COSINES = st.dictionaries(st.integers(1, 30), st.floats(-1, 1), max_size=20)


@given(df=st.integers(1, 10**6), facts=st.integers(0, 10**6))
def test_every_word_is_worth_something_and_a_rarer_one_more(df: int, facts: int) -> None:
    assert idf(df, facts) > 0
    assert idf(df + 1, facts) < idf(df, facts) or df >= facts


@given(keyword=SCORES, cosine=COSINES)
def test_scores_lie_between_0_and_1_and_every_candidate_has_one(keyword: dict[int, float], cosine: dict[int, float]) -> None:
    scores = fused(keyword, cosine)
    assert scores.keys() == keyword.keys() | cosine.keys()
    assert all(0 <= score <= 1 + 1e-9 for score in scores.values())


@given(keyword=SCORES.filter(bool))
def test_words_alone_rank_as_they_score(keyword: dict[int, float]) -> None:
    scores = fused(keyword, {})
    assert max(scores.values()) == pytest.approx(1)
    ranked = sorted(keyword, key=lambda fact: keyword[fact])
    assert all(scores[low] <= scores[high] for low, high in pairwise(ranked))


def test_the_best_of_both_arms_beats_the_best_of_one() -> None:
    scores = fused({1: 9.0, 2: 8.0}, {2: 0.8, 3: 0.9, 4: 0.1, 1: 0.1})
    assert max(scores, key=lambda fact: scores[fact]) == 2


def test_a_fact_without_a_vector_is_not_taken_for_one_that_is_far_away() -> None:
    scores = fused({1: 5.0, 2: 5.0}, {2: 0.0, 3: 0.9})
    assert scores[1] > scores[2]


def test_a_neighbour_gets_its_share_of_the_better_of_two() -> None:
    scores = beside({1: 0.8, 3: 0.4}, {1: (2,), 3: (2, 4)})
    assert scores == pytest.approx({1: 0.8, 3: 0.4, 2: 0.2, 4: 0.1})
