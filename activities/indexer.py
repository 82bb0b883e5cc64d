"""Work behind the writes of memory: missing vectors, facts that say almost the same, rows that no index has, statistics that wait."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from itertools import accumulate

import structlog

from activities import paid, shadowing
from activities.paid import Paid
from contracts.errors import PermanentError
from database import Database, Tx
from ledger import outbox
from memory import allowance, backlog, likeness, models, postings, succession, vectors
from memory.backlog import Due
from memory.embedding import BATCH, LONGEST, Embedder, Unfit, digest
from memory.models import Model

LOG = structlog.get_logger(__name__)
EVERY = 1.0
"""Seconds between two rounds that found nothing to do."""
EMBEDDED = 512
"""Vectors of one transaction."""
FLIPPED = 100
"""Rows the index takes in in one transaction: a fifth of a second's work, so that nobody waits long for a row of it."""
LEASE = timedelta(seconds=120)
"""For how long nobody else is given what is being embedded."""
SHORT = 1_000
"""Characters of a text that an endpoint refuses for another reason than its length."""


class Indexer:
    """Goes over every tenant, in every worker; several at once share the work.

    embedders: what this worker can embed with; a tenant without a model gets the first whose table is laid.
    """

    def __init__(self, database: Database, embedders: Sequence[Embedder], tenant: str) -> None:
        self._database = database
        self._embedders = {embedder.name: embedder for embedder in embedders}
        self._tenant = tenant

    async def run(self) -> None:
        """Work until cancelled; a fault is logged and the next round tries again."""
        while True:
            done = 0
            for tenant in await self._tenants():
                try:
                    done += await self.work(tenant)
                except Exception as error:
                    # One tenant's trouble, an endpoint's above all, keeps no other from its turn.
                    LOG.warning("indexing failed", tenant=tenant, error=f"{type(error).__name__}: {error}")
            if not done:
                await asyncio.sleep(EVERY)

    async def _tenants(self) -> list[str]:
        try:
            return await outbox.tenants(self._database, self._tenant)
        except Exception as error:
            LOG.warning("indexing failed", error=f"{type(error).__name__}: {error}")
            return []

    async def drain(self, tenant: str | None = None) -> int:
        """Work until nothing waits, of one tenant or of all, and return how many vectors were made."""
        made = 0
        for each in [tenant] if tenant else await outbox.tenants(self._database, self._tenant):
            while done := await self.work(each):
                made += done
        return made

    async def work(self, tenant: str) -> int:
        """Do one share of what waits for a tenant; return how many vectors, index entries and statistics that was, 0 at rest.

        Raises: the first fault, when all else is done.
        """
        done, faults = await self._catch_up(tenant), list[Exception]()
        for model in await self._models(tenant):
            for share in (self._embed, self._index, self._rehearse):
                try:
                    done += await share(tenant, model)
                except Exception as error:
                    # An endpoint that is away keeps no other model from its vectors, and none from the index.
                    faults.append(error)
        if faults:
            raise faults[0]
        return done

    async def _models(self, tenant: str) -> list[Model]:
        async with self._database.transaction(tenant) as tx:
            if known := await models.of_tenant(tx):
                return known
            laid = {model.name for model in await models.laid(tx)}
            chosen = next((name for name in self._embedders if name in laid), None)
            return [await succession.adopt(tx, chosen)] if chosen else []

    async def _catch_up(self, tenant: str) -> int:
        async with self._database.transaction(tenant) as tx:
            if lost := await allowance.write_off(tx):
                LOG.info("embeddings that nobody settled count as spent", tenant=tenant, calls=lost)
            return await postings.fold(tx)

    async def _embed(self, tenant: str, model: Model) -> int:
        if (embedder := self._embedders.get(model.name)) is None:
            return 0
        if embedder.dims not in (0, model.dims):
            # Not asked: nothing of what it costs could be kept.
            raise PermanentError(f"embedding model {model.name!r} gives {embedder.dims} numbers and has {model.dims} here")
        async with self._database.transaction(tenant) as tx:
            due = await (self._afforded(tx, model, embedder) if isinstance(embedder, Paid) else self._due(tx, model, EMBEDDED))
        if not due:
            return 0
        # Between two transactions: an endpoint may take its time.
        try:
            made = await _made(paid.asked_by(tenant, embedder), [one.text for one in due])
        except paid.UNASKED:
            # Others had the room meanwhile, or found the endpoint of no use, and it was said there: these fall due again.
            return 0
        good = [(one, vector) for one, vector in zip(due, made, strict=True) if models.usable(vector)]
        async with self._database.transaction(tenant) as tx:
            await vectors.put(tx, model, [(one.num, digest(one.text), vector) for one, vector in good])
            await self._give_up(tx, model, due, {one.num for one, _ in good})
        return len(due)

    async def _due(self, tx: Tx, model: Model, most: int) -> list[Due]:
        return await backlog.take(tx, model, limit=most, lease=LEASE)

    async def _afforded(self, tx: Tx, model: Model, embedder: Paid) -> list[Due]:
        """Take what is due and has room in the day's allowance: one request's texts, so that nothing is paid for and not kept.

        It stops where one long text might find no room. What is left below that is for queries.
        """
        if not await embedder.patience.lets(tx):
            return []
        left = await embedder.room(tx)
        if left < embedder.terms.longest:
            if await backlog.waiting(tx, model, most=1):
                await embedder.stop(tx)
            return []
        due = await self._due(tx, model, BATCH)
        costs = accumulate(allowance.bound(allowance.clipped(one.text)) * embedder.terms.price for one in due)
        fits = sum(cost <= left for cost in costs)
        if fits < len(due):
            await backlog.give_back(tx, model, [one.num for one in due[fits:]])
        return due[:fits]

    async def _rehearse(self, tenant: str, model: Model) -> int:
        if model.state != "shadow":
            return 0
        try:
            return await shadowing.rehearse(self._database, tenant, self._embedders, model)
        except paid.UNASKED:
            return 0

    async def _give_up(self, tx: Tx, model: Model, due: Sequence[Due], good: set[int]) -> None:
        if hopeless := [one.num for one in due if one.num not in good]:
            LOG.info("texts without a vector", tenant=tx.tenant, model=model.name, facts=hopeless[:10], count=len(hopeless))
            await backlog.drop(tx, model, hopeless)

    async def _index(self, tenant: str, model: Model) -> int:
        if model.state == "active":
            await self._link(tenant, model)
        return await self._flip(tenant, model)

    async def _link(self, tenant: str, model: Model) -> None:
        # Just before their vectors are in the index, which comes once to each fact; killed in between, it is done again.
        async with self._database.transaction(tenant) as tx:
            await likeness.link_near(tx, await vectors.fresh(tx, model, limit=FLIPPED))

    async def _flip(self, tenant: str, model: Model) -> int:
        async with self._database.transaction(tenant) as tx:
            return await vectors.flip(tx, model, limit=FLIPPED)


async def _made(embedder: Embedder, texts: list[str]) -> list[list[float]]:
    """Return the vectors of texts, in order; of one that the endpoint refuses, none. Raises: Unfit where it refuses all of them."""
    try:
        return await embedder.embed(texts)
    except Unfit:
        # Where it takes none of two that are no long ones, it is not for their length or number.
        by_length = sorted(texts, key=len)
        if not any([(await _halved(embedder, [by_length[nth]]))[0] for nth in (len(texts) // 2, 0)]):
            raise
    return await _halved(embedder, texts)


async def _halved(embedder: Embedder, texts: list[str]) -> list[list[float]]:
    # What was made on the way is kept by the embedder's cache, and not paid for again.
    try:
        return await embedder.embed(texts)
    except Unfit:
        if (half := len(texts) // 2) > 0:
            return [*await _halved(embedder, texts[:half]), *await _halved(embedder, texts[half:])]
        text = texts[0][:LONGEST]
        return await _halved(embedder, [text[: len(text) // 2]]) if len(text) > SHORT else [[]]
