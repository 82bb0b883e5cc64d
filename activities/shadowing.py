"""Shadow reads: the same query asked of the model in use and of the one that is to follow it."""

from collections.abc import Mapping

from activities import paid
from database import Database
from memory import models, succession
from memory.embedding import Embedder
from memory.filters import Filter
from memory.models import Model

REHEARSED = 50
"""Shadow reads that are made of facts' own texts, so that a tenant whom nobody asks can follow too."""
AT_ONCE = 10


async def compare(database: Database, tenant: str, embedders: Mapping[str, Embedder], text: str, filter: Filter, *, k: int = 10) -> bool:
    """Ask a query of both models and note what each found; False where no model is in the shadow of the one in use."""
    async with database.transaction(tenant) as tx:
        known = {model.state: model for model in await models.of_tenant(tx)}
    if "shadow" not in known or "active" not in known:
        return False
    pair = known["active"], known["shadow"]
    if any(model.name not in embedders for model in pair):
        return False
    used, following = [(await paid.asked_by(tenant, embedders[model.name]).embed([text]))[0] for model in pair]
    async with database.transaction(tenant) as tx:
        await succession.compare(tx, (pair[0], used), (pair[1], following), filter, k=k)
    return True


async def rehearse(database: Database, tenant: str, embedders: Mapping[str, Embedder], model: Model) -> int:
    """Ask for some facts by the first half of their text, until there are shadow reads enough; return how many were made."""
    async with database.transaction(tenant) as tx:
        left = REHEARSED - (await succession.read(tx, model)).reads
        texts = await succession.texts(tx, min(left, AT_ONCE)) if left > 0 else []
    return sum([await compare(database, tenant, embedders, text[: max(len(text) // 2, 20)], Filter()) for text in texts])
