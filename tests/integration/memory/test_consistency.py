"""Whether the parts of memory agree: what is off is found, named and mended."""

import pytest

from database import Database
from memory import consistency, facts, keywords, postings, succession
from memory.filters import Filter
from memory.storing import NewFact
from memory.writes import WriteKey

FACTS = [NewFact(f"the kettle of kitchen {nth} is new", id=f"f{nth}") for nth in range(4)]
SPOILS = {
    "facts that not all of their words find": "DELETE FROM fact_words WHERE tenant = $1",
    "facts that not all of their words find ": "DELETE FROM posting WHERE tenant = $1 AND lexeme = 'kettl'",
    "words of facts that are gone": "DELETE FROM fact WHERE tenant = $1 AND id = 'f2'",
    "word statistics that are off": "UPDATE lexeme_stat SET df = df + 7 WHERE tenant = $1 AND lexeme = 'kettl'",
    "sources of what is gone": "INSERT INTO fact_source (tenant, fact, episode) VALUES ($1, 'nobody', 'nothing')",
    "facts without a vector of wordllama that nothing will make": "DELETE FROM vector_due WHERE tenant = $1",
    "vectors of wordllama of facts that are gone": """
        INSERT INTO fact_vec_1 (tenant, fact, body_hash, e, scope, kind, subject, session, speaker)
        VALUES ($1, 999999, 'x', array_fill(1, ARRAY[256])::real[]::halfvec, 1, 1, 0, 0, 0)
    """,
}


@pytest.mark.parametrize("name", SPOILS)
async def test_what_does_not_agree_is_found_by_name_and_mended(database: Database, name: str) -> None:
    async with database.transaction("default") as tx:
        await succession.adopt(tx, "wordllama")
        await facts.write(tx, WriteKey("lineage", "s"), FACTS)
        await postings.fold(tx)
        assert [finding.name for finding in await consistency.check(tx) if finding.count] == []
        await tx.execute(SPOILS[name], tx.tenant)
        assert name.strip() in [finding.name for finding in await consistency.check(tx) if finding.count]
        assert name.strip() in [finding.name for finding in await consistency.mend(tx)]
        assert [finding.name for finding in await consistency.check(tx) if finding.count] == []
        assert await keywords.search(tx, "kettle", Filter(), limit=5)


async def test_stats_count_every_tier_of_long_term_memory(database: Database) -> None:
    async with database.transaction("default") as tx:
        await facts.write(tx, WriteKey("lineage", "s"), FACTS)
        held = await consistency.stats(tx)
    assert (held["facts"], held["without_source"], held["episodes"], held["writes"], held["models"]) == (4, 4, 0, 1, [])
