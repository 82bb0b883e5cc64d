"""Queries of a file, and the answers of any tenant's memory to them."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.errors import BadInput, PerdureError
from database import Database
from memory import bounds, filters, importing, json_lines, models, search
from memory.embedding import Embedder
from memory.filters import Filter
from memory.json_lines import Fault
from memory.models import Model
from memory.search import Answer, Query
from settings import Settings

FIELDS = ("id", "query", "tenant")
EXAMPLE = '{"id": "q1", "query": "…", "tenant": "default", "filter": {"speakers": ["ann"]}}'


@dataclass(frozen=True, slots=True)
class Asked:
    """One query. id: what its answer is to be told apart by."""

    id: str
    query: str
    tenant: str
    filter: Filter


def read(path: Path, tenant: str) -> list[Asked]:
    """Return the queries of a file. tenant: whose a query is that doesn't say. Raises: BadInput naming the broken lines."""
    asked: list[Asked] = []
    broken: list[Fault] = []
    try:
        for number, given in json_lines.read(path, EXAMPLE):
            try:
                if isinstance(given, Fault):
                    broken.append(given)
                else:
                    asked.append(parse(given, tenant))
            except BadInput as error:
                broken.append(Fault(number, str(error)))
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from None
    if broken:
        raise BadInput(f"{path}: {len(broken)} lines are broken, so none is asked\n{json_lines.told(broken)}")
    return asked


def parse(given: dict[str, Any], tenant: str) -> Asked:
    """Return the query that a line means. Raises: BadInput."""
    wanted: Any = {} if given.get("filter") is None else given["filter"]
    if not isinstance(wanted, dict):
        raise BadInput(f"filter is a JSON {json_lines.KINDS[type(wanted)]}; right is {EXAMPLE}")
    said = json_lines.texts({name: value for name, value in given.items() if name != "filter"}, FIELDS, ("id", "query"), EXAMPLE)
    whose, text = json_lines.tenant(said.get("tenant", tenant)), bounds.text(said["query"], "query")
    return Asked(bounds.name(said["id"], "id"), text, whose, filters.read(wanted))


class Recalling:
    """Answers queries of any tenant, each with the embedder of that tenant's model."""

    def __init__(self, database: Database, embedders: Sequence[Embedder]) -> None:
        self._database = database
        self._embedders = {embedder.name: embedder for embedder in embedders}

    async def require(self, tenant: str) -> None:
        """Raise BadInput where the tenant does not exist."""
        async with self._database.transaction(tenant) as tx:
            if not await importing.exists(tx):
                raise BadInput(f"tenant {tenant!r} does not exist")

    async def answer(self, asked: Asked, k: int) -> Answer:
        """Answer one query. A vector that cannot be made costs meaning, never the answer, which says so."""
        async with self._database.transaction(asked.tenant) as tx:
            model = await models.active(tx)
        vector, why = await self._vector(asked, model) if model else (None, search.NO_MODEL)
        query = Query(asked.query, vector, asked.filter, k, model.id if model else None, why)
        async with self._database.transaction(asked.tenant) as tx, self._database.beside(asked.tenant) as beside:
            return await search.search(tx, query, beside)

    async def _vector(self, asked: Asked, model: Model) -> tuple[list[float] | None, str]:
        # Imported here: no other command is to wait for the client of an endpoint.
        from activities.paid import asked_by

        embedder = self._embedders.get(model.name)
        if embedder is None:
            return None, f"nothing here embeds with model {model.name}"
        try:
            (vector,) = await asked_by(asked.tenant, embedder).embed([asked.query])
        except PerdureError as error:
            return None, f"{embedder.name} gave no vector: {error}"
        if len(vector) != model.dims:
            return None, f"{embedder.name} gave a vector of {len(vector)} dimensions and has {model.dims} here"
        # A text without one word that the model knows points nowhere.
        return (vector, "") if models.usable(vector) else (None, f"{embedder.name} knows no word of the query")


@asynccontextmanager
async def recalling(settings: Settings, database: Database) -> AsyncGenerator[Recalling]:
    """Open what answers queries."""
    # Imported here: no other command is to wait for the client of an endpoint.
    from activities.embedder import embedders_of

    async with embedders_of(settings, database) as embedders:
        yield Recalling(database, embedders)
