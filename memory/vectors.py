"""Vectors of facts, one table for each model: kept, taken in by the index, taken away.

A vector comes in as not indexed and is then compared one by one; `flip` lets the index take it in later, in batches.
"""

from collections.abc import Sequence

from database import Tx
from memory import models, tombstones
from memory.models import Model

# Held until the end: an erasure waits for the vector, and a vector is not written for a fact that is gone or has another text by now.
HOLD = """
SELECT num, sha256(convert_to(CASE speaker WHEN '' THEN body ELSE speaker || ': ' || body END, 'UTF8')) = hash AS fits
  FROM fact JOIN unnest($2::bigint[], $3::bytea[]) AS given (num, hash) USING (num)
 WHERE tenant = $1 ORDER BY num FOR KEY SHARE OF fact
"""
# The vectors come one behind the other, as plain numbers: as texts they would take ten times as long to write and to read.
PUT = """
INSERT INTO {table} (tenant, fact, body_hash, e, scope, kind, subject, session, speaker)
SELECT $1, given.fact, hash, ($4::real[])[(nth - 1) * {dims} + 1 : nth * {dims}]::halfvec,
       facet(f.scope), facet(f.kind), facet(f.subject), facet(f.session), facet(f.speaker)
  FROM unnest($2::bigint[], $3::bytea[]) WITH ORDINALITY AS given (fact, hash, nth) JOIN fact f ON f.tenant = $1 AND f.num = given.fact
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
