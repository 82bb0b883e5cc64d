"""Refused attempts on their way to the ledger: however many come at once, one transaction at a time takes them."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from database import Database
from ledger import refusals
from ledger.refusals import Refused, Room

BATCH = 500


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that waits. source: which of them count together."""

    tenant: str
    source: str
    refused: Refused
    kept: asyncio.Future[None]


class Refusals:
    """Keeps what one channel refuses. A flood holds one connection of Postgres and never all."""

    def __init__(self, database: Database, channel: str, room: Room = refusals.ATTEMPTS) -> None:
        self._database = database
        self._channel = channel
        self._room = room
        self._waiting: list[Attempt] = []
        self._task: asyncio.Task[None] | None = None

    async def put(self, tenant: str, source: str, body: dict[str, Any], *, about: str = "", lineage: str | None = None) -> None:
        """Return when an attempt is on record, or counted. Raises: what Postgres raises.

        source: which attempts count together; body, about, lineage: as `ledger.refusals.Refused` has them.
        """
        attempt = Attempt(tenant, source, Refused(body, about, lineage), asyncio.get_running_loop().create_future())
        self._waiting.append(attempt)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work_off())
        await attempt.kept

    async def _work_off(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            for tenant in {attempt.tenant for attempt in batch}:
                await self._keep(tenant, [attempt for attempt in batch if attempt.tenant == tenant])

    async def _keep(self, tenant: str, attempts: list[Attempt]) -> None:
        by_source: dict[str, list[Refused]] = defaultdict(list)
        for attempt in attempts:
            by_source[attempt.source].append(attempt.refused)
        failed: Exception | None = None
        try:
            async with self._database.transaction(tenant) as tx:
                await refusals.add(tx, self._channel, by_source, self._room)
        except Exception as error:
            failed = error
        # Whoever gave up waiting needs no answer.
        for attempt in (one for one in attempts if not one.kept.done()):
            if failed:
                attempt.kept.set_exception(failed)
            else:
                attempt.kept.set_result(None)
