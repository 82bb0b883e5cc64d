"""Reads that go side by side, each in a transaction of its own, so that two cores share what one has to answer."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from database import Tx

One = TypeVar("One")
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two transactions of one tenant, or one that does in turn what two do at once."""

    tx: Tx
    beside: Tx | None = None

    async def both(
        self, one: Callable[[Tx], Coroutine[Any, Any, One]], other: Callable[[Tx], Coroutine[Any, Any, Other]]
    ) -> tuple[One, Other]:
        """Read both, and wait for both; an error of one is the end of the other."""
        if self.beside is None:
            return await one(self.tx), await other(self.tx)
        task = asyncio.create_task(other(self.beside))
        try:
            return await one(self.tx), await task
        except BaseException:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
