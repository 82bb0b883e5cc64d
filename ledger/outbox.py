"""The outbox: wake-ups that were committed with what they tell of, sent by whoever comes first."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from contracts.approvals import Wake
from database import Database, Tx

PUT = "INSERT INTO outbox (tenant, workflow_id, body) VALUES ($1, $2, $3)"
# Skipping what another sender holds lets every worker and every channel deliver, without a leader.
UNSENT = """
SELECT id, workflow_id, body, attempts FROM outbox WHERE tenant = $1 AND sent_at IS NULL ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
"""
SENT = """
UPDATE outbox SET sent_at = CASE WHEN tried.sent THEN now() END, attempts = attempts + 1
  FROM unnest($2::bigint[], $3::boolean[]) AS tried (id, sent) WHERE outbox.tenant = $1 AND outbox.id = tried.id
"""
TENANTS = "SELECT tenant FROM tenant ORDER BY tenant"
BATCH = 50

Send = Callable[[str, dict[str, Any]], Awaitable[bool]]
"""Signal a workflow; False to try again later, True where it was sent or nobody will ever listen."""


async def put(tx: Tx, workflow_id: str, wake: Wake) -> None:
    """Leave a wake-up for a workflow, to be sent after this transaction has committed."""
    await tx.execute(PUT, tx.tenant, workflow_id, wake.model_dump(mode="json", exclude_defaults=True))


async def deliver(database: Database, tenant: str, send: Send) -> int:
    """Send what waits, side by side; return how many were settled. A wake-up sent twice costs a look, so at least once is enough.

    Raises: what a sending raised, once the others are noted.
    """
    async with database.transaction(tenant) as tx:
        rows = await tx.fetch(UNSENT, tx.tenant, BATCH)
        # One that takes long delays the others' note, and nobody's wake-up.
        tried = await asyncio.gather(*(send(row["workflow_id"], row["body"]) for row in rows), return_exceptions=True)
        sent = [outcome is True for outcome in tried]
        if rows:
            await tx.execute(SENT, tx.tenant, [row["id"] for row in rows], sent)
    if broken := next((outcome for outcome in tried if isinstance(outcome, BaseException)), None):
        raise broken
    return sum(sent)


async def tenants(database: Database, tenant: str) -> list[str]:
    """Return the names of all tenants; ``tenant`` is any one, since a transaction must have one."""
    async with database.transaction(tenant) as tx:
        return [row["tenant"] for row in await tx.fetch(TENANTS)]
