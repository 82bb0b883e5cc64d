"""The embedding model of any OpenAI-compatible endpoint: one request, its faults told apart, and what it says that was used."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import openai
from openai import AsyncOpenAI

from activities.model import LONGEST as PATIENT
from activities.model import translated
from activities.model_faults import Rejected
from contracts.errors import PermanentError
from memory import models
from memory.embedding import BATCH, LONGEST, Unfit

COUNTABLE = 10**9
"""Tokens of one request; more are no count."""
UNFIT = frozenset({400, 413, 422})
"""What endpoints say to a text that is too long for them, or to too many. Source: OpenAI (400), TEI (413), vLLM (400), others (422)."""


@dataclass(frozen=True, slots=True)
class Made:
    """A reply, not looked through yet. tokens: what the endpoint says it has used, None where it did not count."""

    data: Any
    tokens: int | None


class Endpoint:
    """The embedding model of an endpoint. Its client's own retries are off: who asks decides whether to ask again."""

    def __init__(self, client: AsyncOpenAI, name: str) -> None:
        self._client = client
        self.name = name
        self.dims = 0
        self.seconds = client.timeout if isinstance(client.timeout, int | float) else PATIENT
        """How long one request may take."""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector for each text, in order. Raises: ModelFault, PermanentError."""
        found: list[list[float]] = []
        for first in range(0, len(texts), BATCH):
            batch = [text[:LONGEST] for text in texts[first : first + BATCH]]
            found += self.vectors(await self.ask(batch), len(batch))
        return found

    async def ask(self, texts: list[str]) -> Made:
        """Make one request. Raises: ModelFault, Rejected, Unfit, PermanentError where the reply cannot be read."""
        try:
            reply = await self._client.embeddings.create(model=self.name, input=texts, encoding_format="float")
        except openai.OpenAIError as error:
            fault = translated(error)
            if isinstance(error, openai.APIStatusError) and error.status_code in UNFIT:
                raise Unfit(str(fault)) from None
            raise (Rejected(str(fault)) if isinstance(fault, PermanentError) else fault) from None
        except ValueError as error:
            raise self._unreadable(error) from None
        # The client does not look whether a reply has the form of the API.
        return Made(getattr(reply, "data", None), _counted(getattr(reply, "usage", None)))

    def vectors(self, made: Made, texts: int) -> list[list[float]]:
        """Return the vectors of a reply, in the order of the ``texts`` texts. Raises: PermanentError."""
        try:
            vectors: list[list[float]] = [item.embedding for item in sorted(made.data, key=lambda item: item.index)]
            # What is no number, or none that a vector can have, raises here.
            lengths = {len([*map(math.isfinite, vector)]) for vector in vectors}
        except (TypeError, AttributeError, OverflowError) as error:
            raise self._unreadable(error) from None
        if len(vectors) != texts or len(lengths) != 1:
            raise PermanentError(f"embedding model {self.name!r} gave {len(vectors)} vectors for {texts} texts, of {lengths} numbers")
        if lengths != {self.dims or max(lengths)}:
            raise PermanentError(f"embedding model {self.name!r} gave vectors of {max(lengths)} numbers and has {self.dims} here")
        if texts > 1 and not any(map(models.usable, vectors)):
            raise PermanentError(f"embedding model {self.name!r} gave {texts} vectors that point nowhere")
        self.dims = max(lengths)
        return vectors

    def _unreadable(self, error: Exception) -> PermanentError:
        return PermanentError(f"the reply of embedding model {self.name!r} cannot be read ({type(error).__name__})")


def _counted(usage: Any) -> int | None:
    # One that counts nothing for something has not counted.
    given = [getattr(usage, name, None) for name in ("prompt_tokens", "total_tokens")]
    return max((count for count in given if type(count) is int and 0 < count <= COUNTABLE), default=None)
