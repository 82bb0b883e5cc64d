"""The runs in flight: started one after another, watched until they end."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import asyncpg
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from contracts import names
from contracts.runs import StartRequest
from database import Database
from ledger import orders
from tests.chaos.shapes import Shape
from tests.servers import until

ENDED = "SELECT workflow_id, lineage FROM run WHERE tenant = $1 AND workflow_id = ANY($2) AND status <> 'running'"
WAITING = "SELECT count(*) FROM approval WHERE tenant = $1 AND state = 'pending'"
TASK = timedelta(seconds=2)
"""A killed worker's workflow task is given to another after this long."""
LOST = 150.0
"""Seconds without a disturbance, and without the end of any other run, after which a run that is left counts as hanging: what was
disturbed often waits up to 30 s for its next attempt, and a crowd that is let go all at once has to share the machine."""
TIRED = 3
"""Kills after which a run no longer counts as one of the crowd: another is started, and it goes on to its end."""
MOST = 90
AWAY = (RPCError, OSError, RuntimeError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What clients raise while a server is down."""


@dataclass
class Flight:
    """One run. kills: how many workers died under it; seconds: how long it took."""

    run: str
    shape: Shape
    started: float
    lineage: str = ""
    kills: int = 0
    seconds: float = 0.0
    closed: str = ""
    """How Temporal shows its end."""


@dataclass
class Crowd:
    """All runs of one stage. ``open`` are in flight, ``ended`` wait to be checked, ``lost`` never ended."""

    client: Client
    database: Database
    tenant: str
    task_queue: str
    notes: Path
    open: dict[str, Flight] = field(default_factory=dict[str, Flight])
    ended: list[Flight] = field(default_factory=list[Flight])
    lost: list[Flight] = field(default_factory=list[Flight])
    moved: float = 0.0
    """When something was last killed, or a run ended."""
    _count: int = 0

    async def start(self, shape: Shape) -> Flight:
        """Start a run; a server that is down is waited for."""
        self._count += 1
        run = f"{shape.name}-{self._count:05}"
        request = StartRequest(automation=shape.automation, input=shape.input(run, self.notes), tenant=self.tenant, starter="chaos")
        flight = self.open[run] = Flight(run, shape, asyncio.get_running_loop().time())
        while True:
            try:
                await self.client.start_workflow(names.ORCHESTRATOR, request, id=run, task_queue=self.task_queue, task_timeout=TASK)
            except WorkflowAlreadyStartedError:
                return flight
            except AWAY:
                await asyncio.sleep(0.2)
            else:
                return flight

    async def look(self) -> None:
        """See which runs have ended."""
        now = asyncio.get_running_loop().time()
        async with self.database.transaction(self.tenant) as tx:
            rows = await tx.fetch(ENDED, tx.tenant, list(self.open))
        for row in rows:
            flight = self.open.pop(row["workflow_id"])
            flight.lineage, flight.seconds = row["lineage"], now - flight.started
            self.ended.append(flight)
            self.moved = now
        for flight in [flight for flight in self.open.values() if now - max(flight.started, self.moved) > LOST]:
            self.lost.append(self.open.pop(flight.run))

    def disturb(self, runs: Iterable[str] = ()) -> None:
        """Note that something was killed now, and under which runs."""
        self.moved = asyncio.get_running_loop().time()
        for run in runs:
            self.open[run].kills += 1

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            with suppress(Exception):
                await self.look()
            await asyncio.sleep(0.2)

    async def keep(self, shapes: Sequence[Shape], count: int, every: float) -> None:
        """Keep so many runs in flight until cancelled, of each shape in turn, at most one start each so many seconds."""
        nth = 0
        while True:
            if len(self.open) < MOST and sum(flight.kills < TIRED for flight in self.open.values()) < count:
                await self.start(shapes[nth % len(shapes)])
                nth += 1
            await asyncio.sleep(every)

    async def drained(self) -> None:
        """Wait until no run is in flight, and see how Temporal shows the end of each."""

        async def landed() -> bool:
            return not self.open

        # Ended, or lost after its time.
        await until(landed, 8 * LOST)
        await self._answered()
        for flight in self.ended:
            flight.closed = flight.closed or await self._closed(flight)

    async def _answered(self) -> None:
        """Wait until the person has nothing to answer: what a failed run left is asked about, by an order, when it has ended."""
        for _ in range(300):
            with suppress(*AWAY):
                async with self.database.transaction(self.tenant) as tx:
                    if not await tx.value(WAITING, tx.tenant) and not await orders.forgotten(tx, older=0):
                        return
            await asyncio.sleep(0.2)

    async def _closed(self, flight: Flight) -> str:
        # The row ends a little before the workflow does.
        for _ in range(300):
            with suppress(*AWAY):
                status = (await self.client.get_workflow_handle(flight.run).describe()).status
                if status is not None and status != WorkflowExecutionStatus.RUNNING:
                    return status.name
            await asyncio.sleep(0.2)
        return "RUNNING"
