"""What the console's pages work with, made once when it starts."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from temporalio.client import Client

from channels.console import cookies
from channels.console.banner import Banner
from channels.console.cookies import Cookies
from channels.console.limits import Limit, Seats
from channels.console.templates import Templates
from channels.desk import Desk
from channels.events import Publisher
from channels.operating import Connect
from channels.refusals import Refusals
from channels.waking import Waking
from database import Database
from policies.bundles import Bundles
from settings import Settings
from tools.registry import Registry


@dataclass(eq=False)
class House:
    """The console's clients, and what it remembers while it runs. connect: raises StackError where Temporal is down."""

    settings: Settings
    database: Database
    bundles: Bundles
    registry: Registry
    publisher: Publisher
    cookies: Cookies
    connect: Connect
    desk: Desk = field(init=False)
    _waking: Waking = field(init=False)
    refusals: Refusals = field(init=False)
    templates: Templates = field(default_factory=Templates)
    login_limit: Limit = field(default_factory=lambda: Limit(tries=10, per_minute=10))
    token_limit: Limit = field(default_factory=lambda: Limit(tries=20, per_minute=10))
    streams: Seats = field(default_factory=lambda: Seats(20))
    """Live pages that one person may have open."""
    banner: Banner = field(default_factory=Banner)
    _running: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    def __post_init__(self) -> None:
        settings = self.settings
        self._waking = Waking(self.database, self.connect)
        self.desk = Desk(self.database, self._waking, one_machine=settings.one_machine, secret=settings.secret)
        self.refusals = Refusals(self.database, "web")

    @property
    def address(self) -> str:
        """What people type to reach it."""
        return self.settings.console_address

    @property
    def origins(self) -> tuple[str, ...]:
        """What browsers name as the origin of our own pages."""
        port = self.settings.console_port
        local = (f"http://127.0.0.1:{port}", f"http://localhost:{port}") if self.settings.console_url is None else ()
        return (self.address, *local)

    async def wake(self, tenant: str) -> None:
        """Deliver what waits in the outbox, soon: an answer does not wait for Temporal."""
        self.soon(self._waking(tenant))

    def soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the answer; at the end of the console it is waited for."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def settled(self) -> None:
        """Wait for what is done beside answers."""
        await self.desk.close()
        while self._running:
            await asyncio.wait(self._running, timeout=10)


@asynccontextmanager
async def opened(settings: Settings, database: Database, watch: Database, connect: Connect) -> AsyncGenerator[House]:
    """Open a console's house; ``watch`` is a pool of one connection for live pages. Raises: BadInput without a key for cookies."""
    secure = (settings.console_url or "").startswith("https://")
    made = House(
        settings=settings, database=database, bundles=Bundles(database), registry=Registry(settings.automations),
        publisher=Publisher(watch), cookies=Cookies(cookies.key(settings), secure=secure), connect=connect,
    )  # fmt: skip
    reading = asyncio.create_task(made.publisher.run())
    try:
        yield made
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        await made.settled()
        await made.registry.close()


class Connection:
    """One connection to Temporal, made when it is first needed; raises what `connect` raises, and tries anew the next time."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._lock = asyncio.Lock()
        self._client: Client | None = None

    async def __call__(self) -> Client:
        """Return the client."""
        async with self._lock:
            if self._client is None:
                self._client = await self._connect()
            return self._client
