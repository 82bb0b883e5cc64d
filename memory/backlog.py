"""Facts whose vectors are still to be made, one line for each fact and model.

Who takes some has them for a while; what was not made by then falls due again, so a killed worker costs time only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from database import Tx
from memory.models import Model

# An array is made once; a subquery might run again for each row, and then its limit is none.
TAKE = """
WITH taken AS (
    UPDATE vector_due SET due = clock_timestamp() + $4::interval WHERE tenant = $1 AND model = $2 AND fact = ANY(ARRAY(
        SELECT fact FROM vector_due WHERE tenant = $1 AND model = $2 AND due <= clock_timestamp()
         ORDER BY fact LIMIT $3 FOR UPDATE SKIP LOCKED
    )) RETURNING fact
)
SELECT f.num, f.speaker, f.body FROM taken JOIN fact f ON f.tenant = $1 AND f.num = taken.fact ORDER BY f.num
"""
# Lines of facts that are gone would be taken again and again.
CLEAR = """
DELETE FROM vector_due d WHERE d.tenant = $1 AND d.model = $2 AND NOT EXISTS (SELECT FROM fact f WHERE f.tenant = $1 AND f.num = d.fact)
"""
ENQUEUE = """
INSERT INTO vector_due (tenant, model, fact)
SELECT $1, $2, f.num FROM fact f WHERE f.tenant = $1 AND NOT EXISTS (SELECT FROM {table} v WHERE v.tenant = $1 AND v.fact = f.num)
ON CONFLICT (tenant, model, fact) DO NOTHING
"""
GIVE_BACK = """
UPDATE vector_due SET due = clock_timestamp() WHERE tenant = $1 AND model = $2 AND fact = ANY($3::bigint[])
"""
WAITING = "SELECT count(*) FROM (SELECT FROM vector_due WHERE tenant = $1 AND model = $2 LIMIT $3) AS due"
NOT_DUE = "DELETE FROM vector_due WHERE tenant = $1 AND model = $2 AND fact = ANY($3::bigint[])"


@dataclass(frozen=True, slots=True)
class Due:
    """A fact whose vector is to be made, and the text that is embedded."""

    num: int
    text: str


async def take(tx: Tx, model: Model, *, limit: int, lease: timedelta) -> list[Due]:
    """Return some facts that have no vector yet; for as long as ``lease`` nobody else is given them."""
    rows = await tx.fetch(TAKE, tx.tenant, model.id, limit, lease)
    return [Due(row["num"], embedded(row["speaker"], row["body"])) for row in rows]


def embedded(speaker: str, body: str) -> str:
    """Return the text that stands for a fact: who said it is part of what was said."""
    return f"{speaker}: {body}" if speaker else body


async def give_back(tx: Tx, model: Model, nums: Sequence[int]) -> None:
    """Let anybody have at once what was taken."""
    await tx.execute(GIVE_BACK, tx.tenant, model.id, list(nums))


async def enqueue(tx: Tx, model: Model) -> int:
    """Note every fact that has no vector of a model, and return how many were not noted yet."""
    await tx.execute(CLEAR, tx.tenant, model.id)
    return await tx.execute(ENQUEUE.format(table=model.table), tx.tenant, model.id)


async def drop(tx: Tx, model: Model, nums: Sequence[int]) -> None:
    """Give up on facts of which no vector can be made; keywords still find them."""
    await tx.execute(NOT_DUE, tx.tenant, model.id, list(nums))


async def waiting(tx: Tx, model: Model, *, most: int | None = None) -> int:
    """Count the facts that wait for a vector, up to ``most``."""
    return int(await tx.value(WAITING, tx.tenant, model.id, most))
