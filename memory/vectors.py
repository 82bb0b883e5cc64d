"""Vectors of facts, one table for each model: kept, found exactly or by HNSW, taken away.

A vector comes in as not indexed and is then compared one by one; `flip` lets the index take it in later, in batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from database import Tx
from memory import models, tombstones
from memory.filters import Filter
from memory.knobs import Knobs
from memory.models import Model
from memory.planning import aside, by_index

MATCHING = "SELECT count(*) FROM (SELECT FROM fact f WHERE f.tenant = $1 AND {columns} LIMIT {most}) AS matched"
# Materialized: the planner cannot move the order by distance into it, and with it the index. By an array the primary key is walked once,
# page by page, where a join would descend it for each fact anew.
EXACT = """
WITH compared AS MATERIALIZED (
    SELECT v.fact, v.e <=> $2::real[]::halfvec AS distance FROM {table} v
     WHERE v.tenant = $1 AND v.fact = ANY(ARRAY(SELECT f.num FROM fact f WHERE f.tenant = $1 AND {filter}))
)
SELECT fact, distance, (SELECT count(*) FROM compared) AS searched FROM compared ORDER BY distance, fact LIMIT {limit}
"""
# The signs of a vector's numbers stand beside its key in the index, so that of all that match only the likeliest are read and compared.
# Distance and number are one integer, which sorts in half the time that two columns take; no fact has a number of 44 bits.
CODED = """
WITH likely AS MATERIALIZED (
    SELECT v.fact FROM {table} v
     WHERE v.tenant = $1 AND v.fact = ANY(ARRAY(SELECT f.num FROM fact f WHERE f.tenant = $1 AND {filter}))
     ORDER BY (v.code <~> binary_quantize($2::real[]::halfvec)::bit({dims}))::bigint << 44 | v.fact LIMIT {compared}
), compared AS MATERIALIZED (
    SELECT v.fact, v.e <=> $2::real[]::halfvec AS distance, v.code <~> binary_quantize($2::real[]::halfvec)::bit({dims}) AS apart
      FROM {table} v WHERE v.tenant = $1 AND v.fact = ANY(ARRAY(SELECT fact FROM likely))
)
SELECT fact, distance, apart, (SELECT count(*) FROM compared) AS searched,
       (SELECT percentile_disc(0.75) WITHIN GROUP (ORDER BY apart) FROM compared) AS edge
  FROM compared ORDER BY distance, fact LIMIT {limit}
"""
AT_EDGE = 0.1
"""The share of what codes found that may come from the farthest quarter of what was compared: more, and there was more beyond it."""
# Relaxed order gives a few neighbours in the wrong order, so they are sorted again; `+ 0` keeps the planner from believing the first sort.
APPROXIMATE = """
WITH near AS MATERIALIZED (
    SELECT v.fact, v.e <=> $2::real[]::halfvec AS distance FROM {table} v CROSS JOIN LATERAL ({met}) AS met
     WHERE v.tenant = $1 AND v.indexed ORDER BY v.e <=> $2::real[]::halfvec LIMIT {limit}
), fresh AS MATERIALIZED (
    SELECT v.fact, v.distance FROM (
        SELECT fact, e <=> $2::real[]::halfvec AS distance FROM {table} WHERE tenant = $1 AND NOT indexed ORDER BY 2
    ) AS v CROSS JOIN LATERAL ({met}) AS met ORDER BY v.distance LIMIT {limit}
)
SELECT fact, distance, (SELECT count(*) FROM fresh) AS searched FROM (SELECT * FROM near UNION ALL SELECT * FROM fresh) AS both_of_them
 ORDER BY distance + 0, fact LIMIT {limit}
"""
MET = "SELECT FROM fact f WHERE f.tenant = $1 AND f.num >= v.fact AND f.num <= v.fact AND {filter} ORDER BY f.num LIMIT 1"
COSINES = "SELECT fact, 1 - (e <=> $2::real[]::halfvec) AS cosine FROM {table} WHERE tenant = $1 AND fact = ANY($3::bigint[])"
# Held until the end: an erasure waits for the vector, and a vector is not written for a fact that is gone or has another text by now.
HOLD = """
SELECT num, sha256(convert_to(CASE speaker WHEN '' THEN body ELSE speaker || ': ' || body END, 'UTF8')) = hash AS fits
  FROM fact JOIN unnest($2::bigint[], $3::bytea[]) AS given (num, hash) USING (num)
 WHERE tenant = $1 ORDER BY num FOR KEY SHARE OF fact
"""
# The vectors come one behind the other, as plain numbers: as texts they would take ten times as long to write and to read.
PUT = """
INSERT INTO {table} (tenant, fact, body_hash, e)
SELECT $1, fact, hash, ($4::real[])[(nth - 1) * {dims} + 1 : nth * {dims}]::halfvec
  FROM unnest($2::bigint[], $3::bytea[]) WITH ORDINALITY AS given (fact, hash, nth)
 WHERE NOT EXISTS (SELECT FROM {table} v WHERE v.tenant = $1 AND v.fact = given.fact)
"""
# Also held: who leaves the model waits for the vectors and takes them away with the others; who comes after that writes none.
USED = "SELECT FROM embedding_model WHERE tenant = $1 AND id = $2 FOR KEY SHARE"
DONE = "DELETE FROM vector_due WHERE tenant = $1 AND model = $2 AND fact = ANY($3::bigint[])"
LOCK = "SELECT num FROM fact WHERE tenant = $1 AND num = ANY($2::bigint[]) ORDER BY num FOR UPDATE"
REMOVE = "DELETE FROM {table} WHERE tenant = $1 AND fact = ANY($2::bigint[])"
# What the index takes in moves to another partition, which has no key in common with the first: so one at a time puts vectors of a
# model, and one at a time moves them. An erasure waits for both, and both for it: it locks facts in an order of its own.
ALONE = "SELECT pg_advisory_xact_lock(hashtextextended('perdure vectors ' || $1 || ' ' || $2, 0))"
NEXT = "SELECT fact FROM {table} WHERE tenant = $1 AND NOT indexed ORDER BY fact LIMIT $2"
SHARE = "SELECT FROM fact WHERE tenant = $1 AND num = ANY($2::bigint[]) ORDER BY num FOR KEY SHARE"
FLIP = "UPDATE {table} SET indexed = true WHERE tenant = $1 AND NOT indexed AND fact = ANY($2::bigint[])"
EMPTY = "DELETE FROM {table} WHERE tenant = $1"
COUNTS = "SELECT count(*) AS rows, count(*) FILTER (WHERE NOT indexed) AS fresh FROM {table} WHERE tenant = $1"


@dataclass(frozen=True, slots=True)
class Near:
    """Facts by cosine, nearest first. searched: vectors that were compared one by one.
    capped: the index gave out too early, or codes told nothing.

    mode: all that match were compared; those whose codes were nearest were; or the index was asked.
    """

    rows: list[tuple[int, float]]
    mode: Literal["exact", "codes", "ann"]
    searched: int
    capped: bool


async def matching(tx: Tx, filter: Filter, most: int) -> int:
    """Count the facts that a filter leaves, without regard to time, up to ``most``."""
    columns, values = filter.columns(2)
    return int(await tx.value(MATCHING.format(columns=columns, most=most), tx.tenant, *values))


def exact(tx: Tx, model: Model, vector: list[float], filter: Filter, limit: int) -> tuple[str, list[Any]]:
    """Return the query that compares every vector which the filter leaves, and its arguments. vector: as `checked` returns it."""
    condition, values = filter.sql(3)
    return EXACT.format(table=model.table, filter=condition, limit=limit), [tx.tenant, vector, *values]


def coded(tx: Tx, model: Model, vector: list[float], filter: Filter, limit: int, compared: int) -> tuple[str, list[Any]]:
    """Return the query that compares those vectors which the filter leaves whose codes are nearest, and its arguments."""
    condition, values = filter.sql(3)
    text = CODED.format(table=model.table, filter=condition, dims=model.dims, compared=max(compared, limit), limit=limit)
    return text, [tx.tenant, vector, *values]


def approximate(tx: Tx, model: Model, vector: list[float], filter: Filter, limit: int) -> tuple[str, list[Any]]:
    """Return the query that asks the index, and its arguments; it does so only under `planning.by_index`."""
    condition, values = filter.sql(3)
    return APPROXIMATE.format(table=model.table, met=MET.format(filter=condition), limit=limit), [tx.tenant, vector, *values]


async def nearest(tx: Tx, model: Model, embedding: Sequence[float], filter: Filter, *, limit: int, knobs: Knobs) -> Near:
    """Return the facts nearest to a vector, nearest first.

    Where a filter leaves few, all are compared; where it leaves more, those whose codes are near; where it leaves many, the index is
    asked. All are compared after all where codes tell nothing, and where the index gives out before ``limit`` though more match.
    """
    async with aside(tx, by_index(knobs)):
        left = await matching(tx, filter, knobs.coded_below + 1)
        return await nearest_of(tx, model, embedding, filter, left, limit=limit, knobs=knobs)


async def nearest_of(tx: Tx, model: Model, embedding: Sequence[float], filter: Filter, left: int, *, limit: int, knobs: Knobs) -> Near:
    """Do the same under `planning.by_index`. left: how many facts the filter leaves, counted up to ``knobs.coded_below + 1``."""
    vector = models.checked(model, embedding)
    if knobs.exact_only or left <= knobs.exact_below:
        return await _exactly(tx, model, vector, filter, limit, capped=False)
    if left <= knobs.coded_below:
        query, arguments = coded(tx, model, vector, filter, limit, knobs.compared)
        rows = await tx.fetch(query, *arguments)
        if _told_apart(rows, knobs.compared):
            return Near(_cosines(rows), "codes", rows[0]["searched"] if rows else 0, False)
        return await _exactly(tx, model, vector, filter, limit, capped=True)
    query, arguments = approximate(tx, model, vector, filter, limit)
    rows = await tx.fetch(query, *arguments)
    if len(rows) < limit:
        return await _exactly(tx, model, vector, filter, limit, capped=True)
    return Near(_cosines(rows), "ann", rows[0]["searched"] if rows else 0, False)


def _told_apart(rows: Sequence[Any], compared: int) -> bool:
    """Tell whether the nearest by code were the nearest: signs tell nothing of a model whose numbers are all positive, for one.

    Where codes say little, the nearest vectors are spread over all that were compared, and others like them were not.
    """
    if not rows or rows[0]["searched"] < compared:
        return True
    return sum(row["apart"] >= row["edge"] for row in rows) <= AT_EDGE * len(rows)


async def _exactly(tx: Tx, model: Model, vector: list[float], filter: Filter, limit: int, *, capped: bool) -> Near:
    query, arguments = exact(tx, model, vector, filter, limit)
    rows = await tx.fetch(query, *arguments)
    return Near(_cosines(rows), "exact", rows[0]["searched"] if rows else 0, capped)


def _cosines(rows: Sequence[Any]) -> list[tuple[int, float]]:
    return [(row["fact"], 1.0 - row["distance"]) for row in rows]


async def cosines(tx: Tx, model: Model, embedding: Sequence[float], nums: Sequence[int]) -> dict[int, float]:
    """Return the cosine of those of these facts that have a vector."""
    if not nums:
        return {}
    rows = await tx.fetch(COSINES.format(table=model.table), tx.tenant, models.checked(model, embedding), list(nums))
    return {row["fact"]: row["cosine"] for row in rows}


async def put(tx: Tx, model: Model, rows: Sequence[tuple[int, bytes, Sequence[float]]]) -> int:
    """Keep vectors, which are compared one by one until `flip`, and return how many were new; what is kept already stays.

    rows: number of the fact, SHA-256 of what was embedded (see `backlog.embedded`), vector. Facts that are gone, or say something
    else by now, get none; nor does anybody where the tenant has left the model.
    Raises: BadInput for a vector that is not one of this model.
    """
    ready = {num: (digest, models.checked(model, vector, f"fact {num}")) for num, digest, vector in rows}
    await tombstones.share(tx)
    if not await tx.fetch(USED, tx.tenant, model.id):
        return 0
    await _alone(tx, f"put {model.id}")
    held = await tx.fetch(HOLD, tx.tenant, list(ready), [digest for digest, _ in ready.values()])
    there, stale = [row["num"] for row in held if row["fits"]], {row["num"] for row in held if not row["fits"]}
    hashes, numbers = [ready[num][0] for num in there], [number for num in there for number in ready[num][1]]
    kept = await tx.execute(PUT.format(table=model.table, dims=model.dims), tx.tenant, there, hashes, numbers)
    await tx.execute(DONE, tx.tenant, model.id, [num for num in ready if num not in stale])
    return kept


async def remove(tx: Tx, nums: Sequence[int]) -> dict[str, int]:
    """Take the vectors of these facts out of every model's table and return how many there were in each.

    The facts are held first: a vector that is being written is waited for, and taken away too.
    """
    await tx.fetch(LOCK, tx.tenant, list(nums))
    return {table: await tx.execute(REMOVE.format(table=table), tx.tenant, list(nums)) for table in await models.tables(tx)}


async def fresh(tx: Tx, model: Model, *, limit: int) -> list[int]:
    """Return the facts whose vectors the index takes in next, oldest first."""
    return [row["fact"] for row in await tx.fetch(NEXT.format(table=model.table), tx.tenant, limit)]


async def flip(tx: Tx, model: Model, *, limit: int) -> int:
    """Let the index take in some vectors, oldest first, and return how many."""
    await tombstones.share(tx)
    await _alone(tx, f"flip {model.id}")
    nums = await fresh(tx, model, limit=limit)
    await tx.fetch(SHARE, tx.tenant, nums)
    return await tx.execute(FLIP.format(table=model.table), tx.tenant, nums) if nums else 0


async def empty(tx: Tx, model: Model) -> int:
    """Take away all vectors that the tenant has of a model and return how many there were."""
    await _alone(tx, f"flip {model.id}")
    return await tx.execute(EMPTY.format(table=model.table), tx.tenant)


async def _alone(tx: Tx, what: str) -> None:
    await tx.execute(ALONE, tx.tenant, what)


async def counts(tx: Tx, model: Model) -> tuple[int, int]:
    """Return how many vectors the tenant has of a model, and how many of them the index has not taken in."""
    row = await tx.row(COUNTS.format(table=model.table), tx.tenant)
    return (row["rows"], row["fresh"]) if row else (0, 0)
