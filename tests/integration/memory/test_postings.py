"""Postings and their statistics on a real Postgres: what is added, taken away and added up."""

from database import Database
from memory import keywords, postings
from memory.filters import Filter
from tests.integration.memory.corpora import Row, write

BODIES = (
    "the adoption agency called Caroline about the papers",
    "Caroline went hiking in the mountains with the dogs",
    "papers about mountain weather and mountain huts",
    "the agency of mountain guides, an agency with a long name and a longer history of papers",
)
ROWS = [Row(f"f{nth}", body) for nth, body in enumerate(BODIES)]


async def test_adding_again_changes_nothing(database: Database) -> None:
    async with database.transaction("default") as tx:
        nums = await write(tx, ROWS)
        await postings.add(tx, [(nums[row.id], row.body) for row in ROWS])
        while await postings.fold(tx):
            pass
        assert await tx.value("SELECT facts FROM corpus WHERE tenant = $1", tx.tenant) == len(ROWS)
        assert await tx.value("SELECT df FROM lexeme_stat WHERE tenant = $1 AND lexeme = 'carolin'", tx.tenant) == 2


async def test_what_is_removed_leaves_no_word_behind(database: Database) -> None:
    async with database.transaction("default") as tx:
        nums = await write(tx, ROWS)
        while await postings.fold(tx):
            pass
        assert await postings.remove(tx, [nums["f0"], nums["f1"]]) == 2
        for table, column in (
            ("posting", "lexeme"),
            ("lexeme_stat", "lexeme"),
            ("word_change", "lexemes::text"),
            ("fact_words", "lexemes::text"),
        ):
            left = await tx.value(f"SELECT count(*) FROM {table} WHERE tenant = $1 AND {column} LIKE '%carolin%'", tx.tenant)  # noqa: S608
            assert left == 0, table
        assert await tx.value("SELECT facts FROM corpus WHERE tenant = $1", tx.tenant) == 2
    async with database.transaction("default") as tx:
        assert await keywords.search(tx, "Caroline", Filter(), limit=10) == []


async def test_statistics_do_not_drift_over_writes_removals_and_folds(database: Database) -> None:
    async with database.transaction("default") as tx:
        nums = await write(tx, ROWS)
        await postings.fold(tx)
        more = await write(tx, [Row("f9", "mountain mountain agency"), Row("f10", "the")])
        await postings.remove(tx, [nums["f2"], more["f9"]])
        kept = await tx.fetch("SELECT lexeme, df FROM lexeme_stat WHERE tenant = $1 ORDER BY 1", tx.tenant)
        counted = await tx.fetch("SELECT lexeme, count(*) AS df FROM posting WHERE tenant = $1 GROUP BY 1 ORDER BY 1", tx.tenant)
        assert [tuple(row) for row in kept] == [tuple(row) for row in counted]
        sums = await tx.row("SELECT count(*) AS facts, sum(words) AS words FROM fact_words WHERE tenant = $1", tx.tenant)
        corpus = await tx.row("SELECT facts, words FROM corpus WHERE tenant = $1", tx.tenant)
        assert sums and corpus and tuple(corpus) == tuple(sums)
