"""Orders to undo a run that has ended: who said so, why, and from which step on. Each is a record."""

from dataclasses import dataclass
from typing import Any, Self

from database import Tx
from ledger import records

READ = "SELECT body FROM record WHERE tenant = $1 AND id = $2 AND kind = 'configuration'"


@dataclass(frozen=True, slots=True)
class Order:
    """One order. since: a step; what was claimed before it stays. name: unique within the run."""

    lineage: str
    name: str
    by: str
    reason: str
    since: str | None = None
    unseen: bool = False
    """Only what nobody saw end."""

    @property
    def id(self) -> str:
        """Its record's id."""
        return f"{self.lineage}/undo/{self.name}"

    @classmethod
    def from_body(cls, lineage: str, name: str, body: dict[str, Any]) -> Self:
        """Map one record."""
        return cls(lineage, name, body["by"], body["reason"], body["since"], body["unseen"])


async def put(tx: Tx, order: Order) -> None:
    """Put an order on record, once."""
    body = {
        "event": "undo ordered",
        "by": order.by,
        "reason": order.reason,
        "since": order.since,
        "unseen": order.unseen,
        "order": order.name,
    }
    await records.append(tx, order.id, "configuration", order.lineage, order.since, body)


async def read(tx: Tx, lineage: str, name: str) -> Order | None:
    """Return an order, or None where nobody gave it."""
    body = await tx.value(READ, tx.tenant, f"{lineage}/undo/{name}")
    return Order.from_body(lineage, name, body) if body else None
