"""The outbox: wake-ups that were committed with what they tell of, sent by whoever comes first."""

from collections.abc import Awaitable, Callable
from typing import Any

from contracts.approvals import Wake
from database import Database, Tx

PUT = "INSERT INTO outbox (tenant, workflow_id, body) VALUES ($1, $2, $3)"
# Skipping what another sender holds lets every worker and every channel deliver, without a leader.
UNSENT = """
SELECT id, workflow_id, body, attempts FROM outbox WHERE tenant = $1 AND sent_at IS NULL ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
"""
SENT = "UPDATE outbox SET sent_at = CASE WHEN $3 THEN now() END, attempts = attempts + 1 WHERE tenant = $1 AND id = $2"
TENANTS = "SELECT tenant FROM tenant ORDER BY tenant"
BATCH = 50

Send = Callable[[str, dict[str, Any]], Awaitable[bool]]
"""Signal a workflow; False to try again later, True where it was sent or nobody will ever listen."""


async def put(tx: Tx, workflow_id: str, wake: Wake) -> None:
    """Leave a wake-up for a workflow, to be sent after this transaction has committed."""
    await tx.execute(PUT, tx.tenant, workflow_id, wake.model_dump(mode="json", exclude_defaults=True))


async def deliver(database: Database, tenant: str, send: Send) -> int:
    """Send what waits; return how many were settled. A wake-up sent twice costs a look, so at least once is enough."""
    settled = 0
    async with database.transaction(tenant) as tx:
        for row in await tx.fetch(UNSENT, tx.tenant, BATCH):
            sent = await send(row["workflow_id"], row["body"])
            await tx.execute(SENT, tx.tenant, row["id"], sent)
            settled += sent
    return settled


async def tenants(database: Database, tenant: str) -> list[str]:
    """Return the names of all tenants; ``tenant`` is any one, since a transaction must have one."""
    async with database.transaction(tenant) as tx:
        return [row["tenant"] for row in await tx.fetch(TENANTS)]
