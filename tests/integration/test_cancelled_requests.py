"""A request that is cancelled while its reply is on the way gives its connection back, clean and serving whom it says."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest

from database import Database, Tx

ROW = "INSERT INTO budget (tenant, scope, limit_micros) VALUES ($1, 'tenant', 1)"
SCOPES = "SELECT tenant FROM budget"
# Only its own: other tests share the server.
STATES = """
SELECT state FROM pg_stat_activity
 WHERE datname = current_database() AND usename = 'perdure_app' AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


@dataclass
class Wire:
    """What lies between the pool and Postgres. ``flows`` lets replies through; ``kept`` tells that one is kept back."""

    url: str = ""
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    kept: asyncio.Event = field(default_factory=asyncio.Event)

    def keep(self) -> None:
        """Keep replies back from now on."""
        self.kept.clear()
        self.flows.clear()

    async def reply(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand replies on."""
        while data := await reader.read(65536):
            if not self.flows.is_set():
                self.kept.set()
                await self.flows.wait()
            writer.write(data)


@pytest.fixture
async def wire(database_url: str) -> AsyncGenerator[Wire]:
    """A wire to the test's database, whose replies can be kept back."""
    address = urlsplit(database_url)
    socket = parse_qs(address.query).get("host", [""])[0]
    made = Wire()
    made.flows.set()
    open: list[asyncio.Task[None]] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if socket.startswith("/"):
            upper = await asyncio.open_unix_connection(f"{socket}/.s.PGSQL.{address.port or 5432}")
        else:
            upper = await asyncio.open_connection(address.hostname, address.port or 5432)
        hands = [asyncio.create_task(_asked(reader, upper[1])), asyncio.create_task(made.reply(upper[0], writer))]
        open.extend(hands)
        try:
            # Where one end hangs up, so does the other: who cancels a request waits for that.
            await asyncio.wait(hands, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for hand in hands:
                hand.cancel()
            await asyncio.gather(*hands, return_exceptions=True)
            for each in (writer, upper[1]):
                each.close()
                with suppress(OSError):
                    await each.wait_closed()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        who = address.netloc.rpartition("@")[0]
        made.url = f"postgresql://{who}@127.0.0.1:{port}{address.path}?sslmode=disable"
        yield made
        made.flows.set()
        for hand in open:
            hand.cancel()


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)


@asynccontextmanager
async def pool(wire: Wire) -> AsyncGenerator[Database]:
    """A pool of one connection that has served `default`, and the rows of two tenants."""
    database = await Database.connect(wire.url, size=1)
    try:
        for tenant in ("other", "default"):
            async with database.transaction(tenant) as tx:
                await tx.execute(ROW, tenant)
        async with database.once("default") as tx:
            assert await seen(tx) == ["default"]
        yield database
    finally:
        wire.flows.set()
        await database.close()


async def seen(tx: Tx) -> list[str]:
    return [row["tenant"] for row in await tx.fetch(SCOPES)]


async def cut(wire: Wire, work: Callable[[], Awaitable[object]]) -> None:
    """Cancel some work when Postgres has done what it was asked first, and the answer is on its way."""
    wire.keep()
    task = asyncio.ensure_future(work())
    await wire.kept.wait()
    task.cancel()
    # The cancel is heard before the answer is.
    await asyncio.sleep(0)
    wire.flows.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_request_that_is_cancelled_while_its_tenant_is_set_leaves_nobody_anothers_rows(wire: Wire) -> None:
    async with pool(wire) as database:

        async def other() -> None:
            async with database.once("other") as tx:
                await seen(tx)

        await cut(wire, other)
        for tenant in ("default", "other", "default"):
            async with asyncio.timeout(30), database.once(tenant) as tx:
                assert await seen(tx) == [tenant]


@pytest.mark.parametrize("tenant", ["default", "other"])
async def test_a_transaction_that_is_cancelled_while_it_begins_gives_its_connection_back_with_none_open(
    wire: Wire, database: Database, tenant: str
) -> None:
    async with pool(wire) as own:

        async def work() -> None:
            async with own.transaction(tenant):
                pytest.fail("it was let in")

        await cut(wire, work)
        async with asyncio.timeout(30), own.once("default") as tx:
            assert await seen(tx) == ["default"]
        async with own.transaction("other") as tx:
            assert await seen(tx) == ["other"]
        async with database.transaction("default") as tx:
            assert {row["state"] for row in await tx.fetch(STATES)} == {"idle"}


async def test_a_statement_that_is_cancelled_leaves_no_transaction_and_its_connection_is_given_back(wire: Wire, database: Database) -> None:
    async with pool(wire) as own:
        begun = asyncio.Event()

        async def work() -> None:
            async with own.transaction("default") as tx:
                await tx.execute("UPDATE budget SET spent = 7")
                begun.set()
                await tx.fetch("SELECT pg_sleep(60)")

        task = asyncio.ensure_future(work())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(30), own.transaction("default") as tx:
            assert await tx.value("SELECT spent FROM budget") == 0
        async with database.transaction("default") as tx:
            assert {row["state"] for row in await tx.fetch(STATES)} == {"idle"}


async def test_whoever_is_cancelled_while_it_waits_for_a_connection_takes_none_along(wire: Wire) -> None:
    async with pool(wire) as database:
        held, leave = asyncio.Event(), asyncio.Event()

        async def holds() -> None:
            async with database.transaction("default"):
                held.set()
                await leave.wait()

        async def waits() -> None:
            async with database.once("default"):
                pytest.fail("there was none to have")

        holder = asyncio.ensure_future(holds())
        await held.wait()
        waiting = [asyncio.ensure_future(waits()) for _ in range(3)]
        await asyncio.sleep(0.05)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        leave.set()
        await holder
        async with asyncio.timeout(30), database.once("other") as tx:
            assert await seen(tx) == ["other"]
