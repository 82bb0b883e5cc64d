"""Near-duplicates: facts that say almost the same are linked to the older one, and never merged."""

import hashlib
import re
from collections.abc import Mapping, Sequence

from database import Tx
from memory import keywords
from memory.filters import Filter

WORDS = re.compile(r"\w+")
ENOUGH = 0.8
"""The share of words two facts have in common, of all that either has, from which one is linked to the other."""
FEWEST, MOST = 4, 64
"""Words: shorter facts are alike by chance, and longer ones are compared by their beginning."""
LOOKED_AT = 5
ALIKE = """
SELECT DISTINCT ON (likeness) likeness, id FROM fact
 WHERE tenant = $1 AND likeness = ANY($2) AND superseded_at IS NULL ORDER BY likeness, num
"""
UNLINKED = "SELECT num, scope, body FROM fact WHERE tenant = $1 AND num = ANY($2) AND near IS NULL AND superseded_at IS NULL"
BODIES = "SELECT num, id, body FROM fact WHERE tenant = $1 AND num = ANY($2)"
LINK = "UPDATE fact SET near = $3 WHERE tenant = $1 AND num = $2 AND near IS NULL"


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
    linked = 0
    for row in await tx.fetch(UNLINKED, tx.tenant, list(nums)) if nums else []:
        words = " ".join(bare(row["body"]).split()[:MOST])
        found = [num for num, _ in await keywords.search(tx, words, Filter(scopes=(row["scope"],)), limit=LOOKED_AT) if num < row["num"]]
        older = sorted(await tx.fetch(BODIES, tx.tenant, found), key=lambda other: other["num"]) if found else []
        near = next((other["id"] for other in older if overlap(row["body"], other["body"]) >= ENOUGH), None)
        linked += await tx.execute(LINK, tx.tenant, row["num"], near) if near else 0
    return linked
