"""A generated corpus: facts of Zipf words with clustered vectors, and columns that a filter leaves 50, 10, 1 and 0.1 % of."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIMS = 384
WORDS = 20_000
WORDS_OF_A_FACT = (8, 40)
CLUSTERS, LATENT = 1_500, 48
SPREAD, NOISE = np.float32(0.8), np.float32(0.3)
"""Clusters overlap in far fewer dimensions than a vector has, as embeddings of texts do. Clusters like islands would be another matter: in
a graph without bridges a search misses all ten neighbours at once, whatever its settings."""
SYLLABLES = [first + second for first in "bdfgklmnprstvz" for second in ("a", "e", "i", "o", "u")]
FACETS = {"50 %": ("kinds", 2), "10 %": ("speakers", 10), "1 %": ("sessions", 100), "0.1 %": ("subjects", 1_000)}
"""Share of the facts that one value leaves -> the filter's field, and how many values there are, each as frequent."""
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """One fact to write."""

    id: str
    body: str
    values: dict[str, str]


@dataclass(frozen=True)
class Question:
    """One thing to recall: words of a fact, and a vector from the same neighbourhood as some fact's."""

    text: str
    embedding: list[float]
    cluster: int


@dataclass(frozen=True)
class Corpus:
    """The same facts and questions for the same size and seed, on every machine."""

    size: int
    seed: int = 7
    dims: int = DIMS

    def _random(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, purpose))

    @cached_property
    def vocabulary(self) -> list[str]:
        """Words, the most frequent first; each ends in a consonant, so that the stemmer leaves it alone."""
        base = len(SYLLABLES)
        return [SYLLABLES[n % base] + SYLLABLES[n // base % base] + SYLLABLES[n // base**2 % base] + "k" for n in range(WORDS)]

    @cached_property
    def _centres(self) -> Vectors:
        return self._random(1).standard_normal((CLUSTERS, LATENT), dtype=np.float32)

    @cached_property
    def _directions(self) -> Vectors:
        return self._random(7).standard_normal((LATENT, self.dims), dtype=np.float32) / np.float32(LATENT**0.5)

    @cached_property
    def clusters(self) -> NDArray[np.int64]:
        """The cluster of each fact."""
        return self._random(2).integers(0, CLUSTERS, self.size)

    @cached_property
    def vectors(self) -> Vectors:
        """One vector of length 1 for each fact."""
        return self._around(self.clusters, self._random(3))

    def _around(self, clusters: NDArray[np.int64], random: np.random.Generator) -> Vectors:
        latent = self._centres[clusters] + SPREAD * random.standard_normal((len(clusters), LATENT), dtype=np.float32)
        drawn = latent @ self._directions + NOISE * random.standard_normal((len(clusters), self.dims), dtype=np.float32)
        return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)

    @cached_property
    def bodies(self) -> list[str]:
        """The texts: words by Zipf's law, and a number that makes each text the only one of its kind."""
        random = self._random(4)
        lengths = random.integers(*WORDS_OF_A_FACT, self.size)
        words = iter(self._words(int(lengths.sum()), random))
        return [" ".join([next(words) for _ in range(length)] + [f"n{nth}"]) for nth, length in enumerate(lengths)]

    def _words(self, count: int, random: np.random.Generator) -> list[str]:
        # Zipf and Mandelbrot: the head is cut as a stop list cuts it from English.
        weights = 1.0 / (np.arange(WORDS) + 30.0)
        drawn = random.choice(WORDS, size=count, p=weights / weights.sum())
        return [self.vocabulary[nth] for nth in drawn]

    @cached_property
    def _values(self) -> dict[str, NDArray[np.int64]]:
        random = self._random(5)
        # Dealt, not drawn: each value has its share of the facts to the row.
        return {field: random.permutation(self.size) % values for field, values in FACETS.values()}

    def rows(self) -> Iterator[Row]:
        """Yield the facts, in order."""
        for nth, body in enumerate(self.bodies):
            yield Row(f"f{nth}", body, {field: f"{field}-{values[nth]}" for field, values in self._values.items()})

    def questions(self, count: int) -> list[Question]:
        """Return questions that are no fact's own text or vector."""
        random = self._random(6)
        about = random.integers(0, self.size, count)
        clusters = self.clusters[about]
        vectors = self._around(clusters, random)
        return [
            Question(" ".join(self._asked(fact, random)), vector.tolist(), int(cluster))
            for fact, vector, cluster in zip(about, vectors, clusters, strict=True)
        ]

    def _asked(self, fact: Any, random: np.random.Generator) -> list[str]:
        words = self.bodies[fact].split()[:-1]
        return [words[nth] for nth in random.choice(len(words), size=min(6, len(words)), replace=False)]

    def filters(self, share: str, count: int) -> list[dict[str, tuple[str, ...]]]:
        """Return filters that leave this share of the facts, as arguments of `Filter`; `100 %` leaves all."""
        if share not in FACETS:
            return [{}] * count
        field, values = FACETS[share]
        return [{field: (f"{field}-{nth % values}",)} for nth in range(count)]

    def drawn(self, random: np.random.Generator) -> tuple[dict[str, tuple[str, ...]], int]:
        """Return a filter of none to three fields with one to three values each, drawn at random, and how many facts match it."""
        fields = random.permutation(list(FACETS.values()))[: random.integers(0, 4)]
        given: dict[str, tuple[str, ...]] = {}
        left = np.ones(self.size, dtype=bool)
        for field, values in ((str(field), int(values)) for field, values in fields):
            wanted = random.choice(values, size=min(values, int(random.integers(1, 4))), replace=False)
            given[field] = tuple(f"{field}-{value}" for value in wanted)
            left &= np.isin(self._values[field], wanted)
        return given, int(left.sum())
