"""Asking memory: a query gets the vector of the model that its tenant uses, and is answered without one where that fails."""

import random
from collections.abc import Sequence
from dataclasses import replace

import structlog

from activities import paid, shadowing
from database import Database
from memory import models, samples, search
from memory.embedding import Embedder
from memory.filters import Filter
from memory.models import Model
from memory.search import Answer, Query

LOG = structlog.get_logger(__name__)
SHADOWED = 0.1
"""The share of queries that are asked of a model in the shadow too, while there is one."""


class Asking:
    """Asks the memory of any tenant. embedders: what this process can embed with."""

    def __init__(self, database: Database, embedders: Sequence[Embedder]) -> None:
        self._database = database
        self._embedders = {embedder.name: embedder for embedder in embedders}

    async def ask(self, tenant: str, text: str, filter: Filter | None = None, *, k: int = 10, target: float = samples.TARGET) -> Answer:
        """Return what memory holds for a text, best first. target: the recall that is promised.

        Raises: BadInput for a query that cannot be asked.
        """
        query = replace(await self.query(tenant, text, filter, k=k), target=target)
        async with self._database.transaction(tenant) as tx, self._database.beside(tenant) as beside:
            answer = await search.search(tx, query, beside)
        if query.embedding is not None and random.random() < SHADOWED:
            await self._shadow(tenant, query)
        return answer

    async def query(self, tenant: str, text: str, filter: Filter | None = None, *, k: int = 10) -> Query:
        """Return a query that is ready for `memory.search`. Without a vector it says why; it is never an error."""
        async with self._database.transaction(tenant) as tx:
            model = await models.active(tx)
        embedding, why = await self._embedded(tenant, model, text)
        return Query(text, embedding, filter or Filter(), k, model.id if model else None, why)

    async def _embedded(self, tenant: str, model: Model | None, text: str) -> tuple[list[float] | None, str]:
        if model is None:
            return None, search.NO_MODEL
        if model.name not in self._embedders:
            return None, f"nothing here embeds with {model.name!r}"
        try:
            (vector,) = await paid.asked_by(tenant, self._embedders[model.name]).embed([text])
            if len(vector) != model.dims:
                return None, f"{model.name} gave a vector of {len(vector)} dimensions and has {model.dims} here"
            return (vector, "") if models.usable(vector) else (None, f"{model.name} knows no word of it")
        except paid.UNASKED as error:
            # Logged once where it is refused, and not for each query.
            return None, f"{model.name} gave no vector: {error}"
        except Exception as error:
            LOG.warning("a query has no vector", model=model.name, error=f"{type(error).__name__}: {error}")
            return None, f"{model.name} gave no vector ({type(error).__name__}: {str(error)[:200]})"

    async def _shadow(self, tenant: str, query: Query) -> None:
        try:
            await shadowing.compare(self._database, tenant, self._embedders, query.text, query.filter, k=query.k)
        except paid.UNASKED:
            return
        except Exception as error:
            # The answer stands without it.
            LOG.warning("a shadow read failed", tenant=tenant, error=f"{type(error).__name__}: {error}")
