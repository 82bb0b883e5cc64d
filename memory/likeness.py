"""Near-duplicates: facts that say almost the same are linked to the older one, and never merged."""

import hashlib
import re
from collections.abc import Mapping, Sequence

from database import Tx
from memory import tombstones
from memory.planning import AS_WRITTEN, aside

WORDS = re.compile(r"\w+")
ENOUGH = 0.8
"""The share of words two facts have in common, of all that either has, from which one is linked to the other."""
FEWEST, MOST = 4, 64
"""Words: shorter facts are alike by chance, and longer ones are compared by their beginning."""
LOOKED_AT = 10
"""Older facts that share the most rare words, whose texts are compared."""
# Two facts that share four fifths of their words share one of any fifth of them: the rarest fifth leaves few to look at. Of a word that is
# in many facts only the newest are seen, so the work for one fact is bounded, however much there is.
CANDIDATES = """
WITH asked AS MATERIALIZED (
    SELECT f.num, w.lexemes FROM fact f JOIN fact_words w ON w.tenant = $1 AND w.fact = f.num
     WHERE f.tenant = $1 AND f.num = ANY($2::bigint[]) AND f.near IS NULL AND f.superseded_at IS NULL
), rare AS MATERIALIZED (
    SELECT asked.num, word.lexeme FROM asked CROSS JOIN LATERAL (
        SELECT given.lexeme COLLATE "C" AS lexeme FROM unnest(asked.lexemes) AS given (lexeme)
          LEFT JOIN lexeme_stat stat ON stat.tenant = $1 AND stat.lexeme = given.lexeme
         ORDER BY coalesce(stat.df, 0), 1 LIMIT least(cardinality(asked.lexemes) / 5, $3::integer / 5) + 1
    ) AS word
), met AS (
    SELECT rare.num, older.fact, count(*) AS shared FROM rare CROSS JOIN LATERAL (
        SELECT fact FROM posting WHERE tenant = $1 AND lexeme = rare.lexeme AND fact < rare.num ORDER BY fact DESC LIMIT 50
    ) AS older GROUP BY rare.num, older.fact
)
SELECT num, fact FROM (SELECT num, fact, row_number() OVER (PARTITION BY num ORDER BY shared DESC, fact) AS rank FROM met) AS ranked
 WHERE rank <= $4 ORDER BY num, fact
"""
ALIKE = """
SELECT DISTINCT ON (likeness) likeness, id FROM fact
 WHERE tenant = $1 AND likeness = ANY($2) AND superseded_at IS NULL ORDER BY likeness, num
"""
# Asked by itself: a join with the facts is one that the planner takes for one with all of them.
BODIES = "SELECT num, id, scope, body FROM fact WHERE tenant = $1 AND num = ANY($2::bigint[]) AND superseded_at IS NULL"
# In the order of their numbers: of two who link the same facts one waits for the other, and finds them linked.
LINK = """
WITH held AS MATERIALIZED (
    SELECT f.num, given.near FROM unnest($2::bigint[], $3::text[]) AS given (num, near) JOIN fact f ON f.tenant = $1 AND f.num = given.num
     WHERE f.near IS NULL ORDER BY f.num FOR NO KEY UPDATE OF f
)
UPDATE fact SET near = held.near FROM held WHERE fact.tenant = $1 AND fact.num = held.num AND fact.near IS NULL
"""


def bare(text: str) -> str:
    """Return a text without case, spaces and marks; one that has nothing else is left as it is."""
    return " ".join(WORDS.findall(text.casefold())) or text.strip()


def hashed(scope: str, text: str) -> int:
    """Return 64 bits that are equal where the bare words of two texts of a scope are."""
    return int.from_bytes(hashlib.sha256(f"{scope}\0{bare(text)}".encode()).digest()[:8], signed=True)


def overlap(one: str, other: str) -> float:
    """Return how many words two texts share, of all that either has: 0 to 1."""
    first, second = (set(bare(text).split()[:MOST]) for text in (one, other))
    return len(first & second) / len(first | second) if min(len(first), len(second)) >= FEWEST else 0.0


async def alike(tx: Tx, given: Mapping[int, str]) -> dict[int, str]:
    """Return, for each likeness, the oldest fact that has it; where none has, the id that is given with it."""
    return {**given, **{row["likeness"]: row["id"] for row in await tx.fetch(ALIKE, tx.tenant, list(given))}}


async def link_near(tx: Tx, nums: Sequence[int]) -> int:
    """Link facts to an older one that shares most of their words; return how many were linked. Repeating it changes nothing."""
    if not nums:
        return 0
    # A link is an id, which may have somebody's name in it.
    await tombstones.share(tx)
    async with aside(tx, AS_WRITTEN):
        pairs = await tx.fetch(CANDIDATES, tx.tenant, list(nums), MOST, LOOKED_AT)
        looked_at = list({num for pair in pairs for num in pair})
        facts = {row["num"]: row for row in await tx.fetch(BODIES, tx.tenant, looked_at)}
    near: dict[int, str] = {}
    for num, older in pairs:
        one, other = facts.get(num), facts.get(older)
        # The pairs of a fact come with the oldest first, and one link is enough.
        if one is None or other is None or num in near or one["scope"] != other["scope"]:
            continue
        if overlap(one["body"], other["body"]) >= ENOUGH:
            near[num] = other["id"]
    return await tx.execute(LINK, tx.tenant, list(near), list(near.values())) if near else 0
