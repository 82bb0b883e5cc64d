"""Embedders of this installation: the packaged model, and any OpenAI-compatible endpoint beside it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from activities.paid import Paid
from contracts.errors import BadInput
from database import Database
from memory import allowance
from memory.allowance import Terms
from memory.embedding import Cached, Embedder, Packaged
from settings import Settings

if TYPE_CHECKING:
    from activities.endpoint import Endpoint


@asynccontextmanager
async def embedders_of(settings: Settings, database: Database | None = None) -> AsyncGenerator[list[Embedder]]:
    """Open the embedders of this installation, the one that new tenants get first. Each keeps what it made lately.

    database: has the allowances from which an endpoint is paid; one that costs is not opened without it.
    Raises: BadInput where a setting is missing, or what the endpoint may cost is not bounded.
    """
    packaged = Cached(Packaged())
    agreed = allowance.terms(settings)
    if settings.embedding_base_url is None:
        yield [packaged]
        return
    if settings.embedding_model is None:
        raise BadInput("PERDURE_EMBEDDING_BASE_URL is set and PERDURE_EMBEDDING_MODEL is not: name the model")
    # Imported here: the SDK takes a third of a command's start, and with the packaged model nobody needs it.
    from openai import AsyncOpenAI

    from activities.endpoint import Endpoint

    key = settings.embedding_api_key.get_secret_value() if settings.embedding_api_key else "none"
    async with AsyncOpenAI(base_url=settings.embedding_base_url, api_key=key, max_retries=0, timeout=settings.model_timeout) as client:
        yield [_kept(Endpoint(client, settings.embedding_model), agreed, database), packaged]


def _kept(endpoint: "Endpoint", agreed: Terms | None, database: Database | None) -> Embedder:
    if agreed is None:
        return Cached(endpoint)
    if database is None:
        raise BadInput(f"embeddings of {endpoint.name!r} cost, and here is no database that has the allowance")
    return Paid(endpoint, database, agreed)
