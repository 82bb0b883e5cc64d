"""A store of generated facts with vectors, as the tests of recall need one."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from bench.corpus import Corpus
from database import Database, Tx
from memory.filters import Filter
from memory.models import Model
from memory.samples import Sample

DIMS = 32
FACTS = """
INSERT INTO fact (tenant, id, num, kind, speaker, session, subject, body, content_hash, likeness)
SELECT $1, id, num, kind, speaker, session, subject, body, sha256(id::bytea), num
  FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
    AS given (id, num, kind, speaker, session, subject, body)
"""
VECTORS = """
INSERT INTO {table} (tenant, fact, indexed, body_hash, e, scope, kind, subject, session, speaker)
SELECT $1, num, true, ''::bytea, e::halfvec, facet(scope), facet(kind), facet(subject), facet(session), facet(speaker)
  FROM unnest($2::bigint[], $3::text[]) AS given (num, e) JOIN fact USING (num) WHERE tenant = $1
"""


@dataclass(frozen=True)
class Store:
    """A tenant's facts, whose numbers count from 1, and the model of their vectors."""

    database: Database
    model: Model
    corpus: Corpus

    def samples(self, count: int, share: str = "100 %", *, k: int = 10, target: float = 0.99) -> list[Sample]:
        """Return queries as the monitor keeps them, all with filters of this share."""
        asked = zip(self.corpus.questions(count), self.corpus.filters(share, count), strict=True)
        return [Sample(nth, question.embedding, Filter(**given), k, target) for nth, (question, given) in enumerate(asked)]


async def filled(database: Database, owner_url: str, size: int) -> Store:
    """Lay a model and fill a store of tenant `default`, all of it indexed."""
    store = Store(database, Model(7, "test", DIMS), Corpus(size, dims=DIMS))
    owner = await asyncpg.connect(owner_url, server_settings={"search_path": "perdure,public"})
    try:
        await owner.execute("SET ROLE perdure_owner")
        await owner.execute("SELECT lay_vectors($1, $2, $3)", store.model.id, store.model.name, DIMS)
        async with database.transaction("default") as tx:
            await _fill(tx, store)
        await owner.execute(f"ANALYZE fact, {store.model.table}")
    finally:
        await owner.close()
    return store


async def _fill(tx: Tx, store: Store) -> None:
    numbers = list(range(1, store.corpus.size + 1))
    rows = list(store.corpus.rows())
    columns = [[row.values[name] for row in rows] for name in ("kinds", "speakers", "sessions", "subjects")]
    await tx.execute(FACTS, tx.tenant, [row.id for row in rows], numbers, *columns, [row.body for row in rows])
    await tx.execute(
        VECTORS.format(table=store.model.table), tx.tenant, numbers, [_text(vector) for vector in store.corpus.vectors.tolist()]
    )
    await tx.execute(
        "INSERT INTO embedding_model (tenant, id, name, dims, state) VALUES ($1, $2, $3, $4, 'active')",
        *(tx.tenant, store.model.id, store.model.name, DIMS),
    )


def _text(vector: Sequence[float]) -> str:
    return "[" + ",".join(f"{number:.5f}" for number in vector) + "]"
