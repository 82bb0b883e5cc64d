"""Orders to undo a run that has ended: who said so, why, and from which step on. Each is a record."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from database import Tx
from ledger import records

OPEN = """
SELECT o.lineage, o.body, o.at FROM record o
 WHERE o.tenant = $1 AND o.lineage = $2 AND o.kind = 'configuration' AND o.body ->> 'event' = 'undo ordered'
   AND NOT EXISTS (SELECT FROM record e WHERE e.tenant = o.tenant AND e.id = o.id || '/ended')
 ORDER BY o.at, o.id
"""
FORGOTTEN = """
SELECT DISTINCT o.lineage FROM record o JOIN run USING (tenant, lineage)
 WHERE o.tenant = $1 AND o.kind = 'configuration' AND o.body ->> 'event' = 'undo ordered' AND run.status <> 'running'
   AND o.at < clock_timestamp() - make_interval(secs => $2)
   AND NOT EXISTS (SELECT FROM record e WHERE e.tenant = o.tenant AND e.id = o.id || '/ended')
"""


@dataclass(frozen=True, slots=True)
class Order:
    """One order. since: a step; what was claimed before it stays. name: unique within the run."""

    lineage: str
    name: str
    by: str
    reason: str
    since: str | None = None
    unseen: bool = False
    """Only find out about what nobody saw end: what was done stays."""
    shared: bool = False
    """Take back what forks share too; without that word it stays."""
    at: datetime | None = None
    """When it was given, UTC; None before it is on record."""

    @property
    def id(self) -> str:
        """Its record's id."""
        return f"{self.lineage}/undo/{self.name}"

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one record."""
        body = row["body"]
        shared = body.get("shared", False)  # Orders from before there were two kinds.
        return cls(row["lineage"], body["order"], body["by"], body["reason"], body["since"], body["unseen"], shared, row["at"])


async def put(tx: Tx, order: Order) -> None:
    """Put an order on record, once."""
    body = {
        "event": "undo ordered",
        "by": order.by,
        "reason": order.reason,
        "since": order.since,
        "unseen": order.unseen,
        "shared": order.shared,
        "order": order.name,
    }
    await records.append(tx, order.id, "configuration", order.lineage, order.since, body)


async def open_orders(tx: Tx, lineage: str) -> list[Order]:
    """Return the orders of a run that were not carried out yet, oldest first."""
    return [Order.from_row(row) for row in await tx.fetch(OPEN, tx.tenant, lineage)]


async def carried_out(tx: Tx, order: Order) -> None:
    """Note that nothing is left to do, or to ask, for an order."""
    await records.append(tx, f"{order.id}/ended", "configuration", order.lineage, order.since, {"event": "undo ended", "order": order.name})


async def forgotten(tx: Tx, older: float) -> list[str]:
    """Return the ended runs with an order given more than so many seconds ago that was not carried out."""
    return [row["lineage"] for row in await tx.fetch(FORGOTTEN, tx.tenant, older)]
