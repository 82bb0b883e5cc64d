"""Embedders of this installation: the packaged model, and any OpenAI-compatible endpoint beside it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import openai
from openai import AsyncOpenAI

from activities.model import translated
from contracts.errors import BadInput, PermanentError
from memory.embedding import LONGEST, Cached, Embedder, Packaged
from settings import Settings

BATCH = 128
"""Texts of one request; endpoints take from some hundred to 2,048."""


class Endpoint:
    """The embedding model of an endpoint. Its client's own retries are off: who asks decides whether to ask again."""

    def __init__(self, client: AsyncOpenAI, name: str) -> None:
        self._client = client
        self.name = name
        self.dims = 0

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector for each text, in order. Raises: ModelFault, PermanentError."""
        found: list[list[float]] = []
        for first in range(0, len(texts), BATCH):
            found += await self._batch([text[:LONGEST] for text in texts[first : first + BATCH]])
        return found

    async def _batch(self, texts: list[str]) -> list[list[float]]:
        try:
            reply = await self._client.embeddings.create(model=self.name, input=texts, encoding_format="float")
        except openai.OpenAIError as error:
            raise translated(error) from None
        except ValueError as error:
            raise PermanentError(f"the reply of embedding model {self.name!r} cannot be read ({type(error).__name__})") from None
        vectors = [item.embedding for item in sorted(reply.data, key=lambda item: item.index)]
        lengths = {len(vector) for vector in vectors} | ({self.dims} if self.dims else set[int]())
        if len(vectors) != len(texts) or len(lengths) != 1:
            raise PermanentError(f"embedding model {self.name!r} gave {len(vectors)} vectors for {len(texts)} texts, of {lengths} numbers")
        self.dims = lengths.pop()
        return vectors


@asynccontextmanager
async def embedders_of(settings: Settings) -> AsyncGenerator[list[Embedder]]:
    """Open the embedders of this installation, the one that new tenants get first. Each keeps what it made lately."""
    packaged = Cached(Packaged())
    if settings.embedding_base_url is None:
        yield [packaged]
        return
    if settings.embedding_model is None:
        raise BadInput("PERDURE_EMBEDDING_BASE_URL is set and PERDURE_EMBEDDING_MODEL is not: name the model")
    key = settings.embedding_api_key.get_secret_value() if settings.embedding_api_key else "none"
    async with AsyncOpenAI(base_url=settings.embedding_base_url, api_key=key, max_retries=0, timeout=settings.model_timeout) as client:
        yield [Cached(Endpoint(client, settings.embedding_model)), packaged]
