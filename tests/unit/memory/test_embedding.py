"""The packaged embedder, and the cache before any."""

import math
from collections.abc import Sequence

import pytest

from memory.embedding import PACKAGED_DIMS, Cached, Packaged


class Counting:
    name = "counting"
    dims = 1

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.batches.append(list(texts))
        return [[float(len(text))] for text in texts]


async def test_a_text_is_embedded_once_however_often_it_is_asked_for() -> None:
    inner = Counting()
    cached = Cached(inner)
    assert await cached.embed(["a", "bb", "a"]) == [[1.0], [2.0], [1.0]]
    assert await cached.embed(["bb", "ccc"]) == [[2.0], [3.0]]
    assert inner.batches == [["a", "bb"], ["ccc"]]
    assert (cached.name, cached.dims) == ("counting", 1)


async def test_the_cache_is_bounded_and_can_be_emptied() -> None:
    inner = Counting()
    cached = Cached(inner, kept=2)
    await cached.embed(["a", "b", "c"])
    await cached.embed(["b", "c"])
    assert len(inner.batches) == 1
    await cached.embed(["a"])
    cached.forget()
    await cached.embed(["a"])
    assert inner.batches[1:] == [["a"], ["a"]]


async def test_nothing_is_asked_for_no_text() -> None:
    inner = Counting()
    assert await Cached(inner).embed([]) == [] and inner.batches == []


async def test_the_packaged_model_gives_vectors_of_length_1_that_know_meaning() -> None:
    ship, vessel, bread = await Packaged().embed(["a ship on the sea", "a vessel on the ocean", "baking bread with flour"])
    assert {len(vector) for vector in (ship, vessel, bread)} == {PACKAGED_DIMS}
    assert math.hypot(*ship) == pytest.approx(1, abs=1e-4)
    assert _cosine(ship, vessel) > _cosine(ship, bread) + 0.2


@pytest.mark.parametrize("text", ["", " ", "\0", "\u2603", "x" * 100_000])
async def test_the_packaged_model_survives_any_text(text: str) -> None:
    (vector,) = await Packaged().embed([text])
    assert len(vector) == PACKAGED_DIMS and all(math.isfinite(value) for value in vector)


def _cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
