from collections import Counter

import numpy as np
import pytest

from bench.corpus import FACETS, Corpus

CORPUS = Corpus(2_000, dims=16)


@pytest.mark.parametrize(("share", "left"), [("50 %", 1_000), ("10 %", 200), ("1 %", 20), ("0.1 %", 2)])
def test_a_filter_leaves_its_share_to_the_row(share: str, left: int) -> None:
    field, values = FACETS[share]
    counts = Counter(row.values[field] for row in CORPUS.rows())
    assert counts == {f"{field}-{value}": left for value in range(values)}


def test_the_same_seed_makes_the_same_corpus() -> None:
    again = Corpus(2_000, dims=16)
    assert list(again.rows()) == list(CORPUS.rows())
    assert np.array_equal(again.vectors, CORPUS.vectors)
    assert again.questions(5) == CORPUS.questions(5)


def test_no_text_comes_twice() -> None:
    assert len(set(CORPUS.bodies)) == CORPUS.size


def test_a_random_filter_matches_as_many_facts_as_it_says() -> None:
    random = np.random.default_rng(3)
    rows = list(CORPUS.rows())
    for _ in range(50):
        given, matching = CORPUS.drawn(random)
        assert matching == sum(all(row.values[field] in wanted for field, wanted in given.items()) for row in rows)
