"""Work that goes on after Slack has its answer: every task is known, and waited for before the program ends."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import structlog

LOG = structlog.get_logger(__name__)
FINISH_SECONDS = 15.0


class Work:
    """Tasks under way. One that fails is logged; nobody waits for it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], what: str) -> asyncio.Task[Any]:
        """Begin; ``what`` names it where it fails."""
        task = asyncio.create_task(work, name=what)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def finish(self, seconds: float = FINISH_SECONDS) -> None:
        """Wait for what is under way, what it begins too, and cancel what takes longer."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.idle(), seconds)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            LOG.warning("Slack could not be served", what=task.get_name(), error=f"{type(error).__name__}: {error}")
