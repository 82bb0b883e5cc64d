"""Live pages: one reader for all of them looks for new records ten times a second at most, and hands them to whoever watches.

In the same look it reads what models are saying, but only in runs that somebody watches.

It has a connection of its own and only reads. A NOTIFY in the transactions that write would take a lock of the whole database at commit.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

import asyncpg
import structlog

from channels.speech import Heard, Progress
from contracts.errors import BadInput
from database import Database, Tx
from ledger import feed, said_so_far
from ledger.feed import Entry

LOG = structlog.get_logger(__name__)
EVERY = 0.1
"""Seconds between two looks."""
WAITING = 2000
"""Entries that may wait for one slow page; then it is sent away, and comes back where it was."""
SILENCE = 10.0
"""Seconds without news after which a page is told nothing, so that a dead connection is noticed."""
REPLAYED = 5000
"""The most a page may have missed; beyond that it is told to load itself anew."""


News: TypeAlias = Entry | Progress


@dataclass(eq=False)
class Watcher:
    """One page that watches a tenant, or one run of it. overrun: it was too slow, and what came since was not kept for it."""

    tenant: str
    lineage: str | None
    overrun: bool = False
    _waiting: list[News] = field(default_factory=list[News])
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def give(self, news: Sequence[News]) -> None:
        """Hand on what came in one look: a page is woken once for all of it."""
        self.overrun = self.overrun or len(self._waiting) + len(news) > WAITING
        if not self.overrun:
            self._waiting.extend(news)
        self._woken.set()

    async def take(self) -> list[News]:
        """Return all that waits, as soon as something does; nothing after a long silence."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), SILENCE)
        self._woken.clear()
        taken, self._waiting = self._waiting, []
        return taken


@dataclass
class _Position:
    """How far one tenant was read: every record of transactions below ``mark`` is known, and beyond it those in ``seen`` (seq -> xid)."""

    mark: int
    seen: dict[int, int] = field(default_factory=dict[int, int])

    def advance(self, entries: list[Entry], mark: int) -> list[Entry]:
        """Note what was read and return what is new of it."""
        fresh = [entry for entry in entries if entry.seq not in self.seen]
        self.seen |= {entry.seq: entry.xid for entry in fresh}
        if len(entries) < feed.BATCH:
            self.mark = max(self.mark, mark)
            self.seen = {seq: xid for seq, xid in self.seen.items() if xid >= self.mark}
        return fresh


class Publisher:
    """The one reader. ``database`` is its own pool, of one connection."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watchers: defaultdict[str, set[Watcher]] = defaultdict(set)
        self._positions: dict[str, _Position] = {}
        self._heard: defaultdict[str, Heard] = defaultdict(Heard)
        self._busy = asyncio.Event()

    async def run(self) -> None:
        """Look until cancelled; a fault is logged, and the next look tries again."""
        while True:
            await self._busy.wait()
            for tenant in list(self._watchers):
                try:
                    await self._look(tenant)
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                    LOG.warning("live pages could not be told", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(EVERY)

    async def _look(self, tenant: str) -> None:
        position = self._positions.get(tenant)
        async with self._database.transaction(tenant) as tx:
            mark = await feed.mark(tx)
            if position is None:
                self._positions[tenant] = _Position(mark)
                return
            entries = await feed.since(tx, position.mark, seen=list(position.seen))
            moved = await self._listen(tx)
        self._hand_on(tenant, position.advance(entries, mark), moved)

    def _hand_on(self, tenant: str, entries: list[Entry], moved: list[Progress]) -> None:
        """Give every page what concerns it; what models say concerns the pages of their runs only."""
        of_run = defaultdict[str | None, list[News]](list)
        for one in (*entries, *moved):
            of_run[one.lineage].append(one)
        for watcher in self._watchers[tenant]:
            if news := entries if watcher.lineage is None else of_run.get(watcher.lineage):
                watcher.give(news)

    async def _listen(self, tx: Tx) -> list[Progress]:
        heard, watched = self._heard[tx.tenant], {watcher.lineage for watcher in self._watchers[tx.tenant] if watcher.lineage}
        heard.keep(watched)
        return heard.moved(await said_so_far.shown(tx, sorted(watched), heard.said)) if watched else []

    @asynccontextmanager
    async def watching(self, tenant: str, lineage: str | None) -> AsyncGenerator[Watcher]:
        """Watch for as long as the block runs."""
        watcher = Watcher(tenant, lineage)
        if not self._watchers[tenant]:
            # The position of a tenant that nobody watched for a while is old: the first look takes a new one.
            self._positions.pop(tenant, None)
            self._heard.pop(tenant, None)
            await self._look(tenant)
        self._watchers[tenant].add(watcher)
        self._busy.set()
        try:
            yield watcher
        finally:
            self._watchers[tenant].discard(watcher)
            if not self._watchers[tenant]:
                del self._watchers[tenant]
            if not self._watchers:
                self._busy.clear()


class Missed(Exception):
    """The page has been away for too long: it has to load itself anew."""


async def entries(publisher: Publisher, database: Database, tenant: str, lineage: str | None, after: str) -> AsyncGenerator[list[News]]:
    """Yield what has come since ``after``, then what comes, look by look; nothing now and then, so that a dead connection is noticed.

    after: an `Entry.id`, or the mark that a page was made at. Each record comes at least once. Who watches one run is told what models
    have said there so far, whole, and then what they go on to say. Raises: BadInput, Missed.
    """
    mark, last = position(after)
    heard = Heard()
    async with publisher.watching(tenant, lineage) as watcher:
        # Watching began first: what is committed meanwhile comes twice rather than never.
        async with database.transaction(tenant) as tx:
            missed = await feed.since(tx, mark, lineage=lineage, limit=REPLAYED)
            saying = await said_so_far.shown(tx, [lineage]) if lineage else []
        if len(missed) >= REPLAYED:
            raise Missed
        sent = {last, *(entry.seq for entry in missed)}
        first: list[News] = [entry for entry in missed if entry.seq != last]
        if lineage and (whole := heard.hear(Progress(lineage, tuple(saying), whole=True))):
            first.append(whole)
        yield first
        while not watcher.overrun:
            yield [told for one in await watcher.take() if (told := _untold(one, sent, heard))]


def _untold(one: News, sent: set[int], heard: Heard) -> News | None:
    if isinstance(one, Progress):
        return heard.hear(one)
    return None if one.seq in sent else one


def position(after: str) -> tuple[int, int]:
    """Read a position: mark and seq. Raises: BadInput where it is none."""
    mark, _, seq = after.partition("-")
    if not (mark.isascii() and mark.isdigit() and len(mark) < 20 and (not seq or (seq.isascii() and seq.isdigit() and len(seq) < 19))):
        raise BadInput("the position in the stream of events is not one: right is what the last event had as its id")
    return int(mark), int(seq or 0)
