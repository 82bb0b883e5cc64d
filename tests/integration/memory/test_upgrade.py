"""Vectors of before: what was there when their tables were laid anew is there after, and found."""

import shutil
from pathlib import Path

import asyncpg
import pytest

import database as module
from database import MIGRATIONS, SEARCH_PATH, Database, migrate
from memory import neighbours
from memory.filters import Filter
from memory.knobs import Knobs
from memory.models import Model
from memory.planning import aside, by_index
from tests import servers
from tests.integration.memory import corpora
from tests.integration.memory.corpora import DIMS

BEFORE = "0021"
PUT = """
INSERT INTO fact_vec_2 (tenant, fact, indexed, body_hash, e)
SELECT $1, num, num % 2 = 0, ''::bytea, given.e::halfvec FROM fact JOIN unnest($2::text[], $3::text[]) AS given (id, e) USING (id)
 WHERE tenant = $1
"""
KEPT = "SELECT fact, indexed, e::text FROM fact_vec_2 ORDER BY fact"
FACETS = """
SELECT count(*) FROM fact_vec_2 v JOIN fact f ON f.tenant = v.tenant AND f.num = v.fact
 WHERE (v.scope, v.kind, v.subject, v.session, v.speaker)
     = (facet(f.scope), facet(f.kind), 0, 0, facet(f.speaker)) AND v.speaker <> 0
"""


async def test_vectors_of_before_are_found_by_what_they_are_filtered_by(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in MIGRATIONS.glob("*.sql"):
        if path.name < BEFORE:
            shutil.copy(path, tmp_path)
    made = corpora.clustered(200)
    rows = [corpora.Row(f"f{nth}", f"word{nth}", kind=f"k{nth % 3}", speaker=f"s{nth % 7}") for nth in range(200)]
    async with servers.scratch_database(postgres_url) as url:
        with monkeypatch.context() as patch:
            patch.setattr(module, "MIGRATIONS", tmp_path)
            await migrate(url)
        owner = await asyncpg.connect(url, server_settings=SEARCH_PATH)
        database = await Database.connect(servers.as_app(url))
        try:
            await owner.execute("SET ROLE perdure_owner; SELECT lay_vectors(2, 'small', 16); RESET ROLE")
            await corpora.tenant(database, "default")
            async with database.transaction("default") as tx:
                await corpora.write(tx, rows)
                await tx.execute(PUT, tx.tenant, [row.id for row in rows], [str(one) for one in made.tolist()])
            before = await owner.fetch(KEPT)
            await migrate(url)
            assert await owner.fetch(KEPT) == before
            assert await owner.fetchval(FACETS) == 200
            assert (
                await owner.fetchval("SELECT count(*) FROM pg_class WHERE relname IN ('fact', 'fact_vec_2') AND relforcerowsecurity") == 2
            )
            async with database.transaction("default") as tx, aside(tx, by_index(Knobs())):
                found = [
                    await tx.fetch(query, *arguments)
                    for query, arguments in (
                        neighbours.coded(
                            tx, Model(2, "small", DIMS), made[3].tolist(), Filter(speakers=("s3", "s5")), 9, 300, gathered=gathered
                        )
                        for gathered in (True, False)
                    )
                ]
            assert [row["fact"] for row in found[0]] == [row["fact"] for row in found[1]] and len(found[0]) == 9
        finally:
            await database.close()
            await owner.close()
