"""The banner: what somebody has to be told on whatever page they are."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from database import Database, Tx
from ledger import alerts
from ledger.alerts import Alert
from ledger.directory import Person

REMEMBERED = 600.0
"""Seconds for which it is remembered who may not read what they approve: to find out, what they all said last is read."""


@dataclass(eq=False)
class Banner:
    """Reads alerts for those whom they concern."""

    clock: Callable[[], float] = time.monotonic
    _reviewers: dict[str, tuple[float, list[Alert]]] = field(default_factory=dict[str, tuple[float, list[Alert]]])

    async def of(self, database: Database, tenant: str, person: Person) -> tuple[Alert, ...]:
        """Return what a person has to be told, the most urgent first."""
        async with database.transaction(tenant) as tx:
            found = await alerts.glass(tx)
            found += await self._doubtful(tx) if person.at_least("admin") else []
        return tuple(alert for alert in found if alert.concerns(person))

    async def _doubtful(self, tx: Tx) -> list[Alert]:
        at, found = self._reviewers.get(tx.tenant, (float("-inf"), []))
        if self.clock() - at > REMEMBERED:
            found = await alerts.reviewers(tx)
            self._reviewers[tx.tenant] = (self.clock(), found)
        return found
