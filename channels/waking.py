"""Wake-ups after a ruling: one delivery at a time, so that a slow Temporal holds one connection of Postgres and never all."""

import asyncio

import structlog

from activities.sweeper import sender
from channels.operating import Connect
from database import Database
from ledger import outbox

LOG = structlog.get_logger(__name__)


class Waking:
    """Delivers a tenant's outbox. Who calls while a delivery is under way has it look again, and waits for nothing."""

    def __init__(self, database: Database, connect: Connect) -> None:
        self._database = database
        self._connect = connect
        self._wanted = set[str]()
        self._lock = asyncio.Lock()

    async def __call__(self, tenant: str) -> None:
        """Deliver what waits; what cannot be sent now is left to a worker."""
        self._wanted.add(tenant)
        if self._lock.locked():
            return
        async with self._lock:
            while self._wanted:
                await self._deliver(self._wanted.pop())

    async def _deliver(self, tenant: str) -> None:
        try:
            await outbox.deliver(self._database, tenant, sender(await self._connect()))
        except Exception as error:
            LOG.warning("a wake-up is left to a worker", error=f"{type(error).__name__}: {error}")
