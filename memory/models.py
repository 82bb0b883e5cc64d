"""Embedding models: the table that is laid for each, and which of them a tenant uses."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import asyncpg

from contracts.errors import BadInput
from database import MIGRATION_LOCK, SEARCH_PATH, Tx

State = Literal["building", "shadow", "active", "retired"]
MOST_DIMS = 4_000
"""What an index of half-precision vectors takes. Source: pgvector README, HNSW."""
LONGEST_NAME = 200
LARGEST = 65_504.0
SMALLEST = 6e-8
"""What a half-precision number can hold, and the least that is not 0 in it."""
LAID = """
SELECT substr(relname, 10)::integer AS id, obj_description(oid, 'pg_class') AS told FROM pg_class
 WHERE relnamespace = 'perdure'::regnamespace AND relkind = 'p' AND relname ~ '^fact_vec_[0-9]+$' ORDER BY 1
"""
READ = "SELECT id, name, dims, state FROM embedding_model WHERE tenant = $1 ORDER BY at, id"
ACTIVE = "SELECT id, name, dims, state FROM embedding_model WHERE tenant = $1 AND state = 'active'"


@dataclass(frozen=True, slots=True)
class Model:
    """An embedding model. id: the number in its table's name, the same for all tenants."""

    id: int
    name: str
    dims: int
    state: State = "active"

    @property
    def table(self) -> str:
        """The table of its vectors."""
        return f"fact_vec_{self.id}"


async def laid(tx: Tx) -> list[Model]:
    """Return every model that has a table, whichever tenant uses it; the state says nothing here."""
    return [_laid(row) for row in await tx.fetch(LAID)]


async def tables(tx: Tx) -> list[str]:
    """Return the names of all vector tables, whichever tenant uses them."""
    return [model.table for model in await laid(tx)]


async def active(tx: Tx) -> Model | None:
    """Return the model that answers this tenant's queries, None where it has none yet."""
    row = await tx.row(ACTIVE, tx.tenant)
    return Model(**dict(row)) if row else None


async def of_tenant(tx: Tx) -> list[Model]:
    """Return the tenant's models, in the order in which they came."""
    return [Model(**dict(row)) for row in await tx.fetch(READ, tx.tenant)]


async def lay(owner_url: str, name: str, dims: int) -> Model:
    """Make the table of a model's vectors where there is none. Only an owner may; tenants then `adopt` the model.

    Raises: BadInput for dimensions that no index takes, or other ones than the model has already.
    """
    if not 1 <= dims <= MOST_DIMS:
        raise BadInput(f"model {name!r} has {dims} dimensions; 1 to {MOST_DIMS} can be indexed")
    if not name.isprintable() or not 1 <= len(name) <= LONGEST_NAME:
        raise BadInput(f"a model's name is 1 to {LONGEST_NAME} printable characters, and not {name[:40]!r}")
    connection = await asyncpg.connect(owner_url, server_settings=SEARCH_PATH)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
            await connection.execute("SET LOCAL ROLE perdure_owner")
            return await _lay(connection, name, dims)
    finally:
        await connection.close()


async def _lay(connection: Any, name: str, dims: int) -> Model:
    there = [_laid(row) for row in await connection.fetch(LAID)]
    for model in there:
        if model.name == name:
            if model.dims != dims:
                raise BadInput(f"model {name!r} is laid with {model.dims} dimensions; give another version another name")
            return model
    number = max((model.id for model in there), default=0) + 1
    await connection.execute("SELECT lay_vectors($1, $2, $3)", number, name, dims)
    return Model(number, name, dims)


def _laid(row: Any) -> Model:
    told = json.loads(row["told"])
    return Model(row["id"], told["name"], told["dims"])


def usable(vector: Sequence[float]) -> bool:
    """Tell whether a vector points anywhere: a model that knows no word of a text gives zeros, or no numbers at all."""
    return all(math.isfinite(value) and abs(value) <= LARGEST for value in vector) and any(abs(value) >= SMALLEST for value in vector)


def checked(model: Model, embedding: Sequence[float], where: str = "the query") -> list[float]:
    """Return a vector that this model can have made. Raises: BadInput for other dimensions, or for what points nowhere."""
    if len(embedding) != model.dims:
        raise BadInput(f"{where}: a vector of {len(embedding)} dimensions; model {model.name!r} has {model.dims}")
    numbers = [float(value) for value in embedding]
    if not usable(numbers):
        raise BadInput(f"{where}: a vector must have finite numbers up to {LARGEST:g}, and not be 0 in all of them")
    return numbers
