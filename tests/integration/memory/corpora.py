"""Facts with words and vectors, as the tests of search need them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from database import Database, Tx
from memory import backlog, models, postings, succession, vectors
from memory.embedding import digest
from memory.models import Model

INSERT = """
INSERT INTO fact (tenant, id, body, scope, kind, subject, session, speaker, content_hash, likeness)
SELECT $1, id, body, scope, kind, subject, session, speaker, hash, 0
  FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[])
    AS given (id, body, scope, kind, subject, session, speaker, hash)
RETURNING id, num
"""
DIMS = 16


@dataclass(frozen=True)
class Row:
    id: str
    body: str
    scope: str = "default"
    kind: str = "note"
    subject: str = ""
    session: str = ""
    speaker: str = ""
    vector: Sequence[float] | None = field(default=None, repr=False)


async def write(tx: Tx, rows: Sequence[Row], model: Model | None = None) -> dict[str, int]:
    """Insert facts findable by their words, and by their vectors where a model is given; return the number of each id."""
    names = ("id", "body", "scope", "kind", "subject", "session", "speaker")
    columns = [[getattr(row, name) for row in rows] for name in names]
    contents = [hashlib.sha256(f"{row.id}\0{row.body}".encode()).digest() for row in rows]
    nums = {row["id"]: row["num"] for row in await tx.fetch(INSERT, tx.tenant, *columns, contents)}
    await postings.add(tx, [(nums[row.id], row.body) for row in rows])
    if model:
        await vectors.put(tx, model, [(nums[row.id], hashed(row.speaker, row.body), row.vector) for row in rows if row.vector is not None])
    return nums


def hashed(speaker: str, body: str) -> bytes:
    """Return the hash that the vector of a fact must come with."""
    return digest(backlog.embedded(speaker, body))


async def hashes(tx: Tx) -> dict[int, bytes]:
    """Return that of each fact, by its number."""
    rows = await tx.fetch("SELECT num, speaker, body FROM fact WHERE tenant = $1", tx.tenant)
    return {row["num"]: hashed(row["speaker"], row["body"]) for row in rows}


async def tenant(database: Database, name: str) -> None:
    async with database.transaction(name) as tx:
        await tx.execute("INSERT INTO tenant (tenant) VALUES ($1) ON CONFLICT DO NOTHING", name)


async def laid(database: Database, owner_url: str, name: str = "small", dims: int = DIMS, *, of: str = "default") -> Model:
    """Lay a model's table and let a tenant use it."""
    await models.lay(owner_url, name, dims)
    async with database.transaction(of) as tx:
        return await succession.adopt(tx, name)


async def flip(database: Database, model: Model, *, of: str = "default") -> None:
    """Let the index take in all there is."""
    while True:
        async with database.transaction(of) as tx:
            if not await vectors.flip(tx, model, limit=2_000):
                return


def clustered(count: int, dims: int = DIMS, *, seed: int = 5) -> Any:
    """Return vectors of length 1 around a few hundred centres."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((300, dims))
    drawn = centres[random.integers(0, 300, count)] + 0.7 * random.standard_normal((count, dims))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def true_nearest(all_vectors: Any, asked: Any, rows: Sequence[int], k: int) -> set[int]:
    """Return which of these rows are nearest to a vector."""
    chosen = np.asarray(rows)
    return set(chosen[np.argsort(-(all_vectors[chosen] @ asked), kind="stable")[:k]].tolist())
