"""The pool, the migrations, and Tx: an open transaction whose tenant is set."""

import json
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Self

import asyncpg

from contracts.errors import BadInput, PermanentError

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
SEARCH_PATH = {"search_path": "perdure,public"}
Isolation = Literal["READ COMMITTED", "REPEATABLE READ"]

# Roles are made here and not in a numbered file, because each database of a server shares them.
ROLES = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'perdure_owner') THEN CREATE ROLE perdure_owner NOLOGIN; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'perdure_app') THEN CREATE ROLE perdure_app LOGIN; END IF;
EXCEPTION WHEN unique_violation OR duplicate_object THEN NULL; END $$;
"""
HOUSE = """
CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;
CREATE SCHEMA IF NOT EXISTS perdure AUTHORIZATION perdure_owner;
CREATE SCHEMA IF NOT EXISTS perdure_meta AUTHORIZATION perdure_owner;
CREATE TABLE IF NOT EXISTS perdure_meta.migration (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());
ALTER TABLE perdure_meta.migration OWNER TO perdure_owner;
GRANT USAGE ON SCHEMA perdure, perdure_meta TO perdure_app;
GRANT SELECT ON perdure_meta.migration TO perdure_app;
GRANT perdure_owner TO CURRENT_USER;
GRANT perdure_app TO CURRENT_USER;
"""
NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
# A login that may not make roles can do the rest where somebody has laid the house.
LAID = """
SELECT to_regclass('perdure_meta.migration') IS NOT NULL
   AND EXISTS (SELECT FROM pg_roles WHERE rolname = 'perdure_owner' AND pg_has_role(oid, 'MEMBER'))
   AND NOT (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user)
"""
LOST = (asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.PostgresError, OSError)
"""What a statement raises whose connection has died, or was not let in, among others: asyncpg names no error of its own for it."""
MIGRATION_LOCK = 0x70657264757265  # "perdure": one advisory lock for all who migrate this database


class Tx:
    """An open transaction of one tenant. Only `Database` makes one. once: it is over with its first statement."""

    __slots__ = ("_connection", "_once", "_over", "tenant")

    def __init__(self, connection: Any, tenant: str, *, once: bool = False) -> None:
        self._connection = connection
        self._once, self._over = once, False
        self.tenant = tenant

    @property
    def _open(self) -> Any:
        if self._over:
            raise AssertionError("a transaction of one statement was given a second one")
        self._over = self._once
        return self._connection

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Return all rows."""
        return await self._open.fetch(query, *arguments)

    async def row(self, query: str, *arguments: object) -> asyncpg.Record | None:
        """Return the first row, or None."""
        return await self._open.fetchrow(query, *arguments)

    async def value(self, query: str, *arguments: object) -> Any:
        """Return the first column of the first row, or None."""
        return await self._open.fetchval(query, *arguments)

    async def execute(self, query: str, *arguments: object) -> int:
        """Run a statement and return how many rows it touched."""
        status: str = await self._open.execute(query, *arguments)
        count = status.rsplit(" ", 1)[-1]
        return int(count) if count.isdigit() else 0

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """Keep all that the block writes, or on an error none of it: the transaction around it goes on. Blocks do not nest."""
        await self.execute("SAVEPOINT kept")
        try:
            yield
        except BaseException:
            # A connection that died must not hide the error that matters.
            with suppress(*LOST):
                await self.execute("ROLLBACK TO SAVEPOINT kept")
            raise
        await self.execute("RELEASE SAVEPOINT kept")

    async def many(self, query: str, rows: Sequence[Sequence[object]]) -> None:
        """Run a statement once for each row of arguments, in one round trip."""
        await self._open.executemany(query, rows)


class Database:
    """A pool of connections that work as `perdure_app`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @classmethod
    async def connect(cls, url: str, *, size: int = 20) -> Self:
        """Open the pool. Raises PermanentError where the login could pass by row-level security."""
        pool = await asyncpg.create_pool(
            url, min_size=1, max_size=size, init=_work_as_app, connection_class=_Connection, server_settings=SEARCH_PATH
        )
        return cls(pool)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    @asynccontextmanager
    async def transaction(self, tenant: str, *, isolation: Isolation = "READ COMMITTED") -> AsyncGenerator[Tx, None]:
        """Open a transaction in which only the rows of ``tenant`` exist; commit at the end, roll back on any error."""
        async with self._begun(tenant, isolation) as connection:
            try:
                yield Tx(connection, tenant)
            except BaseException:
                # A connection that died has nothing to roll back, and must not hide the error that matters. It cannot be
                # asked: the pool has taken it back already.
                with suppress(*LOST):
                    await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")

    @asynccontextmanager
    async def beside(self, tenant: str) -> AsyncGenerator[Tx | None, None]:
        """Open a second transaction, for reads beside those of a first one, or None where no connection is free.

        Nobody who holds one waits for another here: two who did might wait for each other. None, too, where the server takes no more.
        """
        async with AsyncExitStack() as stack:
            tx: Tx | None = None
            if self._pool.get_idle_size() or self._pool.get_size() < self._pool.get_max_size():
                with suppress(*LOST):
                    tx = await stack.enter_async_context(self._lent(tenant))
            yield tx

    @asynccontextmanager
    async def _lent(self, tenant: str) -> AsyncGenerator[Tx, None]:
        # Waited for only where all died at this moment, and others wait too.
        async with self._begun(tenant, patience=1.0) as connection:
            try:
                yield Tx(connection, tenant)
            finally:
                # It has only read: where its connection died meanwhile, nothing is lost with it.
                with suppress(*LOST):
                    await connection.execute("ROLLBACK")

    @asynccontextmanager
    async def _begun(
        self, tenant: str, isolation: Isolation = "READ COMMITTED", patience: float | None = None
    ) -> AsyncGenerator[Any, None]:
        _require_name(tenant)
        async with self._pool.acquire(timeout=patience) as connection:
            # One round trip for both; the pattern above leaves nothing in a tenant's name that could end the literal.
            await connection.execute(f"BEGIN ISOLATION LEVEL {isolation}; SELECT set_config('app.tenant', '{tenant}', true)")
            yield connection

    @asynccontextmanager
    async def once(self, tenant: str) -> AsyncGenerator[Tx, None]:
        """Open a transaction of exactly one statement, which needs no BEGIN and no COMMIT: one round trip instead of three."""
        _require_name(tenant)
        async with self._pool.acquire() as connection:
            await connection.serve(tenant)  # pyright: ignore[reportAttributeAccessIssue]
            yield Tx(connection, tenant, once=True)

    async def check(self) -> None:
        """Raise where the database does not answer."""
        await self._pool.fetchval("SELECT 1")


class _Connection(asyncpg.Connection):
    _serves = ""

    def get_reset_query(self) -> str:
        # Every use sets its tenant before anything else, so there is nothing to reset: one round trip less for each.
        return ""

    async def serve(self, tenant: str) -> None:
        """Let only the rows of ``tenant`` exist for statements outside of a transaction."""
        if self._serves != tenant:
            # Forgotten first: a cancel in the middle leaves nobody sure whom the connection serves.
            self._serves = ""
            await self.execute(f"SELECT set_config('app.tenant', '{tenant}', false)")
            self._serves = tenant


def _require_name(tenant: str) -> None:
    # A name leaves nothing that could end the literal in which it is sent.
    if not TENANT.fullmatch(tenant):
        raise BadInput(f"tenant {tenant!r} is not a name: 1 to 63 of a-z, 0-9, - and _, starting with a letter or digit")


async def _work_as_app(connection: Any) -> None:
    await connection.set_type_codec("jsonb", encoder=_dump, decoder=json.loads, schema="pg_catalog", format="text")
    await connection.set_type_codec("text", encoder=kept, decoder=str, schema="pg_catalog", format="text")
    if await connection.fetchval("SELECT current_user") != "perdure_app":
        await connection.execute("SET ROLE perdure_app")
    if await connection.fetchval("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"):
        raise PermanentError("perdure_app may pass by row-level security: ALTER ROLE perdure_app NOSUPERUSER NOBYPASSRLS")


def _dump(value: object) -> str:
    return kept(NUL.sub(r"\1\\ufffd", json.dumps(value, separators=(",", ":"), ensure_ascii=False)))


def kept(text: str) -> str:
    """Return a text as Postgres can keep it: what tools and models bring in may hold NULs and halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


async def migrate(owner_url: str) -> list[str]:
    """Apply the numbered files that are missing, in order, each in a transaction, under one lock; return their names.

    owner_url: a login that may create roles, or that is a member of `perdure_owner` where one that may has migrated this database before.
    """
    connection = await asyncpg.connect(owner_url, server_settings=SEARCH_PATH)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
        if not await connection.fetchval(LAID):
            await connection.execute(ROLES)
            await connection.execute(HOUSE)
        await connection.execute("SET ROLE perdure_owner")
        applied = {row["name"] for row in await connection.fetch("SELECT name FROM perdure_meta.migration")}
        missing = [path for path in sorted(MIGRATIONS.glob("[0-9][0-9][0-9][0-9]_*.sql")) if path.name not in applied]
        for path in missing:
            async with connection.transaction():
                await connection.execute(path.read_text())
                await connection.execute("INSERT INTO perdure_meta.migration (name) VALUES ($1)", path.name)
        return [path.name for path in missing]
    finally:
        await connection.close()
