"""Patience with an endpoint that is paid: one that gives nothing for it is left alone for a while, by every worker of the tenant."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from activities.model_faults import ModelFault, Rejected
from contracts.errors import PerdureError, TransientError
from database import Database, Tx
from ledger import breakers
from ledger.breakers import EMBEDDINGS, Breaker, Threshold
from memory.allowance import AllowanceSpent
from memory.embedding import Unfit

LOG = structlog.get_logger(__name__)
THRESHOLD = Threshold(failures=3, within=timedelta(hours=1), open=timedelta(minutes=1), longest=timedelta(hours=1))
"""Some thirty requests of each kind are paid for in vain in a day at most, whatever has come of the endpoint."""

ALONE = " (single texts)"


class LeftAlone(TransientError):
    """The endpoint was paid for nothing too often, and is not asked for a while."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One request that is let through. lease: that of the probe, where it is one."""

    breaker: Breaker
    lease: str | None = None


class Patience:
    """Looks after the breakers of one model. seconds: how long a request may take.

    Requests for one text have a breaker of their own: that they go well says nothing of those for several, which may all be in vain. While
    the others' is open they wait too.
    """

    def __init__(self, database: Database, name: str, seconds: float) -> None:
        self._database = database
        self._name = name
        self._seconds = seconds
        self._said: dict[tuple[str, str], datetime | None] = {}

    async def lets(self, tx: Tx) -> bool:
        """Tell whether a request for several texts may begin now."""
        breaker = await self._read(tx)
        if breaker.wait > 0:
            self._tell(tx.tenant, breaker)
        return breaker.wait <= 0

    @asynccontextmanager
    async def turn(self, tenant: str, texts: int) -> AsyncGenerator[None]:
        """Let a request for so many texts through, and note what its end says of the endpoint. Raises: LeftAlone."""
        turn = await self._begin(tenant, texts)
        try:
            yield
        except BaseException as error:
            await self._ended(tenant, turn, error)
            raise
        if turn.breaker.failures:
            await self._ended(tenant, turn, None)

    async def _begin(self, tenant: str, texts: int) -> Turn:
        async with self._database.transaction(tenant) as tx:
            breaker = await self._read(tx)
            if texts == 1 and breaker.wait > 0:
                raise LeftAlone(self._tell(tenant, breaker), retry_after=breaker.wait)
            breaker = await self._read(tx, ALONE) if texts == 1 else breaker
        if breaker.state == "closed":
            return Turn(breaker)
        lease = secrets.token_hex(8)
        async with self._database.once(tenant) as tx:
            # Only one is let through, and none before its time.
            if not await breakers.probe(tx, breaker, lease, self._seconds + 1):
                raise LeftAlone(self._tell(tenant, breaker), retry_after=breaker.wait)
        return Turn(breaker, lease)

    async def _ended(self, tenant: str, turn: Turn, error: BaseException | None) -> None:
        try:
            async with self._database.transaction(tenant) as tx:
                if error is None:
                    await breakers.close(tx, turn.breaker, probe=turn.lease)
                elif wasted(error):
                    now = await breakers.fail(tx, turn.breaker, THRESHOLD, str(error), probe=turn.lease)
                    if now.wait > 0:
                        self._tell(tenant, now)
                elif turn.lease:
                    await breakers.give_back(tx, turn.breaker, turn.lease)
        except Exception as fault:
            # What was paid for is not lost with it.
            LOG.warning("a breaker was not told", tenant=tenant, model=self._name, error=f"{type(fault).__name__}: {fault}")

    async def _read(self, tx: Tx, which: str = "") -> Breaker:
        return await breakers.read(tx, "model", EMBEDDINGS, self._name + which)

    def _tell(self, tenant: str, breaker: Breaker) -> str:
        """Return why the endpoint is left alone; this process logs it once for each time that the breaker opens."""
        why = breakers.told(breaker)
        place = tenant, breaker.name
        if self._said.get(place) != breaker.opened_until:
            self._said[place] = breaker.opened_until
            LOG.warning("an endpoint of embeddings is left alone", tenant=tenant, model=self._name, why=why)
        return why


def free(error: BaseException) -> bool:
    """Tell whether the endpoint has done nothing for a request that ended so."""
    return not error.billed if isinstance(error, ModelFault) else isinstance(error, Rejected | Unfit | AllowanceSpent)


def wasted(error: BaseException) -> bool:
    """Tell whether a request that ended so may have been paid for, with nothing to show for it."""
    return isinstance(error, PerdureError) and not free(error)
