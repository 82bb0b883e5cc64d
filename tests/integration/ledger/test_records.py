"""Records on a real Postgres."""

from collections.abc import Sequence

import asyncpg
import pytest

from database import Database
from ledger import records
from tests.integration.ledger.rows import LINEAGE


async def bodies(database: Database, tenant: str = "default") -> Sequence[dict[str, int]]:
    async with database.transaction(tenant) as tx:
        return [record["body"] for record in await records.of_run(tx, LINEAGE)]


async def test_the_same_id_is_recorded_once(database: Database) -> None:
    for n in (1, 2):
        async with database.transaction("default") as tx:
            await records.append(tx, "r1", "effect", LINEAGE, "s1", {"n": n})
    assert await bodies(database) == [{"n": 1}]


async def test_records_are_read_in_the_order_they_were_written(database: Database) -> None:
    async with database.transaction("default") as tx:
        for n in (3, 1, 2):
            await records.append(tx, f"r{n}", "effect", LINEAGE, None, {"n": n})
    assert await bodies(database) == [{"n": 3}, {"n": 1}, {"n": 2}]


@pytest.mark.parametrize("statement", ["UPDATE record SET body = '{}'", "DELETE FROM record", "TRUNCATE record"])
async def test_the_program_cannot_change_or_remove_a_record(database: Database, statement: str) -> None:
    async with database.transaction("default") as tx:
        await records.append(tx, "r1", "effect", LINEAGE, None, {"n": 1})
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction("default") as tx:
            await tx.execute(statement)
    assert await bodies(database) == [{"n": 1}]


@pytest.mark.parametrize(
    ("brought", "kept"),
    [
        ("a\0\0b", "a\ufffd\ufffdb"),
        ("\\\0", "\\\ufffd"),
        ("\\u0000", "\\u0000"),
        ("\ud83d!", "?!"),
        ("ü\u2028\U0001f600\x07", "ü\u2028\U0001f600\x07"),
    ],
)
async def test_what_tools_and_models_bring_in_is_kept_as_far_as_postgres_can(database: Database, brought: str, kept: str) -> None:
    async with database.transaction("default") as tx:
        await records.append(tx, "r1", "effect", LINEAGE, brought, {brought: [brought]})
        (record,) = await records.of_run(tx, LINEAGE)
    assert (record["step"], record["body"]) == (kept, {kept: [kept]})


async def test_a_record_rolls_back_with_what_it_tells_of(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction("default") as tx:
            await records.append(tx, "r1", "effect", LINEAGE, None, {"n": 1})
            raise ZeroDivisionError
    assert await bodies(database) == []


async def test_records_are_seen_by_their_tenant_only(database: Database) -> None:
    async with database.transaction("default") as tx:
        await records.append(tx, "r1", "effect", LINEAGE, None, {"n": 1})
    async with database.transaction("other") as tx:
        await records.append(tx, "r1", "effect", LINEAGE, None, {"n": 2})
    assert await bodies(database) == [{"n": 1}] and await bodies(database, "other") == [{"n": 2}]


async def test_nobody_writes_a_record_for_another_tenant(database: Database) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with database.transaction("default") as tx:
            await tx.execute(records.APPEND, "other", "r1", "effect", LINEAGE, None, {})
