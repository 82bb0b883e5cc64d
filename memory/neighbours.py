"""The facts whose vectors are nearest to one: found exactly, by their codes, or by an HNSW index."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from database import Tx
from memory import models
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
# The signs of a vector's numbers stand beside its keys, so that of all that match only the likeliest are read and compared.
CODED = """
WITH likely AS MATERIALIZED (SELECT v.place & {fact} AS fact FROM ({listed}) AS v ORDER BY v.place LIMIT {compared}),
compared AS MATERIALIZED (
    SELECT v.fact, v.e <=> $2::real[]::halfvec AS distance, v.code <~> binary_quantize($2::real[]::halfvec)::bit({dims}) AS apart
      FROM {table} v WHERE v.tenant = $1 AND v.fact = ANY(ARRAY(SELECT fact FROM likely))
)
SELECT v.fact, v.distance, v.apart, v.nth, (SELECT count(*) FROM compared) AS searched,
       (SELECT percentile_disc(0.75) WITHIN GROUP (ORDER BY apart) FROM compared) AS edge
  FROM (SELECT *, row_number() OVER (ORDER BY distance, fact) AS nth FROM compared ORDER BY distance, fact) AS v
 CROSS JOIN LATERAL ({met}) AS met
 ORDER BY v.distance, v.fact LIMIT {limit}
"""
BITS = 44
"""Of a fact's number, at most: so that with the distance of its code it is one integer, which sorts in half the time of two columns."""
# Reckoned where a code is read, so that one number goes up the plan, ten thousand times, and not a code.
PLACE = f"(code <~> binary_quantize($2::real[]::halfvec)::bit({{dims}}))::bigint << {BITS} | fact AS place"
# Of any filter: the key of all vectors is walked by the facts that it leaves.
WALKED = """
SELECT {place} FROM {table} WHERE tenant = $1 AND fact = ANY(ARRAY(SELECT f.num FROM fact f WHERE f.tenant = $1 AND {filter}))
"""
# Of a filter by fields: the codes of each value of one of them stand side by side, with what the others say, whatever the time; what does
# not hold now is left out later.
GATHERED = """
SELECT v.place FROM (SELECT DISTINCT facet(value) AS value FROM unnest({values}) AS value) AS asked CROSS JOIN LATERAL (
    SELECT {place} FROM {table}
     WHERE tenant = $1 AND {part} AND {field} >= asked.value AND {field} <= asked.value AND {field} <> 0 {others}
     ORDER BY {field} OFFSET 0
) AS v
"""
OTHER = "AND {field} = ANY(ARRAY(SELECT facet(value) FROM unnest({values}) AS value))"
# Looked up by its hash, which pays where there are many.
AMONG_MANY = "AND ({field} IN (SELECT facet(value) FROM unnest({values}) AS value)) IS TRUE"
MANY = 30
NARROWEST = ("subject", "session", "speaker", "kind", "scope")
"""Fields, the one first whose values leave the fewest facts as a rule."""
# Of no filter: the codes of all stand in the key.
EVERY = "(SELECT {place} FROM {table} WHERE tenant = $1 AND {part} ORDER BY fact OFFSET 0)"
PARTS = ("indexed", "NOT indexed")
AT_EDGE = 0.1
"""The share of what codes found that may come from the farthest quarter of what was compared: more, and there was more beyond it."""
MOST_PASSED = 2
"""Of what stands nearest, every second may hold no more, and codes that were gathered whatever the time still tell enough."""
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
SELECT fact, distance, (SELECT count(*) FROM fresh) AS searched,
       (SELECT count(*) FROM near) < {limit} AND EXISTS (SELECT FROM {table} WHERE tenant = $1 AND indexed) AS short
  FROM (SELECT * FROM near UNION ALL SELECT * FROM fresh) AS both_of_them
 ORDER BY distance + 0, fact LIMIT {limit}
"""
MET = "SELECT FROM fact f WHERE f.tenant = $1 AND f.num >= v.fact AND f.num <= v.fact AND {filter} ORDER BY f.num LIMIT 1"
COSINES = "SELECT fact, 1 - (e <=> $2::real[]::halfvec) AS cosine FROM {table} WHERE tenant = $1 AND fact = ANY($3::bigint[])"


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


def coded(tx: Tx, model: Model, vector: list[float], filter: Filter, limit: int, compared: int, *, gathered: bool) -> tuple[str, list[Any]]:
    """Return the query that compares those vectors which the filter leaves whose codes are nearest, and its arguments.

    gathered: the codes are read where they stand side by side; then some may be of facts that hold no more.
    """
    condition, values = filter.sql(3)
    named = {"table": model.table, "dims": model.dims}
    place = PLACE.format(**named)
    if gathered:
        by = _by(filter, 3)
        listed = " UNION ALL ".join((GATHERED if by else EVERY).format(place=place, part=part, **named, **by) for part in PARTS)
    else:
        listed = WALKED.format(place=place, filter=condition, **named)
    bounds = {"fact": 2**BITS - 1, "compared": max(compared, limit), "limit": limit}
    return CODED.format(listed=listed, met=MET.format(filter=condition), **named, **bounds), [tx.tenant, vector, *values]


def _by(filter: Filter, first: int) -> dict[str, str]:
    """Return the field by which the codes of a filter are gathered, its values, and what the others must be; parameters as in `sql`."""
    values = {field: f"${first + place}::text[]" for field, place in filter.facets.items()}
    if not values:
        return {}
    field = next(field for field in NARROWEST if field in values)
    listed = filter.columns(first)[1]
    others = " ".join(
        (AMONG_MANY if len(listed[filter.facets[other]]) > MANY else OTHER).format(field=other, values=given)
        for other, given in values.items()
        if other != field
    )
    return {"field": field, "values": values[field], "others": others}


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
        rows = await _by_codes(tx, model, vector, filter, limit, knobs.compared)
        if _told_apart(rows, knobs.compared):
            return Near(_cosines(rows), "codes", rows[0]["searched"] if rows else 0, False)
        return await _exactly(tx, model, vector, filter, limit, capped=True)
    query, arguments = approximate(tx, model, vector, filter, limit)
    rows = await tx.fetch(query, *arguments)
    # What the index has not taken in yet must not make up for what it did not come to.
    if len(rows) < limit or rows[0]["short"]:
        return await _exactly(tx, model, vector, filter, limit, capped=True)
    return Near(_cosines(rows), "ann", rows[0]["searched"] if rows else 0, False)


async def _by_codes(tx: Tx, model: Model, vector: list[float], filter: Filter, limit: int, compared: int) -> list[Any]:
    if filter.facets or not filter.narrow:
        query, arguments = coded(tx, model, vector, filter, limit, compared, gathered=True)
        rows = await tx.fetch(query, *arguments)
        # Else much of what was likely holds no more, and stood in the way of what does.
        if len(rows) >= limit and rows[-1]["nth"] <= MOST_PASSED * limit:
            return rows
    query, arguments = coded(tx, model, vector, filter, limit, compared, gathered=False)
    return await tx.fetch(query, *arguments)


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
