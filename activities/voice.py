"""What a model says, passed on while it says it: beside the decision, never in its transactions, and never to its harm."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Self

import structlog

from database import Database
from ledger import said_so_far
from ledger.decisions import Hold
from ledger.said_so_far import LONGEST, State

LOG = structlog.get_logger(__name__)
EVERY = 0.2
"""Seconds between two writes of one call, and before the first: an answer that is there sooner is not written at all."""
WRITE_SECONDS = 2.0
"""How long a write may take; what is watched is not worth waiting for."""


@dataclass
class _Call:
    text: str = ""
    said: int = 0
    state: State = "saying"
    fresh: bool = False


class Voice:
    """What is said in one decision under one hold. As a context it lasts for the decision: left without an error, that is recorded."""

    def __init__(self, database: Database, tenant: str, hold: Hold) -> None:
        self._database, self._tenant, self._hold = database, tenant, hold
        self._calls: dict[int, _Call] = {}
        self._news, self._over = asyncio.Event(), asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        # Earlier attempts may have written.
        self._written = hold.fence > 1
        self._recorded = self._complained = False

    @contextmanager
    def call(self, idx: int) -> Generator[Callable[[str], None]]:
        """Listen to one call for as long as the block runs; what it hears is superseded where the call fails."""
        call = self._calls[idx] = _Call()

        def hear(piece: str) -> None:
            call.text, call.said, call.fresh = (call.text + piece)[-LONGEST:], call.said + len(piece), True
            self._wake()

        try:
            yield hear
        except BaseException:
            self._end(call, "superseded")
            raise
        self._end(call, "done")

    def _end(self, call: _Call, state: State) -> None:
        call.state = state
        if call.said:
            call.fresh = True
            self._wake()

    def _wake(self) -> None:
        self._news.set()
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_on())

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Clear up after a decision that is recorded; else leave what was said to whoever watches, until the next attempt."""
        self._recorded = kind is None
        self._over.set()
        self._news.set()
        if self._writer:
            # A write that has begun is let end: to cancel it takes a connection more.
            await asyncio.wait([self._writer])
        if self._recorded and self._calls and self._written:
            await self._guarded(self._clear)

    async def _write_on(self) -> None:
        over = False
        while not over:
            await self._news.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), EVERY)
            self._news.clear()
            over = self._over.is_set()
            if not self._recorded:
                await self._guarded(self._write)

    async def _write(self) -> None:
        for idx, call in self._calls.items():
            if call.fresh:
                call.fresh, self._written = False, True
                async with self._database.once(self._tenant) as tx:
                    await said_so_far.write(tx, self._hold, idx, call.state, call.said, call.text)

    async def _clear(self) -> None:
        async with self._database.once(self._tenant) as tx:
            await said_so_far.clear(tx, self._hold.lineage, self._hold.step)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do what the decision does not need; a fault is logged once."""
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await work()
        except Exception as error:
            if not self._complained:
                self._complained = True
                LOG.warning("what the model says cannot be shown", lineage=self._hold.lineage, error=f"{type(error).__name__}: {error}")
