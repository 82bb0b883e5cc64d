"""The bare baseline: one table with the filter's columns and a vector, pgvector's HNSW index, its query and its defaults."""

import time
from dataclasses import dataclass

import asyncpg

from bench.corpus import FACETS
from bench.memory_measures import K, Times
from bench.memory_store import Memory
from memory.confidence import Estimate, estimate

COLUMNS = [field for field, _ in FACETS.values()]
TABLE = f"""
DROP TABLE IF EXISTS plain;
CREATE TABLE plain (id bigint PRIMARY KEY, {", ".join(f"{name} text NOT NULL" for name in COLUMNS)}, e vector(384) NOT NULL)
"""
FILL = f"""
INSERT INTO plain SELECT nth, {", ".join(COLUMNS)}, e::vector
  FROM unnest($1::bigint[], {", ".join(f"${nth}::text[]" for nth in range(2, 2 + len(COLUMNS)))}, ${2 + len(COLUMNS)}::text[])
    AS given (nth, {", ".join(COLUMNS)}, e)
"""  # noqa: S608
INDEX = "CREATE INDEX ON plain USING hnsw (e vector_cosine_ops)"
NEAREST = "SELECT id FROM plain WHERE {condition} ORDER BY e <=> $1::text::vector LIMIT $2"
# The sum is no order that the index has.
EXACT = "SELECT id FROM plain WHERE {condition} ORDER BY (e <=> $1::text::vector) + 0 LIMIT $2"
BATCH = 2_000


@dataclass(frozen=True)
class Found:
    """What the plain query found. fewest: rows of the query that found the fewest."""

    recall: Estimate
    fewest: int
    times: Times


async def filled(memory: Memory) -> float:
    """Fill the table, build the index and return the seconds that the index took."""
    connection = await asyncpg.connect(memory.owner_url)
    try:
        await connection.execute(TABLE)
        rows, vectors = list(memory.corpus.rows()), memory.corpus.vectors
        for first in range(0, len(rows), BATCH):
            part = rows[first : first + BATCH]
            columns = [[row.values[name] for row in part] for name in COLUMNS]
            texts = [_text(vector) for vector in vectors[first : first + BATCH].tolist()]
            await connection.execute(FILL, list(range(first, first + len(part))), *columns, texts)
        began = time.perf_counter()
        await connection.execute(INDEX)
        taken = time.perf_counter() - began
        await connection.execute("VACUUM ANALYZE plain")
        return taken
    finally:
        await connection.close()


async def asked(memory: Memory, share: str, count: int) -> Found:
    """Ask as its README shows: a filter, an order by distance, a limit, every setting as it comes."""
    connection = await asyncpg.connect(memory.owner_url)
    found: list[tuple[int, int]] = []
    times: list[float] = []
    fewest = K
    try:
        # Else asyncpg's prepared statement might be given a generic plan half-way.
        await connection.execute("SET plan_cache_mode = force_custom_plan")
        for question, given in zip(memory.corpus.questions(count), memory.corpus.filters(share, count), strict=True):
            values = [list(value) for value in given.values()]
            condition = " AND ".join(f"{name} = ANY(${nth}::text[])" for nth, name in enumerate(given, 3)) or "true"
            arguments = (_text(question.embedding), K, *values)
            began = time.perf_counter()
            rows = await connection.fetch(NEAREST.format(condition=condition), *arguments)
            times.append((time.perf_counter() - began) * 1000)
            true = {row["id"] for row in await connection.fetch(EXACT.format(condition=condition), *arguments)}
            found.append((len(true & {row["id"] for row in rows}), len(true)))
            fewest = min(fewest, len(rows))
    finally:
        await connection.close()
    return Found(estimate(found), fewest, Times(times))


def _text(vector: list[float]) -> str:
    return "[" + ",".join(f"{number:.6g}" for number in vector) + "]"
