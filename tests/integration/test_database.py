"""The pool, the roles, the migrations, and what row-level security promises."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

import database as module
from contracts.errors import BadInput, PermanentError
from database import MIGRATION_LOCK, MIGRATIONS, Database, migrate
from tests import servers

ALL = sorted(path.name for path in MIGRATIONS.glob("*.sql"))
EMPTY = "SELECT count(*) FROM perdure_meta.migration"


@pytest.fixture
async def empty_url(postgres_url: str) -> AsyncGenerator[str]:
    """The owner's address of a database without our tables."""
    async with servers.scratch_database(postgres_url) as url:
        yield url


@pytest.fixture
async def owner(owner_database_url: str) -> AsyncGenerator[Any]:
    connection = await asyncpg.connect(owner_database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def app(database_url: str) -> AsyncGenerator[Any]:
    """A bare connection as perdure_app, with no tenant set."""
    connection = await asyncpg.connect(database_url, server_settings=module.SEARCH_PATH)
    yield connection
    await connection.close()


async def fetch(url: str, query: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


def numbered(folder: Path, **files: str) -> None:
    for name, sql in files.items():
        (folder / f"{name.removeprefix('_')}.sql").write_text(sql)


# Migrations


async def test_migrations_are_applied_in_order_and_once(empty_url: str) -> None:
    assert await migrate(empty_url) == ALL
    assert await migrate(empty_url) == []
    assert await fetch(empty_url, "SELECT name FROM perdure_meta.migration ORDER BY applied_at, name") == [(name,) for name in ALL]


async def test_a_new_file_is_applied_after_the_old_ones(empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIGRATIONS", tmp_path)
    numbered(tmp_path, _0002_second="ALTER TABLE a ADD COLUMN y int", _0001_first="CREATE TABLE a (x int)")
    assert await migrate(empty_url) == ["0001_first.sql", "0002_second.sql"]
    numbered(tmp_path, _0003_third="ALTER TABLE a ADD COLUMN z int")
    assert await migrate(empty_url) == ["0003_third.sql"]


async def test_a_migration_that_fails_leaves_nothing_of_itself(empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIGRATIONS", tmp_path)
    numbered(tmp_path, _0001_good="CREATE TABLE a (x int)", _0002_bad="CREATE TABLE b (x int); SELECT 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty_url)
    assert await fetch(empty_url, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'perdure'") == [("a",)]
    numbered(tmp_path, _0002_bad="CREATE TABLE b (x int)")
    assert await migrate(empty_url) == ["0002_bad.sql"]


async def test_many_who_migrate_at_once_apply_each_file_once(empty_url: str) -> None:
    applied = await asyncio.gather(*(migrate(empty_url) for _ in range(5)))
    assert sorted(name for names in applied for name in names) == ALL


async def test_who_migrates_waits_for_who_is_at_it(empty_url: str) -> None:
    holder = await asyncpg.connect(empty_url)
    await holder.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
    waiting = asyncio.create_task(migrate(empty_url))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await holder.close()
    assert await waiting == ALL


async def test_databases_of_one_server_can_be_migrated_at_once(postgres_url: str) -> None:
    async with servers.scratch_database(postgres_url) as one, servers.scratch_database(postgres_url) as two:
        assert await asyncio.gather(migrate(one), migrate(two)) == [ALL, ALL]


async def test_a_member_of_the_owner_can_migrate_where_the_house_stands(
    owner_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await servers.run(owner_database_url, "CREATE ROLE perdure_test_member LOGIN PASSWORD 'member' IN ROLE perdure_owner")
    try:
        address = urlsplit(owner_database_url)
        member = address._replace(netloc=f"perdure_test_member:member@{address.netloc.rpartition('@')[2]}").geturl()
        assert await migrate(member) == []
        for path in MIGRATIONS.glob("*.sql"):
            (tmp_path / path.name).write_text(path.read_text())
        numbered(tmp_path, _9000_later="CREATE TABLE later (tenant text)")
        monkeypatch.setattr(module, "MIGRATIONS", tmp_path)
        assert await migrate(member) == ["9000_later.sql"]
        assert await fetch(owner_database_url, "SELECT tableowner::text FROM pg_tables WHERE tablename = 'later'") == [("perdure_owner",)]
    finally:
        await servers.run(owner_database_url, "DROP ROLE perdure_test_member")


# Row-level security


async def test_every_table_has_a_tenant_and_forced_row_level_security(owner: Any) -> None:
    tables = await owner.fetch(
        """SELECT relname, relrowsecurity AND relforcerowsecurity AS forced,
               EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'tenant' AND attnotnull) AS tenanted
           FROM pg_class c WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'perdure'::regnamespace"""
    )
    assert len(tables) > 10
    assert [row["relname"] for row in tables if not (row["forced"] and row["tenanted"])] == []


async def test_a_partition_is_reached_through_its_table_alone(owner: Any) -> None:
    partitions = await owner.fetch(
        """SELECT relname, has_table_privilege('perdure_app', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE') AS open
           FROM pg_class WHERE relispartition AND relkind = 'r' AND relnamespace = 'perdure'::regnamespace"""
    )
    assert len(partitions) > 10
    # The policy of its table would not guard it.
    assert [row["relname"] for row in partitions if row["open"]] == []


async def test_every_table_belongs_to_the_owner_and_not_to_a_superuser(owner: Any) -> None:
    owners = await owner.fetch("SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname IN ('perdure', 'perdure_meta')")
    assert [row["tableowner"] for row in owners] == ["perdure_owner"]


async def test_the_program_has_no_right_above_its_tables(owner: Any) -> None:
    roles = await owner.fetchrow("SELECT * FROM pg_roles WHERE rolname = 'perdure_app'")
    assert not (roles["rolsuper"] or roles["rolbypassrls"] or roles["rolcreaterole"] or roles["rolcreatedb"])
    assert not await owner.fetchval("SELECT pg_has_role('perdure_app', 'perdure_owner', 'MEMBER')")
    assert not await owner.fetchval("SELECT has_schema_privilege('perdure_app', 'perdure', 'CREATE')")


async def test_a_superusers_login_works_as_the_program_too(owner_database_url: str) -> None:
    database = await Database.connect(owner_database_url, size=2)
    try:
        async with database.transaction("default") as tx:
            assert await tx.value("SELECT current_user::text") == "perdure_app"
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await tx.execute("DELETE FROM record")
    finally:
        await database.close()


async def test_a_program_that_would_pass_by_row_level_security_does_not_start(owner_database_url: str, database_url: str) -> None:
    await servers.run(owner_database_url, "ALTER ROLE perdure_app BYPASSRLS")
    try:
        with pytest.raises(PermanentError, match="NOBYPASSRLS"):
            await Database.connect(database_url)
    finally:
        await servers.run(owner_database_url, "ALTER ROLE perdure_app NOBYPASSRLS")


@pytest.mark.parametrize("statement", ["UPDATE record SET body = '{}'", "DELETE FROM record", "TRUNCATE record"])
async def test_the_program_can_only_add_to_the_ledger(database: Database, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction("default") as tx:
            await tx.execute("INSERT INTO record (tenant, id, kind, body) VALUES ('default', '1', 'access', '{}')")
            await tx.execute(statement)


@pytest.mark.parametrize(
    "statement", ["DELETE FROM bundle", "UPDATE bundle SET body = '{}'", "DELETE FROM turn", "UPDATE turn SET body = ''"]
)
async def test_the_program_can_only_add_bundles_and_turns(database: Database, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction("default") as tx:
            await tx.execute(statement)


async def test_without_a_tenant_nothing_can_be_read(database: Database, app: Any) -> None:
    async with database.transaction("default") as tx:
        await tx.execute("INSERT INTO budget (tenant, scope, limit_micros) VALUES ('default', 'tenant', 1)")
    with pytest.raises(asyncpg.UndefinedObjectError, match=r"app\.tenant"):
        await app.fetch("SELECT * FROM budget")
    # Once it was set in a session, Postgres gives an empty text after the transaction instead of an error.
    async with app.transaction():
        await app.execute("SELECT set_config('app.tenant', 'default', true)")
        assert len(await app.fetch("SELECT * FROM budget")) == 1
    assert await app.fetch("SELECT * FROM budget") == []
    with pytest.raises(asyncpg.CheckViolationError):
        await app.execute("INSERT INTO budget (tenant, scope, limit_micros) VALUES ('', 'tenant', 1)")


async def test_another_tenants_rows_do_not_exist(database: Database) -> None:
    async with database.transaction("acme") as tx:
        await tx.execute("INSERT INTO budget (tenant, scope, limit_micros) VALUES ('acme', 'tenant', 1)")
    async with database.transaction("default") as tx:
        assert await tx.fetch("SELECT * FROM budget") == []
        assert await tx.execute("UPDATE budget SET limit_micros = 2") == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction("default") as tx:
            await tx.execute("INSERT INTO budget (tenant, scope, limit_micros) VALUES ('acme', 'run', 1)")


async def test_only_the_names_of_other_tenants_are_known(database: Database) -> None:
    async with database.transaction("acme") as tx:
        await tx.execute("INSERT INTO tenant (tenant) VALUES ('acme')")
    async with database.transaction("default") as tx:
        assert {row["tenant"] for row in await tx.fetch("SELECT tenant FROM tenant")} == {"acme", "default"}
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction("default") as tx:
            await tx.execute("INSERT INTO tenant (tenant) VALUES ('other')")


@pytest.mark.parametrize("name", ["", "Default", "a b", "-a", "a'; DROP TABLE run; --", "a\n", "ä", "a" * 64])
async def test_a_tenant_that_is_no_name_is_refused_before_anything_is_asked(database: Database, name: str) -> None:
    with pytest.raises(BadInput, match="is not a name"):
        async with database.transaction(name):
            pytest.fail("it was let in")


# Transactions


async def test_an_error_undoes_the_whole_transaction(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction("default") as tx:
            await tx.execute("INSERT INTO budget (tenant, scope, limit_micros) VALUES ('default', 'tenant', 1)")
            raise ZeroDivisionError
    async with database.transaction("default") as tx:
        assert await tx.fetch("SELECT * FROM budget") == []


async def test_a_cancelled_transaction_leaves_nothing_behind(database_url: str) -> None:
    database = await Database.connect(database_url, size=1)

    async def work() -> None:
        async with database.transaction("default") as tx:
            await tx.execute("INSERT INTO budget (tenant, scope, limit_micros) VALUES ('default', 'tenant', 1)")
            await tx.execute("SELECT pg_sleep(60)")

    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await work()
        async with database.transaction("acme") as tx:
            assert await tx.value("SELECT current_setting('app.tenant')") == "acme"
        async with database.transaction("default") as tx:
            assert await tx.fetch("SELECT * FROM budget") == []
    finally:
        await database.close()


async def test_a_connection_that_died_does_not_hide_the_error_and_is_replaced(database: Database) -> None:
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError)):
        async with database.transaction("default") as tx:
            await tx.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
    await database.check()


async def test_a_statement_says_how_many_rows_it_touched(database: Database) -> None:
    async with database.transaction("default") as tx:
        rows = [("default", str(number), number) for number in range(3)]
        await tx.many("INSERT INTO budget (tenant, scope, limit_micros) VALUES ($1, $2, $3)", rows)
        assert await tx.execute("UPDATE budget SET spent = 1 WHERE limit_micros > 0") == 2
        assert await tx.execute("SET LOCAL work_mem = '4MB'") == 0
        assert await tx.row("SELECT * FROM budget WHERE scope = 'none'") is None


async def test_json_comes_back_as_it_went_in(database: Database) -> None:
    value = {"title": "Größe \u2028", "n": [1, 2.5, None, True], "nested": {"a": []}}
    async with database.transaction("default") as tx:
        assert await tx.value("SELECT $1::jsonb", value) == value


async def test_a_transaction_of_one_statement_sees_its_tenant_only_and_takes_no_second(database: Database) -> None:
    async with database.transaction("other") as tx:
        await tx.execute("INSERT INTO tenant (tenant) VALUES ('other')")
    for tenant in ("default", "other", "default"):
        async with database.once(tenant) as tx:
            await tx.execute("INSERT INTO budget (tenant, scope, limit_micros) VALUES ($1, $2, 1)", tenant, secrets.token_hex(4))
            with pytest.raises(AssertionError, match="a second one"):
                await tx.value("SELECT 1")
    for tenant, count in (("default", 2), ("other", 1), ("third", 0)):
        async with database.once(tenant) as tx:
            assert await tx.value("SELECT count(*) FROM budget") == count
    async with database.once("other") as tx:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await tx.execute("INSERT INTO budget (tenant, scope, limit_micros) VALUES ('default', 'x', 1)")
    with pytest.raises(BadInput, match="is not a name"):
        async with database.once("x'; DROP TABLE run; --"):
            pass


async def test_a_second_transaction_is_given_only_where_a_connection_is_free(database_url: str) -> None:
    database = await Database.connect(database_url, size=2)
    try:
        async with database.transaction("default") as tx, database.beside("default") as beside, database.beside("default") as third:
            assert beside and third is None
            assert [await one.value("SELECT current_setting('app.tenant')") for one in (tx, beside)] == ["default", "default"]
        async with database.beside("default") as again:
            assert again
    finally:
        await database.close()


async def test_a_second_transaction_that_cannot_be_had_or_dies_costs_the_first_one_nothing(
    database_url: str, owner_database_url: str
) -> None:
    database, owner = await Database.connect(database_url, size=2), await asyncpg.connect(owner_database_url)
    name = await owner.fetchval("SELECT quote_ident(current_database())")
    try:
        async with database.transaction("default") as tx:
            await owner.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
            async with database.beside("default") as beside:
                assert beside is None
            await owner.execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1")
            async with database.beside("default") as beside:
                assert beside
                await owner.execute("SELECT pg_terminate_backend($1, 10000)", await beside.value("SELECT pg_backend_pid()"))
            with pytest.raises(ValueError, match="mine"):
                async with database.beside("default"):
                    raise ValueError("mine")
            assert await tx.value("SELECT current_setting('app.tenant')") == "default"
    finally:
        await owner.close()
        await database.close()
