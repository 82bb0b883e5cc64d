"""Facts that were found, read with what was said just before and after what they were taken from."""

from collections.abc import Sequence
from typing import Any

from database import Tx
from memory import scoring
from memory.beside import Pair
from memory.filters import Filter

READ = """
SELECT f.id, f.num, f.body, f.scope, f.kind, f.subject, f.session, f.speaker, f.at, f.recorded_at, f.lineage, f.step,
       ARRAY(SELECT episode FROM fact_source WHERE tenant = $1 AND fact >= f.id AND fact <= f.id ORDER BY fact, episode) AS sources
       {beside}
  FROM unnest($2::bigint[]) AS given (num)
 CROSS JOIN LATERAL (SELECT * FROM fact WHERE tenant = $1 AND num >= given.num AND num <= given.num ORDER BY num LIMIT 1) AS f
"""
# And what was taken from the episodes before and after those.
BESIDE = """
, ARRAY(SELECT near.num FROM (
    SELECT episode FROM fact_source WHERE tenant = $1 AND fact >= f.id AND fact <= f.id ORDER BY fact, episode
 ) AS source
 CROSS JOIN LATERAL (
    SELECT session, seq FROM episode WHERE tenant = $1 AND id >= source.episode AND id <= source.episode ORDER BY id LIMIT 1
 ) AS turn
 CROSS JOIN LATERAL (
    SELECT id FROM episode WHERE tenant = $1 AND session = turn.session AND seq >= turn.seq - 1 AND seq <= turn.seq + 1 ORDER BY seq LIMIT 3
 ) AS beside
 CROSS JOIN LATERAL (
    SELECT fact FROM fact_source
     WHERE tenant = $1 AND episode >= beside.id AND episode <= beside.id AND beside.id <> source.episode ORDER BY episode LIMIT 400
 ) AS told
 CROSS JOIN LATERAL (
    SELECT f.num FROM fact f WHERE f.tenant = $1 AND f.id >= told.fact AND f.id <= told.fact AND {filter} ORDER BY f.id LIMIT 1
 ) AS near LIMIT 40) AS beside
"""


async def added(pair: Pair, scores: dict[int, float], filter: Filter, *, most: int) -> tuple[dict[int, float], dict[int, dict[str, Any]]]:
    """Return the scores with what is beside the best of them, and the facts that were read on the way.

    most: how many of the best are read, every second one beside the others.
    """
    condition, values = filter.sql(3)
    told, best = BESIDE.format(filter=condition), scoring.best(scores, most)
    one, other = await pair.both(lambda tx: read(tx, best[::2], told, values), lambda tx: read(tx, best[1::2], told, values))
    found = one | other
    return scoring.beside(scores, {num: row.pop("beside") for num, row in found.items()}), found


async def read(tx: Tx, nums: Sequence[int], beside: str = "", values: Sequence[Any] = ()) -> dict[int, dict[str, Any]]:
    """Return facts by number, with the episodes they were taken from. beside: `BESIDE`, whose filter takes the values."""
    if not nums:
        return {}
    return {row["num"]: dict(row) for row in await tx.fetch(READ.format(beside=beside), tx.tenant, nums, *values)}
