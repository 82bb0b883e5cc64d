"""`postgres.query` on a real Postgres: it reads, and can do nothing else."""

import secrets
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlsplit

import pytest

from contracts.errors import ToolFailed, ToolRetry, TransientError
from tests import servers
from tests.servers import free_port
from tests.tool_calls import called, context
from tools.executors.python import offered

PASSWORD = "hunter2-of-the-reader"


class Base:
    """A database with a table, and a login that may read it."""

    def __init__(self, owner: str, login: str) -> None:
        self.owner = owner
        self.login = login
        parts = urlsplit(owner)
        self.url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    async def ask(self, sql: str, *parameters: Any, login: str = "", limit: float = 10, **options: Any) -> dict[str, Any]:
        known = context(
            options={**options, "seconds": limit},
            endpoints={"postgres": self.url},
            secrets={"POSTGRES_LOGIN": f"{login or self.login}:{PASSWORD}"},
        )
        return await called(offered("postgres.query"), {"sql": sql, "parameters": list(parameters)}, known)


@pytest.fixture
async def base(postgres_url: str) -> AsyncGenerator[Base]:
    name = f"reader_{secrets.token_hex(4)}"
    async with servers.scratch_database(postgres_url) as url:
        await servers.run(
            url,
            f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'",
            f"CREATE ROLE {name}_narrow",
            f"GRANT {name}_narrow TO {name}",
            "CREATE TABLE orders (id int PRIMARY KEY, customer text, amount numeric)",
            "INSERT INTO orders SELECT n, 'customer ' || n, n * 1.5 FROM generate_series(1, 1000) AS n",
            "CREATE TABLE hidden (id int)",
            f"GRANT SELECT, INSERT, DELETE ON orders TO {name}",
        )
        yield Base(url, name)
        await servers.run(url, f"DROP OWNED BY {name}", f"DROP ROLE {name}", f"DROP ROLE {name}_narrow")


async def count(base: Base) -> int:
    return (await base.ask("SELECT count(*) AS n FROM orders"))["rows"][0]["n"]


async def test_a_query_gives_rows(base: Base) -> None:
    found = await base.ask("SELECT id, customer, amount FROM orders WHERE id <= $1 ORDER BY id;  ", 2)
    assert found == {
        "rows": [{"id": 1, "customer": "customer 1", "amount": 1.5}, {"id": 2, "customer": "customer 2", "amount": 3.0}],
        "cut": False,
    }
    assert (await base.ask("WITH a AS (TABLE orders) SELECT max(id) FROM a -- the last"))["rows"] == [{"max": 1000}]
    assert (await base.ask("VALUES ($1::text, $2::bool, null)", "x", True))["rows"] == [{"column1": "x", "column2": True, "column3": None}]
    assert (await base.ask("SELECT 1 WHERE false"))["rows"] == []


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders", "DELETE FROM orders RETURNING id", "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone",
        "SELECT 1; DELETE FROM orders", "SELECT 1) AS x; DELETE FROM orders; SELECT (1", "SELECT 1) AS x LIMIT 1 --", "COMMIT", "ROLLBACK",
        "SET TRANSACTION READ WRITE", "RESET ROLE", "DO $$ BEGIN DELETE FROM orders; END $$", "COPY orders TO STDOUT",
        "COPY (SELECT 1) TO PROGRAM 'touch /tmp/perdure-was-here'", "EXPLAIN ANALYZE DELETE FROM orders", "CREATE TABLE x (id int)",
        "SELECT 1 /*", "SELECT set_config('transaction_read_only', 'off', false)", "SELECT * FROM hidden",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT * FROM nowhere", "SELEC 1", "", "SELECT $1::int", "SELECT nextval('x')", "SELECT 1/0", "LISTEN x", "LOCK TABLE orders",
    ],
)  # fmt: skip
async def test_what_is_not_one_reading_query_is_refused_and_changes_nothing(base: Base, sql: str) -> None:
    with pytest.raises(ToolRetry) as caught:
        await base.ask(sql)
    assert PASSWORD not in str(caught.value) and await count(base) == 1000


async def test_the_login_becomes_the_role_of_the_options(base: Base) -> None:
    with pytest.raises(ToolRetry, match="the login may not read that"):
        await base.ask("SELECT * FROM orders", role=f"{base.login}_narrow")
    assert (await base.ask("SELECT current_user AS who", role=f"{base.login}_narrow"))["rows"] == [{"who": f"{base.login}_narrow"}]


async def test_a_login_that_could_do_more_is_not_used(base: Base) -> None:
    with pytest.raises(ToolFailed, match="the login in the secret POSTGRES_LOGIN may do more than read"):
        await base.ask("SELECT 1", login=urlsplit(base.owner).username or "postgres")
    await servers.run(base.owner, f"GRANT pg_execute_server_program TO {base.login}_narrow")
    with pytest.raises(ToolFailed, match="may do more than read"):
        await base.ask("SELECT 1")
    await servers.run(base.owner, f"REVOKE pg_execute_server_program FROM {base.login}_narrow")


async def test_a_query_ends_in_time(base: Base) -> None:
    with pytest.raises(ToolRetry, match=r"the query took longer than 0\.3 s"):
        await base.ask("SELECT pg_sleep(30)", limit=0.3)
    with pytest.raises(ToolRetry, match="the query took longer"):
        await base.ask("SELECT set_config('statement_timeout', '0', false), pg_sleep(30)", limit=0.3)


async def test_rows_and_bytes_are_bounded(base: Base) -> None:
    found = await base.ask("SELECT id FROM orders ORDER BY id", rows=3)
    assert found == {"rows": [{"id": 1}, {"id": 2}, {"id": 3}], "cut": True}
    found = await base.ask("SELECT repeat('x', 400) AS x FROM orders", bytes=1000)
    assert len(found["rows"]) == 2 and found["cut"]
    with pytest.raises(ToolRetry, match="the first row has more than 1000 bytes"):
        await base.ask("SELECT repeat('x', 100000000) AS x", bytes=1000)


async def test_a_wrong_parameter_is_named(base: Base) -> None:
    with pytest.raises(ToolRetry, match=r"`parameters`: .*\$1"):
        await base.ask("SELECT $1::int", "x")


async def test_a_database_that_is_not_there_is_told(base: Base) -> None:
    tool, login = offered("postgres.query"), {"POSTGRES_LOGIN": "ann:hunter2"}
    for endpoint, raised, said in (
        (f"postgresql://127.0.0.1:{free_port()}/x", TransientError, "cannot be reached"),
        ("http://127.0.0.1/", ToolFailed, r"is of the form postgresql://"),
    ):
        with pytest.raises(raised, match=said) as caught:
            await called(tool, {"sql": "SELECT 1"}, context(endpoints={"postgres": endpoint}, secrets=login))
        assert "hunter2" not in str(caught.value)
    with pytest.raises(ToolFailed, match="no endpoint 'postgres' is configured"):
        await called(tool, {"sql": "SELECT 1"}, context(secrets=login))
