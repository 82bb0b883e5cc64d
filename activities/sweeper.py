"""Work that no run waits for: wake-ups left in the outbox, and the numbers that only Postgres knows."""

import asyncio
from datetime import timedelta
from typing import Any

import structlog
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities import metrics, shared
from contracts import names
from database import Database
from ledger import approvals, breakers, effects, outbox, refusals, runs, said_so_far

LOG = structlog.get_logger(__name__)
EVERY = 1.0
"""Seconds between two sweeps; who rules through Perdure delivers at once, so this is for what was left behind."""
SIGNAL_SECONDS = 5.0
"""How long a sending may hold its row in all; a call's own limit counts for each of the SDK's tries."""


class Sweeper:
    """Sweeps every tenant, in every worker; several at once share the work."""

    def __init__(self, database: Database, client: Client, tenant: str) -> None:
        self._database = database
        self._client = client
        self._tenant = tenant

    async def run(self) -> None:
        """Sweep until cancelled; a fault is logged and the next sweep tries again."""
        while True:
            try:
                await self.sweep()
            except Exception as error:
                LOG.warning("a sweep failed", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(EVERY)

    async def sweep(self) -> None:
        """Deliver what waits, once, and count."""
        for tenant in await outbox.tenants(self._database, self._tenant):
            while await outbox.deliver(self._database, tenant, sender(self._client)) == outbox.BATCH:
                pass
            await self._settle(tenant)
            await self._count(tenant)

    async def _settle(self, tenant: str) -> None:
        """Let rulings on shared documents take their effect, where no edit has come by since; forget what dead workers' models said."""
        async with self._database.transaction(tenant) as tx:
            await shared.settle_ended(tx)
            await said_so_far.sweep(tx)
            await refusals.close(tx)

    async def _count(self, tenant: str) -> None:
        async with self._database.transaction(tenant) as tx:
            states = await effects.counts(tx)
            waiting, oldest = await approvals.waiting(tx)
            ended = await runs.counts(tx)
            known = await breakers.of_tenant(tx)
        for state in ("claimed", "done", "failed", "unknown", "compensated"):
            metrics.EFFECTS.labels(tenant, state).set(states.get(state, 0))
        for status, count in ended.items():
            metrics.RUNS.labels(tenant, status).set(count)
        for breaker in known:
            name = "/".join(part for part in (breaker.automation, breaker.name) if part)
            metrics.BREAKERS_OPEN.labels(tenant, breaker.kind, name).set(breaker.state != "closed")
        metrics.APPROVALS_WAITING.labels(tenant).set(waiting)
        metrics.APPROVALS_OLDEST.labels(tenant).set(oldest)


def sender(client: Client) -> outbox.Send:
    """Return what sends a wake-up to a workflow."""

    async def send(workflow_id: str, body: dict[str, Any]) -> bool:
        try:
            # No run id: a wake-up is for whichever execution of the chain runs now.
            async with asyncio.timeout(SIGNAL_SECONDS):
                await client.get_workflow_handle(workflow_id).signal(names.WAKE, body, rpc_timeout=timedelta(seconds=SIGNAL_SECONDS))
        except TimeoutError:
            return False
        except RPCError as error:
            # Nobody will ever listen to one that has ended.
            return error.status == RPCStatusCode.NOT_FOUND
        return True

    return send
