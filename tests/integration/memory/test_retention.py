"""Retention on a real Postgres: what is over the tenant's policy goes, in batches, and nothing else."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from contracts.errors import BadInput
from database import Database, Tx
from ledger import runs
from memory import episodes, facts, keywords, retention, revisions, sessions, summaries
from memory.episodes import NewEpisode
from memory.filters import Filter
from memory.retention import What
from memory.sessions import Turn
from memory.storing import NewFact
from memory.summaries import Summary
from memory.writes import WriteKey
from tests import servers
from tests.integration.ledger.rows import LINEAGE, run

NOW = datetime.now(UTC)
AGEING = """
UPDATE perdure.turn SET at = at - interval '40 days';
UPDATE perdure.episode SET recorded_at = recorded_at - interval '40 days';
UPDATE perdure.fact SET recorded_at = recorded_at - interval '40 days', superseded_at = superseded_at - interval '40 days';
UPDATE perdure.summary SET at = at - interval '40 days';
UPDATE perdure.memory_write SET at = at - interval '40 days';
"""


async def fill(tx: Tx) -> None:
    ids = await episodes.append(tx, WriteKey("l", "e"), [NewEpisode("with a fact", "s"), NewEpisode("without", "s")])
    first = await facts.write(tx, WriteKey("l", "f"), [NewFact("the old door is red", sources=(ids[0] or "",)), NewFact("doors exist")])
    await revisions.supersede(tx, WriteKey("l", "g"), first.ids[0], NewFact("the new door is blue"))
    await facts.write(tx, WriteKey("l", "h"), [NewFact("held for a while", valid_to=NOW - timedelta(days=40))])
    await sessions.append(tx, "s", 0, [Turn("user", "user", "hello")])
    await summaries.add(tx, "s", Summary(1, 1, "a greeting", "test"))


async def age(owner_url: str) -> None:
    await servers.run(owner_url, *filter(None, map(str.strip, AGEING.split(";"))))


@pytest.mark.parametrize(
    ("what", "table", "left", "gone"),
    [
        ("turns", "turn", 0, 1),
        ("episodes", "episode", 1, 1),
        ("superseded", "fact", 3, 1),
        ("expired", "fact", 3, 1),
        ("summaries", "summary", 0, 1),
        ("writes", "memory_write", 0, 3),
    ],
)
async def test_what_is_over_its_days_is_shown_and_then_goes(
    database: Database, owner_database_url: str, what: What, table: str, left: int, gone: int
) -> None:
    async with database.transaction("default") as tx:
        await fill(tx)
        await retention.keep(tx, what, 30)
    await age(owner_database_url)
    async with database.transaction("default") as tx:
        before = await tx.value(f"SELECT count(*) FROM {table}")  # noqa: S608
        assert await retention.due(tx) == {what: gone}
        assert await tx.value(f"SELECT count(*) FROM {table}") == before  # noqa: S608
        assert await retention.expire(tx) == {what: gone}
        assert await tx.value(f"SELECT count(*) FROM {table}") == left == before - gone  # noqa: S608
        assert await retention.due(tx) == await retention.expire(tx) == {what: 0}


async def test_a_fact_that_goes_is_no_longer_found_and_has_no_traces(database: Database, owner_database_url: str) -> None:
    async with database.transaction("default") as tx:
        await fill(tx)
        await retention.keep(tx, "superseded", 30)
    await age(owner_database_url)
    async with database.transaction("default") as tx:
        await retention.expire(tx)
        assert await keywords.search(tx, "the red door", Filter(as_of=NOW - timedelta(days=40)), limit=5) == []
        assert await tx.value("SELECT count(*) FROM posting WHERE lexeme = 'red'") == 0
        assert await tx.value("SELECT count(*) FROM fact_source WHERE fact NOT IN (SELECT id FROM fact)") == 0


async def test_what_is_young_or_has_no_policy_stays(database: Database, owner_database_url: str) -> None:
    async with database.transaction("default") as tx:
        await fill(tx)
        for what in retention.WHATS:
            await retention.keep(tx, what, 50)
    await age(owner_database_url)
    async with database.transaction("default") as tx:
        assert set((await retention.due(tx)).values()) == {0}
        for what in retention.WHATS:
            await retention.keep(tx, what, None)
        assert await retention.policy(tx) == await retention.due(tx) == await retention.expire(tx) == {}


async def test_rows_go_in_batches(database: Database, owner_database_url: str) -> None:
    async with database.transaction("default") as tx:
        await sessions.append(tx, "s", 0, [Turn("user", "user", str(nth)) for nth in range(25)])
        await retention.keep(tx, "turns", 30)
    await age(owner_database_url)
    for expected in (10, 10, 5, 0):
        async with database.transaction("default") as tx:
            assert await retention.expire(tx, most=10) == {"turns": expected}


async def test_turns_of_a_run_that_runs_stay(database: Database, owner_database_url: str) -> None:
    async with database.transaction("default") as tx:
        await runs.open_run(tx, run(), limit_micros=1)
        await sessions.append(tx, LINEAGE, 0, [Turn("user", "user", "hello")])
        await retention.keep(tx, "turns", 30)
    await age(owner_database_url)
    async with database.transaction("default") as tx:
        assert await retention.due(tx) == await retention.expire(tx) == {"turns": 0}


async def test_a_tenants_policy_is_its_own(database: Database, owner_database_url: str) -> None:
    for tenant in ("default", "other"):
        async with database.transaction(tenant) as tx:
            await fill(tx)
    await age(owner_database_url)
    async with database.transaction("default") as tx:
        await retention.keep(tx, "turns", 30)
        await retention.expire(tx)
    async with database.transaction("other") as tx:
        assert await retention.policy(tx) == {}
        assert await tx.value("SELECT count(*) FROM turn") == 1


@pytest.mark.parametrize(
    ("what", "days", "match"), [("turns", 0, "1 to 36,500"), ("turns", 40_000, "1 to"), ("cats", 3, "no policy for 'cats'")]
)
async def test_a_policy_that_is_none_is_refused(database: Database, what: str, days: int, match: str) -> None:
    with pytest.raises(BadInput, match=match):
        async with database.transaction("default") as tx:
            await retention.keep(tx, what, days)


async def test_turns_are_deleted_by_age_only(database: Database) -> None:
    with pytest.raises(asyncpg.RaiseError, match="for a day at least"):
        async with database.transaction("default") as tx:
            await tx.execute("SELECT expire_turns(0, 10)")


async def test_tables_with_dead_rows_are_named_and_then_vacuumed(database: Database, owner_database_url: str) -> None:
    # Else the server's own vacuum might come first.
    await servers.run(owner_database_url, "ALTER TABLE perdure.memory_write SET (autovacuum_enabled = false)")
    async with database.transaction("default") as tx:
        await tx.execute(
            "INSERT INTO memory_write (tenant, lineage, step, idx, digest, result)"
            " SELECT 'default', 'l', 's', n, '', '1' FROM generate_series(1, 500) AS n"
        )
    async with database.transaction("default") as tx:
        await tx.execute("DELETE FROM memory_write")

    async def counted() -> bool:
        return [one.name for one in await retention.vacuum(owner_database_url, least=400, dry_run=True)] == ["memory_write"]

    # The server counts dead rows a moment after the transaction.
    await servers.until(counted)
    assert [one.name for one in await retention.vacuum(owner_database_url, least=400)] == ["memory_write"]

    async def vacuumed() -> bool:
        return await retention.vacuum(owner_database_url, least=400, dry_run=True) == []

    await servers.until(vacuumed)
