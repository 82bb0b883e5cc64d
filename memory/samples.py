"""Samples of real queries, which the recall monitor asks again: vector and filter, never the words."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from database import Tx
from memory.filters import Filter, read
from memory.knobs import Knobs

TARGET = 0.99
"""Recall that is asked for where a bundle names none."""
DEFAULTS = Knobs()
KEPT = timedelta(days=7)
MOST = 400
"""Samples that one comparison asks again of those that an index answered, or codes."""
OTHERS = 50
"""The same of those that exact search answered: their recall is 1 by its making, and they are asked to see that it is."""
SELDOM = 0.01
"""Share of queries that is kept once there are enough samples."""
OFFER = """
INSERT INTO recall_sample (tenant, model, embedding, filter, k, mode, target) VALUES ($1, $2, $3::real[], $4, $5, $6, $7)
"""
RANKED = """
SELECT id, embedding, filter, k, target,
       at > now() - $3::interval AND row_number() OVER (PARTITION BY mode <> 'exact' ORDER BY id DESC)
       <= CASE WHEN mode <> 'exact' THEN $4::integer ELSE $5::integer END AS asked
  FROM recall_sample WHERE tenant = $1 AND model = $2
"""
NEWEST = f"SELECT id, embedding, filter, k, target FROM ({RANKED}) AS ranked WHERE asked ORDER BY id DESC"  # noqa: S608
TRIM = f"""
DELETE FROM recall_sample WHERE tenant = $1 AND model = $2 AND id IN (SELECT id FROM ({RANKED}) AS ranked WHERE NOT asked)
"""  # noqa: S608
CLEAR = "DELETE FROM recall_sample WHERE tenant = $1"


@dataclass(frozen=True, slots=True)
class Sample:
    """A query that was asked. target: the recall that was promised to who asked it."""

    id: int
    embedding: list[float]
    filter: Filter
    k: int
    target: float


async def offer(
    tx: Tx,
    model: int,
    embedding: Sequence[float],
    filter: Filter,
    *,
    k: int,
    mode: str,
    knobs: Knobs = DEFAULTS,
    target: float = TARGET,
) -> bool:
    """Keep this query by chance, in ``knobs.sampled`` of all cases, and tell whether it was kept."""
    if random.random() >= knobs.sampled:
        return False
    await tx.execute(OFFER, tx.tenant, model, list(embedding), filter.told(), k, mode, target)
    return True


async def newest(tx: Tx, model: int, *, most: int = MOST, others: int = OTHERS) -> list[Sample]:
    """Return the newest samples of the last week, the newest first: so many that an index answered, and so many others."""
    rows = await tx.fetch(NEWEST, tx.tenant, model, KEPT, most, others)
    return [Sample(row["id"], row["embedding"], read(row["filter"]), row["k"], row["target"]) for row in rows]


async def trim(tx: Tx, model: int, *, most: int = MOST, others: int = OTHERS) -> int:
    """Forget the samples that no comparison will ask again and return how many there were."""
    return await tx.execute(TRIM, tx.tenant, model, KEPT, most, others)


async def clear(tx: Tx) -> int:
    """Forget every sample of the tenant, as an erasure must: filters may name people. Return how many there were."""
    return await tx.execute(CLEAR, tx.tenant)
