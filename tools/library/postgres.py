"""`postgres.query`: one reading query on a database of the installation, as a login that can do no more."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

import asyncpg
from pydantic import BaseModel, Field

from contracts.errors import ToolFailed, ToolRetry, TransientError
from tools.calls import Incapable
from tools.contract import ToolContext, tool
from tools.library.options import Options, options
from tools.replies import one_line

LOGIN = "POSTGRES_LOGIN"
# A read-only transaction stops neither programs nor files of the server, nor a function that opens a connection of its own: who may
# do such things is not let in at all.
HARMLESS = """
SELECT rolsuper OR rolreplication OR rolbypassrls
    OR EXISTS (SELECT FROM pg_roles AS strong WHERE pg_has_role(login.oid, strong.oid, 'MEMBER') AND (strong.rolsuper OR strong.rolname IN
       ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files', 'pg_signal_backend', 'pg_write_all_data',
        'pg_maintain', 'pg_create_subscription', 'pg_checkpoint')))
  FROM pg_roles AS login WHERE rolname = session_user
"""
AS_ROLE = "SELECT set_config('role', $1, true)"
READ_NOW = "SELECT txid_current_if_assigned()"


class QueryOptions(Options):
    """endpoint: the endpoint that says where the database is. role: what the login becomes for the query."""

    endpoint: str = "postgres"
    role: str | None = None
    seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    rows: Annotated[int, Field(ge=1, le=10_000)] = 500
    bytes: Annotated[int, Field(ge=1_000, le=5_000_000)] = 200_000


class Query(BaseModel):
    sql: Annotated[str, Field(max_length=20_000)] = Field(description="one SELECT, WITH, VALUES or TABLE; values as $1, $2, …")
    parameters: list[str | int | float | bool | None] = []


class Rows(BaseModel):
    rows: list[dict[str, Any]]
    cut: bool
    """There were more rows than are shown."""


@tool("postgres.query", effect="read", guarantee="pure", seconds=60, secrets=(LOGIN,))
async def query(arguments: Query, context: ToolContext) -> Rows:
    """Ask a Postgres database one question in SQL. It can only read."""
    chosen = options(QueryOptions, "postgres.query", context)
    connection = await _connected(chosen, context)
    try:
        if await connection.fetchval(HARMLESS):
            raise ToolFailed(
                f"the login in the secret {LOGIN} may do more than read: give it no superuser, no BYPASSRLS and no role of the server"
            )
        async with connection.transaction(readonly=True):
            if chosen.role:
                await connection.execute(AS_ROLE, chosen.role)
            # After a first query the transaction cannot be made to write any more.
            await connection.fetchval(READ_NOW)
            return await _asked(connection, arguments, chosen)
    except asyncpg.PostgresError as error:
        raise _meant(error, chosen) from None
    except (asyncpg.InterfaceError, OSError) as error:
        raise TransientError(f"the database broke off ({type(error).__name__})") from None
    finally:
        connection.terminate()


async def _asked(connection: Any, arguments: Query, chosen: QueryOptions) -> Rows:
    sql = arguments.sql.strip().removesuffix(";")
    try:
        # By itself first: it is one whole statement, so its parentheses cannot end those around it.
        await connection.prepare(sql)
        wrapped = await connection.prepare(
            # As text of bounded length, row by row: neither many rows nor one huge value comes in.
            f"SELECT left(row_to_json(asked)::text, {chosen.bytes + 1}) FROM (\n{sql}\n) AS asked LIMIT {chosen.rows + 1}"  # noqa: S608
        )
        if (wanted := len(wrapped.get_parameters())) != len(arguments.parameters):
            raise ToolRetry(f"`parameters`: the query takes {wanted} of them, not {len(arguments.parameters)}")
        found, size = list[dict[str, Any]](), 0
        async for (text,) in wrapped.cursor(*arguments.parameters, prefetch=10):
            size += len(text.encode())
            if size > chosen.bytes or len(found) == chosen.rows:
                if not found:
                    raise ToolRetry(f"the first row has more than {chosen.bytes} bytes: ask for fewer columns")
                return Rows(rows=found, cut=True)
            found.append(json.loads(text))
    except asyncpg.DataError as error:
        raise ToolRetry(f"`parameters`: {one_line(str(error), 300)}") from None
    return Rows(rows=found, cut=False)


async def _connected(chosen: QueryOptions, context: ToolContext) -> Any:
    if not (given := context.endpoints.get(chosen.endpoint)):
        known = ", ".join(sorted(context.endpoints)) or "none"
        raise Incapable(f"no endpoint {chosen.endpoint!r} is configured on this worker; there are: {known}")
    user, colon, password = context.secrets[LOGIN].partition(":")
    if not colon or urlsplit(given).scheme not in ("postgresql", "postgres"):
        raise Incapable(
            f"the endpoint {chosen.endpoint!r} is of the form postgresql://host:port/database, the secret {LOGIN} user:password"
        )
    left = (context.deadline - datetime.now(UTC)).total_seconds()
    limit = f"{int(max(100, min(chosen.seconds, left) * 1000))}ms"
    settings = {
        "default_transaction_read_only": "on", "statement_timeout": limit, "lock_timeout": limit,
        "idle_in_transaction_session_timeout": limit, "application_name": "perdure",
    }  # fmt: skip
    try:
        return await asyncpg.connect(
            given, user=user, password=password, timeout=max(0.1, min(10.0, left)), server_settings=settings, statement_cache_size=0
        )
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidPasswordError):
        raise ToolFailed(f"the database refused the login in the secret {LOGIN}") from None
    except asyncpg.InvalidCatalogNameError:
        raise ToolFailed(f"the database of the endpoint {chosen.endpoint!r} does not exist") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        raise TransientError(f"the database of the endpoint {chosen.endpoint!r} cannot be reached ({type(error).__name__})") from None


def _meant(error: asyncpg.PostgresError, chosen: QueryOptions) -> Exception:
    code = error.sqlstate or ""
    if code == "57014":
        return ToolRetry(f"the query took longer than {chosen.seconds:g} s: ask for less")
    if code in ("25001", "25006"):
        return ToolRetry("`sql`: it would change something, and only reading is allowed")
    if code == "42501":
        return ToolRetry(f"`sql`: the login may not read that ({one_line(str(error), 200)})")
    if code.startswith(("08", "53", "57", "40", "55")):
        return TransientError(f"the database cannot answer now ({type(error).__name__})")
    if code.startswith(("42", "22", "0A")):
        return ToolRetry(f"`sql`: {one_line(str(error), 300)}")
    return ToolFailed(f"the database refused ({type(error).__name__}: {one_line(str(error), 200)})")
