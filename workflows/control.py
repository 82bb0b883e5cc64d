"""What people want of a whole run, read from its row when a wake says so: whether it is paused, and what is tried again."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio import workflow

from contracts.operations import LookRequest, Standing
from contracts.runs import Carried, RunRef
from workflows import steps

ANYWAY = timedelta(hours=1)
"""How long a paused run waits before it looks without being woken: a wake that was lost costs this much and no more."""


def _nothing(step: str) -> None:
    """Open no step again: what stands where a run has no plan."""


class Control:
    """How one run stands, as its row said when it was last read."""

    def __init__(self, carried: Carried | None, leaving: Callable[[], bool]) -> None:
        self.paused = carried.paused if carried else None
        self.reopen: Callable[[str], None] = _nothing
        self._retries = dict(carried.retries) if carried else {}
        self._asked = int(carried.look) if carried else 0
        self._answered = 0
        self._leaving = leaving

    def wake(self) -> None:
        """Note that the row has changed."""
        self._asked += 1

    async def watch(self, run: RunRef) -> None:
        """Read the row whenever a wake says that it has changed, until the run leaves. The only reader: looks never overtake."""
        while True:
            timeout = ANYWAY if self.paused else None
            with suppress(asyncio.TimeoutError):
                await workflow.wait_condition(self._to_do, timeout=timeout, timeout_summary="paused" if timeout else None)
            if self._leaving():
                return
            asked = self._asked
            self._take(await steps.look(LookRequest(tenant=run.tenant, lineage=run.lineage)))
            self._answered = asked

    async def look(self) -> None:
        """Have the row read, and return once it was; at once where the run leaves."""
        self._asked += 1
        mine = self._asked
        await workflow.wait_condition(lambda: self._answered >= mine or self._leaving())

    async def going(self) -> bool:
        """Wait until the run is not paused; False where it goes on elsewhere first."""
        if self.paused:
            await workflow.wait_condition(lambda: not self.paused or self._leaving())
        return not self._leaving()

    def carried(self) -> dict[str, Any]:
        """Return what the next execution needs of this, as fields of `Carried`."""
        return {"paused": self.paused, "retries": self._retries, "look": self._asked > self._answered}

    def _to_do(self) -> bool:
        return self._asked > self._answered or self._leaving()

    def _take(self, standing: Standing) -> None:
        self.paused = standing.paused
        opened = [step for step, count in standing.retries.items() if count > self._retries.get(step, 0)]
        self._retries = standing.retries
        for step in opened:
            self.reopen(step)
