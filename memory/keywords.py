"""Keyword search: the postings of a query's words, scored by BM25 with the tenant's own statistics.

Words are those of Postgres' English dictionary, for facts and for queries. The rarest words of a query choose the facts that may win, and
every word scores them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from database import Tx, kept
from memory import scoring
from memory.filters import Filter
from memory.planning import AS_WRITTEN, aside

# Statistics may lag behind a bulk of writes, so words that they call rare are counted where they stand.
WORDS = """
WITH word AS (SELECT DISTINCT lexeme FROM unnest(to_tsvector('english', $2)) AS word)
SELECT word.lexeme, greatest(stat.df, live.df, 0) AS df, total.facts, total.words
  FROM word LEFT JOIN lexeme_stat stat ON stat.tenant = $1 AND stat.lexeme = word.lexeme
 CROSS JOIN LATERAL (
    SELECT count(*) AS df FROM (
        SELECT FROM posting WHERE tenant = $1 AND lexeme = word.lexeme LIMIT CASE WHEN stat.df >= $3 THEN 0 ELSE $4 END
    ) AS seen
 ) AS live
 CROSS JOIN (
    SELECT sum(facts)::bigint AS facts, sum(words)::bigint AS words FROM (
        SELECT facts, words FROM corpus WHERE tenant = $1 UNION ALL SELECT facts, words FROM word_change WHERE tenant = $1
    ) AS part
 ) AS total
"""
# Sorted before it meets the facts, so that no more of them are read than it takes to find the best that pass the filter.
CHOSEN = """
SELECT chosen.fact, chosen.part
  FROM (
    SELECT list.fact, sum({part}) AS part
      FROM unnest($2::text[], $3::float8[]) AS asked (lexeme, idf)
     CROSS JOIN LATERAL (
        SELECT fact, tf, words FROM posting WHERE tenant = $1 AND lexeme = asked.lexeme ORDER BY fact DESC LIMIT {bound}
     ) AS list
     GROUP BY list.fact ORDER BY 2 DESC, 1 DESC LIMIT {within}
  ) AS chosen
 CROSS JOIN LATERAL (
    SELECT FROM fact f WHERE f.tenant = $1 AND f.num >= chosen.fact AND f.num <= chosen.fact AND {filter} ORDER BY f.num LIMIT 1
 ) AS met
 ORDER BY chosen.part DESC, chosen.fact DESC LIMIT $5
"""
# For a filter that leaves some: they are read once and kept at hand. The limit only tells the planner that they fit into memory, and
# without the last two words it would join them.
AMONG = """
SELECT list.fact, sum({part}) AS part
  FROM unnest($2::text[], $3::float8[]) AS asked (lexeme, idf)
 CROSS JOIN LATERAL (
    SELECT fact, tf, words FROM posting WHERE tenant = $1 AND lexeme = asked.lexeme ORDER BY fact DESC LIMIT {bound}
 ) AS list
 WHERE (list.fact IN (SELECT f.num FROM fact f WHERE f.tenant = $1 AND {filter} LIMIT {held})) IS TRUE
 GROUP BY list.fact ORDER BY 2 DESC, 1 DESC LIMIT $5
"""
# The other way round, for a filter that leaves few facts and words that are in many.
PROBED = """
WITH few AS MATERIALIZED (SELECT f.num FROM fact f WHERE f.tenant = $1 AND {filter})
SELECT list.fact, sum({part}) AS part
  FROM unnest($2::text[], $3::float8[]) AS asked (lexeme, idf)
 CROSS JOIN LATERAL (
    SELECT fact, tf, words FROM posting WHERE tenant = $1 AND lexeme = asked.lexeme AND fact = ANY(ARRAY(SELECT num FROM few)) OFFSET 0
 ) AS list
 GROUP BY list.fact ORDER BY 2 DESC, 1 DESC LIMIT $5
"""
SCORES = """
SELECT list.fact, sum({part}) AS score
  FROM unnest($2::text[], $3::float8[]) AS asked (lexeme, idf)
 CROSS JOIN LATERAL (
    SELECT fact, tf, words FROM posting WHERE tenant = $1 AND lexeme = asked.lexeme AND fact = ANY($5::bigint[]) OFFSET 0
 ) AS list
 GROUP BY list.fact
"""
# In floating-point numbers throughout: a constant without its type would be a numeric, which takes longer than all the rest.
PART = f"""
asked.idf * list.tf * {scoring.K1 + 1}::float8
/ (list.tf + {scoring.K1 * (1 - scoring.B)}::float8 + {scoring.K1 * scoring.B}::float8 * list.words / $4::float8)
"""
LONGEST_QUERY = 20_000
"""Characters of a query whose words are looked for."""
MOST_WORDS = 48
LISTED = 8_000
"""Postings that the rarest words of a query may bring in; four times that where they leave too few facts."""
EVERY = 2**40
"""A bound that no list of postings reaches."""
HELD = 50_000
"""Facts that a query keeps at hand, which is what 2 MB of memory hold."""
COMPLETED = 120
"""Facts that the query's frequent words score too."""
RARE, COUNTED = 256, 20_000
"""A word of fewer facts than the first, as far as statistics know, is counted where it stands, up to the second."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a query: in how many facts it is, and what that makes it worth."""

    lexeme: str
    df: int
    idf: float


@dataclass(frozen=True, slots=True)
class Words:
    """A query's words, the rarest first, the mean length of the tenant's facts in words, and how many facts there are, 0 if unknown."""

    words: list[Word]
    mean: float
    facts: int = 0

    def arguments(self, words: Sequence[Word] | None = None) -> tuple[list[str], list[float], float]:
        """Return lexemes, weights and mean, as the queries take them."""
        chosen = self.words if words is None else words
        return [word.lexeme for word in chosen], [word.idf for word in chosen], self.mean


@dataclass(frozen=True, slots=True)
class Found:
    """Facts by keyword, best first. searched: facts that were scored. capped: a bound may have kept out a better one."""

    rows: list[tuple[int, float]]
    searched: int
    capped: bool


async def words(tx: Tx, query: str) -> Words:
    """Return the words of a query that any fact holds, the rarest first."""
    rows = await tx.fetch(WORDS, tx.tenant, kept(query[:LONGEST_QUERY]), RARE, COUNTED)
    known = sorted((row["df"], row["lexeme"]) for row in rows if row["df"])[:MOST_WORDS]
    facts = max([row["facts"] or 0 for row in rows] + [df for df, _ in known], default=0)
    total = max((row["words"] or 0 for row in rows), default=0)
    return Words([Word(lexeme, df, scoring.idf(df, facts)) for df, lexeme in known], max(total / facts, 1.0) if facts else 1.0, facts)


async def search(tx: Tx, query: str, filter: Filter, *, limit: int) -> list[tuple[int, float]]:
    """Return number and score of the facts that share the query's words, best first."""
    async with aside(tx, AS_WRITTEN):
        return (await find(tx, await words(tx, query), filter, limit=limit)).rows


async def find(tx: Tx, asked: Words, filter: Filter, *, limit: int, matching: int | None = None, every: bool = False) -> Found:
    """Return the best facts for words, best first; quick only under `planning.AS_WRITTEN`.

    matching: how many facts the filter leaves, without regard to time, where those are few enough to be counted.
    every: look at every posting, however many there are, so that no fact is missed.
    """
    if not asked.words:
        return Found([], 0, False)
    if every:
        return await _listed(tx, asked, filter, matching, bound=EVERY, limit=limit)
    total = sum(word.df for word in asked.words)
    # Looking up one pair costs about what two postings of a list do, which are met by their facts too.
    if matching is not None and matching * len(asked.words) <= 2 * min(total, LISTED):
        return Found(await _choose(tx, PROBED, asked, asked.words, filter, limit), matching, False)
    found = await _listed(tx, asked, filter, matching, bound=LISTED, limit=limit)
    if found.capped and len(found.rows) < limit:
        found = await _listed(tx, asked, filter, matching, bound=4 * LISTED, limit=limit)
    return found


async def _listed(tx: Tx, asked: Words, filter: Filter, matching: int | None, *, bound: int, limit: int) -> Found:
    rare, rest = _split(asked.words, bound)
    wanted = max(limit, COMPLETED) if rest else limit
    if filter.narrow and matching is not None and matching < HELD:
        chosen = await _choose(tx, AMONG, asked, rare, filter, wanted, bound=bound, held=HELD)
    else:
        chosen = await _chosen(tx, asked, rare, filter, bound=bound, limit=wanted)
    # What was counted up to a bound may be more.
    cut = bound < EVERY and any(word.df > bound or word.df == COUNTED for word in rare)
    searched = sum(min(word.df, bound) for word in rare)
    if not rest:
        return Found(chosen, searched, cut)
    added = await scores(tx, Words(rest, asked.mean), [fact for fact, _ in chosen])
    rows = sorted(((fact, part + added.get(fact, 0.0)) for fact, part in chosen), key=lambda row: (-row[1], -row[0]))[:limit]
    # A fact that was not looked at has at most the last partial score, and the most that the frequent words can add.
    most = sum(word.idf for word in rest) * (scoring.K1 + 1) + (chosen[-1][1] if len(chosen) >= wanted else 0.0)
    return Found(rows, searched, cut or len(rows) < limit or most > rows[-1][1])


def _split(words: Sequence[Word], bound: int) -> tuple[list[Word], list[Word]]:
    rare, listed = 1, words[0].df
    while rare < len(words) and listed + words[rare].df <= bound:
        listed += words[rare].df
        rare += 1
    return list(words[:rare]), list(words[rare:])


async def _chosen(tx: Tx, asked: Words, rare: Sequence[Word], filter: Filter, *, bound: int, limit: int) -> list[tuple[int, float]]:
    # To find the best few takes less than to sort them all, and a filter that leaves many, or time alone, seldom leaves too few of them.
    within = (4 if filter.narrow else 2) * limit
    rows = await _choose(tx, CHOSEN, asked, rare, filter, limit, bound=bound, within=within)
    if len(rows) >= limit or sum(word.df for word in rare) <= within:
        return rows
    return await _choose(tx, CHOSEN, asked, rare, filter, limit, bound=bound, within="ALL")


async def _choose(
    tx: Tx, query: str, asked: Words, words: Sequence[Word], filter: Filter, limit: int, **bounds: object
) -> list[tuple[int, float]]:
    condition, values = filter.sql(6)
    rows = await tx.fetch(query.format(part=PART, filter=condition, **bounds), tx.tenant, *asked.arguments(words), limit, *values)
    return [(row["fact"], row["part"]) for row in rows]


async def scores(tx: Tx, asked: Words, nums: Sequence[int]) -> dict[int, float]:
    """Return the score of those of these facts that share a word."""
    if not nums or not asked.words:
        return {}
    rows = await tx.fetch(SCORES.format(part=PART), tx.tenant, *asked.arguments(), list(nums))
    return {row["fact"]: row["score"] for row in rows}
