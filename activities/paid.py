"""An embedding model that costs: each tenant asks it on its own allowance of the day, reserved before a request and settled after it."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import structlog

from activities import metrics
from activities.patience import LeftAlone, Patience, free
from contracts.errors import PerdureError, PermanentError
from database import Database, Tx
from memory import allowance, models
from memory.allowance import AllowanceSpent, Terms
from memory.embedding import BATCH, Cached, Embedder

if TYPE_CHECKING:
    from activities.endpoint import Endpoint, Made

LOG = structlog.get_logger(__name__)
UNASKED = (AllowanceSpent, LeftAlone)
"""Why the endpoint is not asked at all. Each is logged where it happens, once, and not for each who meets it."""


class Paid:
    """The model of an endpoint that costs. A text that it knows already costs nothing, whichever tenant paid for it."""

    def __init__(self, endpoint: "Endpoint", database: Database, terms: Terms) -> None:
        self.endpoint = endpoint
        self.database = database
        self.terms = terms
        self.patience = Patience(database, endpoint.name, endpoint.seconds)
        self._known = Cached(endpoint)
        self._said: dict[str, date] = {}

    @property
    def name(self) -> str:
        """The model's name."""
        return self.endpoint.name

    @property
    def dims(self) -> int:
        """Numbers in a vector."""
        return self.endpoint.dims

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Refuse: nobody pays. Raises: PermanentError."""
        raise PermanentError(f"embedding model {self.name!r} costs, and {len(texts)} texts came without a tenant that pays: see `asked_by`")

    def of(self, tenant: str) -> Embedder:
        """Return the model as one tenant asks it, on its allowance."""
        return self._known.over(_Payer(self, tenant))

    async def measure(self, tenant: str) -> None:
        """Hold the endpoint to the dimensions that its model has here, so that no others are taken for readable, and paid for, for good."""
        if not self.endpoint.dims:
            async with self.database.transaction(tenant) as tx:
                laid = await models.laid(tx)
            self.endpoint.dims = next((model.dims for model in laid if model.name == self.name), 0)

    async def room(self, tx: Tx) -> int:
        """Return what the tenant's day has left, in millionths of a micro-dollar, and show it."""
        standing = await allowance.today(tx)
        left = max(self.terms.limit - (standing.used if standing else 0), 0)
        metrics.EMBEDDING_LEFT.labels(tx.tenant).set(left / allowance.MILLION)
        return left

    async def stop(self, tx: Tx) -> str:
        """Note that the day has no room left and return why; this process logs it once in a day."""
        await allowance.stop(tx)
        if (standing := await allowance.today(tx)) is None:
            return f"this call may cost more than the {self.terms.cap} micro-dollars of a whole day"
        if self._said.get(tx.tenant) != standing.day:
            self._said[tx.tenant] = standing.day
            LOG.warning("embeddings stopped for today", tenant=tx.tenant, model=self.name, **standing.told())
        # Its row names the cap of the last call; this process may have been given another since.
        return f"the day's allowance is used up: {replace(standing, cap=self.terms.limit)}"


def asked_by(tenant: str, embedder: Embedder) -> Embedder:
    """Return an embedder as one tenant asks it, so that what costs is that tenant's."""
    return embedder.of(tenant) if isinstance(embedder, Paid) else embedder


class _Payer:
    """Asks the endpoint for one tenant."""

    def __init__(self, paid: Paid, tenant: str) -> None:
        self._paid = paid
        self._tenant = tenant

    @property
    def name(self) -> str:
        """The model's name."""
        return self._paid.name

    @property
    def dims(self) -> int:
        """Numbers in a vector."""
        return self._paid.dims

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector for each text, in order. Raises: AllowanceSpent, LeftAlone, ModelFault, PermanentError."""
        await self._paid.measure(self._tenant)
        found: list[list[float]] = []
        for first in range(0, len(texts), BATCH):
            found += await self._batch([allowance.clipped(text) for text in texts[first : first + BATCH]])
        return found

    async def _batch(self, texts: list[str]) -> list[list[float]]:
        async with self._paid.patience.turn(self._tenant, len(texts)):
            return self._paid.endpoint.vectors(await self._bought(texts), len(texts))

    async def _bought(self, texts: list[str]) -> "Made":
        most = sum(map(allowance.bound, texts))
        call = await self._reserve(most)
        # Killed or cancelled from here on, nobody settles: what is held counts for its day, as if all of it had been used.
        try:
            made = await self._paid.endpoint.ask(texts)
        except PerdureError as error:
            await self._settle(call, 0 if free(error) else most)
            raise
        await self._settle(call, most if made.tokens is None else made.tokens)
        return made

    async def _reserve(self, tokens: int) -> uuid.UUID:
        async with self._paid.database.once(self._tenant) as tx:
            call = await allowance.reserve(tx, self._paid.terms, tokens)
        if call is None:
            metrics.EMBEDDING_REFUSED.labels(self._tenant).inc()
            async with self._paid.database.transaction(self._tenant) as tx:
                why = await self._paid.stop(tx)
            raise AllowanceSpent(why)
        return call

    async def _settle(self, call: uuid.UUID, tokens: int) -> None:
        try:
            async with self._paid.database.once(self._tenant) as tx:
                settled = await allowance.settle(tx, self._paid.terms, call, tokens)
        except Exception as error:
            # What was paid for is not lost with it; the call counts as it was reserved.
            LOG.warning("embeddings were not settled", tenant=self._tenant, error=f"{type(error).__name__}: {error}")
            return
        if settled:
            metrics.EMBEDDING_COST.labels(self._tenant, self._paid.name).inc(tokens * self._paid.terms.price / allowance.MILLION)
