"""Embedders: what turns texts into vectors of one model, the one that comes with a package, and a cache before any."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from contracts.errors import PermanentError

PACKAGED = "wordllama"
PACKAGED_DIMS = 256
LONGEST = 20_000
"""Characters of a text that its vector stands for."""
BATCH = 128
"""Texts of one request; endpoints take from some hundred to 2,048."""
KEPT = 10_000
"""Vectors that a cache keeps: 20 MB of the packaged model's."""


class Unfit(PermanentError):
    """An endpoint refused what it was asked for: a text is too long for it, or they are too many at once. It has done nothing for it."""


class Embedder(Protocol):
    """Turns texts into vectors of one model."""

    @property
    def name(self) -> str:
        """The model's name, as `memory.models` knows it."""
        ...

    @property
    def dims(self) -> int:
        """Numbers in a vector; 0 as long as nobody knows."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector for each text, in order. Raises: TransientError, PermanentError, or of these Unfit."""
        ...


class Packaged:
    """A small model of static word vectors that comes with a package: no network, no GPU, some thousand texts a second.

    A text without a single word that it knows has a vector of zeros or of no numbers at all.
    """

    name = PACKAGED
    dims = PACKAGED_DIMS

    def __init__(self) -> None:
        self._loading = asyncio.Lock()
        self._model: Any = None

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector of length 1 for each text. The work is done in a thread, so that nobody's event loop waits for it."""
        async with self._loading:
            if self._model is None:
                self._model = await asyncio.to_thread(_load)
        return await asyncio.to_thread(_embed, self._model, [text[:LONGEST] for text in texts])


def _load() -> Any:
    # Imported here: programs that never embed do without half a second of it.
    import wordllama

    # Its own look-up of the tokenizer misses the file that the package carries.
    return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)


def _embed(model: Any, texts: list[str]) -> list[list[float]]:
    import numpy as np

    # Not its own `norm`: that divides by zero where it knows no word.
    found = model.embed(texts, norm=False)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return (found / np.where(lengths > 0, lengths, 1.0)).tolist()


class Cached:
    """An embedder that asks another one only for texts it has not seen lately, once for each text."""

    def __init__(self, inner: Embedder, *, kept: int = KEPT, known: OrderedDict[bytes, list[float]] | None = None) -> None:
        """known: what another cache of the same model keeps, to be shared with it."""
        self._inner = inner
        self._kept = kept
        self._known: OrderedDict[bytes, list[float]] = OrderedDict() if known is None else known

    @property
    def name(self) -> str:
        """The model's name."""
        return self._inner.name

    @property
    def dims(self) -> int:
        """Numbers in a vector."""
        return self._inner.dims

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector for each text, in order."""
        digests = [digest(text) for text in texts]
        known = {each: self._known[each] for each in digests if each in self._known}
        missing = {each: text for each, text in zip(digests, texts, strict=True) if each not in known}
        if missing:
            known |= dict(zip(missing, await self._inner.embed(list(missing.values())), strict=True))
        for each in dict.fromkeys(digests):
            self._known[each] = known[each]
            self._known.move_to_end(each)
        while len(self._known) > self._kept:
            self._known.popitem(last=False)
        return [known[each] for each in digests]

    def over(self, inner: Embedder) -> Self:
        """Return a cache that shares what this one keeps and asks another embedder of the same model for the rest."""
        return type(self)(inner, kept=self._kept, known=self._known)

    def forget(self) -> None:
        """Empty the cache."""
        self._known.clear()


def digest(text: str) -> bytes:
    """Return the SHA-256 of a text: the key of its vector."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
