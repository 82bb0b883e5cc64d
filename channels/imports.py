"""Bringing a file into memory: every line is looked at before the first is kept, and what is broken is told by its number."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.errors import BadInput
from database import Database
from memory import importing, json_lines, planning
from memory.importing import Line
from memory.json_lines import Fault

BATCH = 2_000
"""Lines that one statement stores; more gain nothing, and hold a transaction for longer."""
LOOKED = 4_000
"""New facts of a tenant after which the planner is told, at first and at the end. Till then it takes the tenant for one without rows, and
reads all that an import has brought for each batch."""
TURN = 50
"""Lines that are read before batches under way have their turn: a batch is several statements, and each waits for this process."""
LANES = 3
"""Batches that are stored at once, where each is kept by itself: while one is made ready, the database has work for two cores."""


@dataclass
class Imported:
    """What became of a file. forgotten: lines about somebody who was to be forgotten. created: those tenants that did not exist."""

    new: int = 0
    duplicate: int = 0
    forgotten: int = 0
    tenants: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def lines(self) -> int:
        """Good lines."""
        return self.new + self.duplicate + self.forgotten

    def add(self, counts: Counter[str]) -> None:
        """Count a batch."""
        self.new += counts["new"]
        self.duplicate += counts["duplicate"]
        self.forgotten += counts["forgotten"]


@dataclass(frozen=True)
class Importer:
    """Brings one file in. tenant: whose a line is that doesn't say; may_create: whether a tenant that doesn't exist is made."""

    database: Database
    path: Path
    tenant: str
    may_create: bool

    async def all_or_nothing(self) -> Imported:
        """Keep every line, those of one tenant in one transaction, or none. A repetition changes nothing.

        Raises: BadInput naming the broken lines; OSError.
        """
        good: dict[str, list[Line]] = defaultdict(list)
        broken: list[Fault] = []
        for line in importing.lines(self.path, self.tenant):
            if isinstance(line, Fault):
                broken.append(line)
            else:
                good[line.tenant].append(line)
        done = Imported()
        # All tenants are looked at before the first line of any is kept.
        missing = [tenant for tenant in good if await self._missing(tenant)]
        for tenant, lines in good.items():
            async with self.database.transaction(tenant) as tx:
                for batch in _batches(lines):
                    broken += await importing.faults(tx, batch)
        if broken:
            kept = f"{len(broken)} lines are broken, so none is kept; --keep-good keeps the others"
            raise BadInput(f"{self.path}: {kept}\n{json_lines.told(broken)}")
        if not good:
            raise BadInput(f"{self.path} has no line to import; one is like {importing.EXAMPLE}")
        growth = _Growth()
        for tenant, lines in good.items():
            async with self.database.transaction(tenant) as tx:
                if tenant in missing:
                    await importing.create_tenant(tx)
                for batch in _batches(lines):
                    done.add(counts := await importing.store(tx, self.path.name, batch))
                    if growth.first(tenant, counts["new"]):
                        await planning.look(tx)
        await self._look(growth)
        done.tenants, done.created = list(good), missing
        return done

    async def keep_good(self) -> Imported:
        """Keep the good lines, batch by batch, and name the others. A repetition goes on where another one was interrupted.

        Raises: BadInput where a tenant does not exist and may not be made; OSError.
        """
        done, lanes, growth = Imported(), _Lanes(), _Growth()
        pending: dict[tuple[int, str], list[Line]] = defaultdict(list)
        try:
            for nth, line in enumerate(importing.lines(self.path, self.tenant)):
                if nth % TURN == 0:
                    await asyncio.sleep(0)
                if isinstance(line, Fault):
                    done.faults.append(line)
                    continue
                # A session stays in its lane, so that its episodes keep the order of the file.
                place = hash((line.tenant, line.session)) % LANES, line.tenant
                pending[place].append(line)
                if len(pending[place]) == BATCH:
                    await lanes.put(place[0], self._keep(done, growth, pending.pop(place)))
            for (lane, _), lines in pending.items():
                await lanes.put(lane, self._keep(done, growth, lines))
            await lanes.empty()
            await self._look(growth)
        finally:
            await lanes.close()
        return done

    async def _keep(self, done: Imported, growth: "_Growth", batch: list[Line]) -> None:
        tenant = batch[0].tenant
        missing = await self._missing(tenant)
        async with self.database.transaction(tenant) as tx:
            if missing:
                await importing.create_tenant(tx)
            faults = await importing.faults(tx, batch)
            broken = {fault.number for fault in faults}
            done.add(counts := await importing.store(tx, self.path.name, [line for line in batch if line.number not in broken]))
        if growth.first(tenant, counts["new"]):
            async with self.database.transaction(tenant) as tx:
                await planning.look(tx)
        done.faults += faults
        done.created += [tenant] if missing and tenant not in done.created else []
        done.tenants += [tenant] if tenant not in done.tenants else []

    async def _look(self, growth: "_Growth") -> None:
        for tenant in growth.tenants:
            async with self.database.transaction(tenant) as tx:
                await planning.look(tx)

    async def _missing(self, tenant: str) -> bool:
        async with self.database.transaction(tenant) as tx:
            missing = not await importing.exists(tx)
        if missing and not self.may_create:
            raise BadInput(
                f"tenant {tenant!r} does not exist, and only an admin may create it: correct the name, or set PERDURE_OWNER_DATABASE_URL"
            )
        return missing


class _Growth:
    """New facts of each tenant, and whether so many of them that statistics should know."""

    def __init__(self) -> None:
        self._new: Counter[str] = Counter()

    def first(self, tenant: str, new: int) -> bool:
        """Count new facts and tell whether they are enough with these."""
        before = self._new[tenant]
        self._new[tenant] += new
        return before < LOOKED <= self._new[tenant]

    @property
    def tenants(self) -> list[str]:
        """Those that have grown by enough."""
        return [tenant for tenant, new in self._new.items() if new >= LOOKED]


class _Lanes:
    """A few batches under way at once, one in each lane."""

    def __init__(self) -> None:
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def put(self, lane: int, work: Coroutine[Any, Any, None]) -> None:
        """Begin something once its lane is free."""
        try:
            if before := self._tasks.pop(lane, None):
                await before
        except BaseException:
            work.close()
            raise
        self._tasks[lane] = asyncio.create_task(work)

    async def empty(self) -> None:
        """Wait for all that is under way."""
        while self._tasks:
            await self._tasks.pop(next(iter(self._tasks)))

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


def _batches(lines: list[Line]) -> Iterable[list[Line]]:
    return (lines[first : first + BATCH] for first in range(0, len(lines), BATCH))
