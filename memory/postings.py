"""Postings: a line for each word of each fact, and statistics of them for each tenant, which follow by `fold`.

Words are those of Postgres' English dictionary. What is committed is found at once; see `memory.keywords` for how.
"""

from collections.abc import Sequence

from database import Tx, kept

# The words of a batch are parsed once and put in the order of the index, in which they are inserted fastest. Half of what an import costs.
ADD = """
WITH given AS MATERIALIZED (
    SELECT fact, to_tsvector('english', body) AS parsed FROM unnest($2::bigint[], $3::text[]) AS given (fact, body)
), held AS (
    INSERT INTO fact_words (tenant, fact, words, lexemes)
    SELECT $1, fact, (SELECT coalesce(sum(greatest(cardinality(positions), 1)), 0) FROM unnest(parsed)), tsvector_to_array(parsed)
      FROM given ORDER BY fact
    ON CONFLICT (tenant, fact) DO NOTHING RETURNING fact, words
), word AS MATERIALIZED (
    SELECT word.lexeme COLLATE "C" AS lexeme, held.fact, greatest(cardinality(word.positions), 1) AS tf, held.words
      FROM held JOIN given ON given.fact = held.fact CROSS JOIN LATERAL unnest(given.parsed) AS word ORDER BY 1, 2
), posted AS (
    INSERT INTO posting (tenant, lexeme, fact, tf, words) SELECT $1, lexeme, fact, tf, words FROM word
), counted AS (SELECT lexeme, count(*)::integer AS df FROM word GROUP BY lexeme), due AS (
    INSERT INTO vector_due (tenant, model, fact)
    SELECT $1, model.id, held.fact FROM held, embedding_model model WHERE model.tenant = $1 ON CONFLICT DO NOTHING
)
INSERT INTO word_change (tenant, facts, words, lexemes, counts)
SELECT $1, (SELECT count(*) FROM held), (SELECT sum(words) FROM held),
       coalesce((SELECT array_agg(lexeme) FROM counted), '{}'), coalesce((SELECT array_agg(df) FROM counted), '{}')
 WHERE EXISTS (SELECT FROM held)
"""
REMOVE = """
WITH gone AS (DELETE FROM fact_words WHERE tenant = $1 AND fact = ANY($2::bigint[]) RETURNING fact, words, lexemes),
posted AS (
    DELETE FROM posting USING (SELECT fact, unnest(lexemes) AS lexeme FROM gone) word
     WHERE posting.tenant = $1 AND posting.lexeme = word.lexeme AND posting.fact = word.fact
), due AS (DELETE FROM vector_due WHERE tenant = $1 AND fact = ANY($2::bigint[])),
counted AS (SELECT lexeme, -count(*)::integer AS df FROM gone, unnest(lexemes) AS lexeme GROUP BY lexeme)
INSERT INTO word_change (tenant, facts, words, lexemes, counts)
SELECT $1, -(SELECT count(*) FROM gone), -(SELECT sum(words) FROM gone),
       coalesce((SELECT array_agg(lexeme) FROM counted), '{}'), coalesce((SELECT array_agg(df) FROM counted), '{}')
 WHERE EXISTS (SELECT FROM gone)
"""
# One at a time folds for a tenant, so that nobody meets another over the row of a frequent word.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('perdure fold ' || $1, 0))"
FOLD = """
WITH taken AS (
    DELETE FROM word_change WHERE tenant = $1 AND id = ANY(ARRAY(SELECT id FROM word_change WHERE tenant = $1 ORDER BY id LIMIT $2))
    RETURNING facts, words, lexemes, counts
), word AS (SELECT lexeme, sum(df) AS df FROM taken CROSS JOIN LATERAL unnest(lexemes, counts) AS word (lexeme, df) GROUP BY lexeme),
counted AS (
    INSERT INTO lexeme_stat AS held (tenant, lexeme, df) SELECT $1, lexeme, df FROM word WHERE df <> 0
    ON CONFLICT (tenant, lexeme) DO UPDATE SET df = held.df + excluded.df
), total AS (
    INSERT INTO corpus AS held (tenant, facts, words) SELECT $1, sum(facts), sum(words) FROM taken HAVING count(*) > 0
    ON CONFLICT (tenant) DO UPDATE SET facts = held.facts + excluded.facts, words = held.words + excluded.words
)
SELECT (SELECT count(*) FROM taken)::integer AS changes, coalesce((SELECT array_agg(lexeme) FROM word WHERE df < 0), '{}') AS fallen
"""
# A word that no fact holds any more may be somebody's name.
FORGET = "DELETE FROM lexeme_stat WHERE tenant = $1 AND lexeme = ANY($2::text[]) AND df <= 0"
FOLDED = 64
"""Changes that one statement folds."""


async def add(tx: Tx, facts: Sequence[tuple[int, str]]) -> None:
    """Make facts findable by their words, in the transaction that writes them; again it changes nothing. facts: number and body."""
    if facts:
        await tx.execute(ADD, tx.tenant, [num for num, _ in facts], [kept(body) for _, body in facts])


async def remove(tx: Tx, nums: Sequence[int]) -> int:
    """Take away all words of these facts, out of the statistics too, and return how many facts had any."""
    await tx.execute(LOCK, tx.tenant)
    gone = await tx.value("SELECT count(*) FROM fact_words WHERE tenant = $1 AND fact = ANY($2::bigint[])", tx.tenant, list(nums))
    await tx.execute(REMOVE, tx.tenant, list(nums))
    while await fold(tx):
        pass
    return int(gone)


async def fold(tx: Tx) -> int:
    """Add some of the changes that wait to the statistics and return how many those were; 0 once nothing waits."""
    await tx.execute(LOCK, tx.tenant)
    row = await tx.row(FOLD, tx.tenant, FOLDED)
    if row and row["fallen"]:
        await tx.execute(FORGET, tx.tenant, row["fallen"])
    return row["changes"] if row else 0
