"""Consistency: what a tenant's memory holds, whether its parts agree, and what mends it where they don't."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from database import Tx
from memory import backlog, models, postings, tombstones, vectors
from memory.models import Model

HELD = """
SELECT (SELECT count(*) FROM episode WHERE tenant = $1) AS episodes,
       (SELECT count(DISTINCT session) FROM episode WHERE tenant = $1) AS sessions,
       (SELECT count(*) FROM fact WHERE tenant = $1 AND superseded_at IS NULL) AS facts,
       (SELECT count(*) FROM fact WHERE tenant = $1 AND superseded_at IS NOT NULL) AS superseded,
       (SELECT count(*) FROM fact WHERE tenant = $1 AND near IS NOT NULL) AS near_duplicates,
       (SELECT count(*) FROM fact AS f WHERE f.tenant = $1
           AND NOT EXISTS (SELECT FROM fact_source AS s WHERE s.tenant = $1 AND s.fact = f.id)) AS without_source,
       (SELECT count(*) FROM posting WHERE tenant = $1) AS postings,
       (SELECT count(*) FROM memory_write WHERE tenant = $1) AS writes,
       (SELECT count(*) FROM tombstone WHERE tenant = $1) AS forgotten
"""
UNPOSTED = """
SELECT f.num, f.body FROM fact AS f LEFT JOIN fact_words AS w ON w.tenant = $1 AND w.fact = f.num
  LEFT JOIN (SELECT fact, count(*) AS words FROM posting WHERE tenant = $1 GROUP BY fact) AS posted ON posted.fact = f.num
 WHERE f.tenant = $1 AND (w.fact IS NULL OR cardinality(w.lexemes) <> coalesce(posted.words, 0))
"""
UNPOST = "DELETE FROM posting WHERE tenant = $1 AND fact = ANY($2)"
STRAY_WORDS = """
SELECT w.fact AS num FROM fact_words AS w WHERE w.tenant = $1 AND NOT EXISTS (SELECT FROM fact AS f WHERE f.tenant = $1 AND f.num = w.fact)
"""
# What is counted at last, and what is counted but not yet added up, must together be what there is.
DRIFT = """
WITH counted AS (
    SELECT lexeme, sum(df) AS df FROM (
        SELECT lexeme, df FROM lexeme_stat WHERE tenant = $1
        UNION ALL
        SELECT word.lexeme, word.df
          FROM word_change AS c CROSS JOIN LATERAL unnest(c.lexemes, c.counts) AS word (lexeme, df) WHERE c.tenant = $1
    ) AS parts GROUP BY lexeme
), real AS (SELECT lexeme, count(*) AS df FROM posting WHERE tenant = $1 GROUP BY lexeme)
SELECT count(*) FROM counted FULL JOIN real USING (lexeme) WHERE coalesce(counted.df, 0) <> coalesce(real.df, 0)
"""
CORPUS_DRIFT = """
SELECT abs(held.facts + coalesce(change.facts, 0) - real.facts) + abs(held.words + coalesce(change.words, 0) - real.words)
  FROM (SELECT coalesce(sum(facts), 0) AS facts, coalesce(sum(words), 0) AS words FROM corpus WHERE tenant = $1) AS held,
       (SELECT sum(facts) AS facts, sum(words) AS words FROM word_change WHERE tenant = $1) AS change,
       (SELECT count(*) AS facts, coalesce(sum(words), 0) AS words FROM fact_words WHERE tenant = $1) AS real
"""
RECOUNT = (
    "DELETE FROM word_change WHERE tenant = $1",
    "DELETE FROM lexeme_stat WHERE tenant = $1",
    "DELETE FROM corpus WHERE tenant = $1",
    "INSERT INTO lexeme_stat (tenant, lexeme, df) SELECT $1, lexeme, count(*) FROM posting WHERE tenant = $1 GROUP BY lexeme",
    "INSERT INTO corpus (tenant, facts, words) SELECT $1, count(*), coalesce(sum(words), 0) FROM fact_words WHERE tenant = $1",
)
STRAY_SOURCES = """
FROM fact_source AS s WHERE s.tenant = $1 AND (NOT EXISTS (SELECT FROM fact AS f WHERE f.tenant = $1 AND f.id = s.fact)
    OR NOT EXISTS (SELECT FROM episode AS e WHERE e.tenant = $1 AND e.id = s.episode))
"""
UNNOTED = """
SELECT count(*) FROM fact AS f WHERE f.tenant = $1 AND NOT EXISTS (SELECT FROM {table} AS v WHERE v.tenant = $1 AND v.fact = f.num)
   AND NOT EXISTS (SELECT FROM vector_due AS d WHERE d.tenant = $1 AND d.model = $2 AND d.fact = f.num)
"""
STRAY_VECTORS = """
SELECT v.fact AS num FROM {table} AS v WHERE v.tenant = $1 AND NOT EXISTS (SELECT FROM fact AS f WHERE f.tenant = $1 AND f.num = v.fact)
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. count: rows that are wrong. mend: sets them right and returns nothing."""

    name: str
    count: int
    mend: Callable[[Tx], Awaitable[object]]


async def stats(tx: Tx) -> dict[str, Any]:
    """Return how much of everything a tenant's memory holds, and for each model its vectors and what they wait for."""
    row = await tx.row(HELD, tx.tenant)
    held = dict(row) if row else {}
    return held | {"models": [await _vectors(tx, model) for model in await models.of_tenant(tx)]}


async def check(tx: Tx) -> list[Finding]:
    """Compare the parts of a tenant's memory with each other; a finding with no rows is fine. Other writers must be kept out, or unseen."""
    unposted = [(row["num"], row["body"]) for row in await tx.fetch(UNPOSTED, tx.tenant)]
    words = [row["num"] for row in await tx.fetch(STRAY_WORDS, tx.tenant)]
    drift = await tx.value(DRIFT, tx.tenant) + int(await tx.value(CORPUS_DRIFT, tx.tenant))
    sources = await tx.value(f"SELECT count(*) {STRAY_SOURCES}", tx.tenant)
    found = [
        Finding("facts that not all of their words find", len(unposted), lambda tx: _repost(tx, unposted)),
        Finding("words of facts that are gone", len(words), lambda tx: postings.remove(tx, words)),
        Finding("word statistics that are off", drift, _recount),
        Finding("sources of what is gone", sources, lambda tx: tx.execute(f"DELETE {STRAY_SOURCES}", tx.tenant)),
    ]
    for model in await models.of_tenant(tx):
        found += await _of_model(tx, model)
    return found


async def mend(tx: Tx) -> list[Finding]:
    """Set right what does not agree, and return what did not; writers of the tenant's memory wait until this has committed."""
    await tombstones.lock(tx)
    found = [finding for finding in await check(tx) if finding.count]
    for finding in found:
        await finding.mend(tx)
    if found:
        # What was mended may have been counted before.
        await _recount(tx)
    return found


async def _of_model(tx: Tx, model: Model) -> list[Finding]:
    unnoted = await tx.value(UNNOTED.format(table=model.table), tx.tenant, model.id)
    strays = [row["num"] for row in await tx.fetch(STRAY_VECTORS.format(table=model.table), tx.tenant)]
    return [
        Finding(f"facts without a vector of {model.name} that nothing will make", unnoted, lambda tx: backlog.enqueue(tx, model)),
        Finding(f"vectors of {model.name} of facts that are gone", len(strays), lambda tx: vectors.remove(tx, strays)),
    ]


async def _vectors(tx: Tx, model: Model) -> dict[str, Any]:
    rows, fresh = await vectors.counts(tx, model)
    return {"name": model.name, "dims": model.dims, "state": model.state, "vectors": rows, "not_indexed": fresh,
            "waiting": await backlog.waiting(tx, model)}  # fmt: skip


async def _repost(tx: Tx, facts: Sequence[tuple[int, str]]) -> None:
    nums = [num for num, _ in facts]
    await postings.remove(tx, nums)
    await tx.execute(UNPOST, tx.tenant, nums)
    await postings.add(tx, facts)


async def _recount(tx: Tx) -> None:
    await tx.execute(postings.LOCK, tx.tenant)
    for statement in RECOUNT:
        await tx.execute(statement, tx.tenant)
