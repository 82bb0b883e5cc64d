"""How one embedding model follows another: built beside it, read in its shadow, put in its place, and taken back.

    adopt -> building --shadow()--> shadow --switch()--> active --switch() of another, or back()--> retired --leave()--> gone

Every model a tenant has is fed with new facts, the retired one too: that is what makes `back` a matter of one row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.errors import BadInput
from database import Tx
from memory import backlog, models, neighbours, tombstones, vectors
from memory.filters import Filter
from memory.knobs import Knobs, knobs
from memory.models import Model, State

ADOPT = """
INSERT INTO embedding_model (tenant, id, name, dims, state)
SELECT $1, $2, $3, $4, CASE WHEN EXISTS (SELECT FROM embedding_model WHERE tenant = $1) THEN 'building' ELSE 'active' END
ON CONFLICT DO NOTHING
"""
LOCK = "SELECT id FROM embedding_model WHERE tenant = $1 ORDER BY id FOR UPDATE"
MOVE = "UPDATE embedding_model SET state = $3, since = clock_timestamp() WHERE tenant = $1 AND id = $2"
LATEST = "SELECT name FROM embedding_model WHERE tenant = $1 AND state = 'retired' ORDER BY since DESC LIMIT 1"
LEAVE = "DELETE FROM embedding_model WHERE tenant = $1 AND id = $2"
EMPTY_DUE = "DELETE FROM vector_due WHERE tenant = $1 AND model = $2"
NOTE = """
INSERT INTO shadow_read (tenant, active, shadow, k, agreed, active_found, active_true, shadow_found, shadow_true)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
READS = """
SELECT count(*) AS reads, coalesce(sum(agreed)::float8 / nullif(sum(k), 0), 0) AS agreed,
       coalesce(sum(active_found)::float8 / nullif(sum(active_true), 0), 0) AS active,
       coalesce(sum(shadow_found)::float8 / nullif(sum(shadow_true), 0), 0) AS shadow
  FROM shadow_read WHERE tenant = $1 AND shadow = $2 AND at >= (SELECT since FROM embedding_model WHERE tenant = $1 AND id = $2)
"""
TEXTS = "SELECT body FROM fact WHERE tenant = $1 AND superseded_at IS NULL ORDER BY random() LIMIT $2"
TIE = 1e-6


@dataclass(frozen=True, slots=True)
class Reads:
    """What shadow reads found. agreed: share of hits both models gave; active, shadow: each one's recall against its own exact search."""

    reads: int
    agreed: float
    active: float
    shadow: float


async def adopt(tx: Tx, name: str) -> Model:
    """Let the tenant use a model whose table is laid: the first is active at once, a later one is built first.

    Raises: BadInput where there is no such table.
    """
    known = {model.name: model for model in await models.laid(tx)}
    if name not in known:
        raise BadInput(f"no table is laid for model {name!r}; there are {', '.join(sorted(known))}")
    chosen = known[name]
    if not await models.of_tenant(tx):
        # Who writes at this moment cannot know of the model and is not seen yet: unless waited for, nobody would ever make those vectors.
        # A later model is given what it missed before it is read (`shadow`).
        await tombstones.lock(tx)
    await tx.execute(ADOPT, tx.tenant, chosen.id, chosen.name, chosen.dims)
    model = await named(tx, name)
    await backlog.enqueue(tx, model)
    return model


async def named(tx: Tx, name: str) -> Model:
    """Return the tenant's model of this name. Raises: BadInput where it has none."""
    known = {model.name: model for model in await models.of_tenant(tx)}
    if name not in known:
        raise BadInput(f"the tenant has no model {name!r}; it has {', '.join(sorted(known)) or 'none'}")
    return known[name]


async def shadow(tx: Tx, name: str) -> Model:
    """Let real queries be asked of a model that was built, beside the one in use. Raises: BadInput where vectors are missing."""
    model = await _in_state(tx, name, "building")
    # Also what was written while the model came, by who could not know of it yet.
    if missing := await backlog.enqueue(tx, model) + await backlog.waiting(tx, model):
        raise BadInput(f"model {name!r} is still being built: about {missing} facts have no vector yet; let the indexer work on")
    if fresh := (await vectors.counts(tx, model))[1]:
        raise BadInput(f"model {name!r} is still being built: {fresh} vectors are not indexed yet; let the indexer work on")
    await tx.execute(MOVE, tx.tenant, model.id, "shadow")
    return await named(tx, name)


async def switch(tx: Tx, name: str, *, recall: float = 0.99, reads: int = 50) -> Model:
    """Put a model in the place of the one in use, which stays fed and can be taken back.

    recall, reads: what its shadow reads must have found, and how many there must have been. Raises: BadInput where they have not.
    """
    model = await _in_state(tx, name, "shadow")
    found = await read(tx, model)
    if found.reads < reads or found.shadow < recall:
        raise BadInput(
            f"model {name!r} is not ready: {found.reads} of {reads} shadow reads, recall {found.shadow:.3f} where {recall:g} is asked for"
        )
    return await _replace(tx, model)


async def back(tx: Tx) -> Model:
    """Put the model that was used before in its place again. Raises: BadInput where there is none."""
    await tx.fetch(LOCK, tx.tenant)
    name = await tx.value(LATEST, tx.tenant)
    if name is None:
        raise BadInput("no model was used before this one, or it was left")
    return await _replace(tx, await named(tx, name))


async def _replace(tx: Tx, model: Model) -> Model:
    if used := await models.active(tx):
        await tx.execute(MOVE, tx.tenant, used.id, "retired")
    await tx.execute(MOVE, tx.tenant, model.id, "active")
    return await named(tx, model.name)


async def leave(tx: Tx, name: str) -> int:
    """Throw away a model that is not in use, with its vectors, and return how many there were. Raises: BadInput for the active one."""
    model = await named(tx, name)
    if model.state == "active":
        raise BadInput(f"model {name!r} is in use; switch to another one first")
    await tx.execute(LEAVE, tx.tenant, model.id)
    await tx.execute(EMPTY_DUE, tx.tenant, model.id)
    return await vectors.empty(tx, model)


async def _in_state(tx: Tx, name: str, wanted: State) -> Model:
    await tx.fetch(LOCK, tx.tenant)
    model = await named(tx, name)
    if model.state != wanted:
        raise BadInput(f"model {name!r} is {model.state}; only one that is {wanted} can be moved on")
    return model


async def compare(
    tx: Tx, used: tuple[Model, Sequence[float]], following: tuple[Model, Sequence[float]], filter: Filter, *, k: int = 10
) -> None:
    """Ask both models the same, as queries do and exactly, and note what each found. Each comes with its own vector of the query."""
    first, second = await _asked(tx, *used, filter, k), await _asked(tx, *following, filter, k)
    agreed = len(first[0] & second[0])
    await tx.execute(NOTE, tx.tenant, used[0].id, following[0].id, k, agreed, *first[1:], *second[1:])


async def _asked(tx: Tx, model: Model, embedding: Sequence[float], filter: Filter, k: int) -> tuple[set[int], int, int]:
    held = await knobs(tx, model.id)
    live = await neighbours.nearest(tx, model, embedding, filter, limit=k, knobs=held)
    true = await neighbours.nearest(tx, model, embedding, filter, limit=k, knobs=Knobs(exact_only=True))
    furthest = true.rows[-1][1] if true.rows else 0.0
    # Facts as near as the last one are as good as it.
    found = sum(cosine >= furthest - TIE for _, cosine in live.rows)
    return {fact for fact, _ in live.rows}, min(found, len(true.rows)), len(true.rows)


async def read(tx: Tx, model: Model) -> Reads:
    """Return what the shadow reads of a model found."""
    row = await tx.row(READS, tx.tenant, model.id)
    return Reads(**dict(row)) if row else Reads(0, 0.0, 0.0, 0.0)


async def texts(tx: Tx, limit: int) -> list[str]:
    """Return the texts of some facts, picked by chance: something to ask where nobody asks."""
    return [row["body"] for row in await tx.fetch(TEXTS, tx.tenant, limit)]
