"""Queries of the command line whose vector is of no use: words answer, and the answer says why."""

import math
from collections.abc import Sequence

import pytest

from channels.queries import Asked, Recalling
from database import Database
from memory.filters import Filter
from tests.integration.memory import corpora
from tests.integration.memory.corpora import DIMS, Row


class Same:
    """Gives every text the same vector."""

    name, dims = "small", 0

    def __init__(self, vector: list[float]) -> None:
        self.vector = vector

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [self.vector for _ in texts]


@pytest.mark.parametrize(
    ("vector", "why"),
    [
        ([1.0] * DIMS, ""),
        ([1.0] * (DIMS + 1), f"small gave a vector of {DIMS + 1} dimensions and has {DIMS} here"),
        ([0.0] * DIMS, "small knows no word of the query"),
        ([math.nan] * DIMS, "small knows no word of the query"),
        ([1e-9] * DIMS, "small knows no word of the query"),
    ],
    ids=["good", "of another length", "zeros", "no numbers", "next to nothing"],
)
async def test_a_query_whose_vector_is_of_no_use_is_answered_by_words(
    database: Database, owner_database_url: str, vector: list[float], why: str
) -> None:
    model = await corpora.laid(database, owner_database_url)
    async with database.transaction("default") as tx:
        await corpora.write(tx, [Row("f1", "a boat", vector=[1.0] * DIMS)], model)
    answer = await Recalling(database, [Same(vector)]).answer(Asked("q1", "boat", "default", Filter()), 5)
    assert (answer.mode, answer.degraded, [hit.id for hit in answer.hits]) == ("keywords" if why else "exact", why, ["f1"])
