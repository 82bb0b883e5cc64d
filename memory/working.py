"""The working tier: what one process has at hand of the sessions it works on; bounded, and safe to lose."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Key = tuple[str, str, int]
"""Tenant, session, and the version that it was made from."""


@dataclass(frozen=True, slots=True)
class _Entry:
    value: Any
    size: int
    until: float


class Working:
    """Keeps what was used last. A version is never asked for again once another stands, so nothing here is ever stale.

    entries, size: how many at most, and their sizes together. seconds: after so long one is forgotten in any case, so that what
    an erasure took out of the database does not live on in the processes that had read it.
    """

    def __init__(
        self, *, entries: int = 1_000, size: int = 32_000_000, seconds: float = 300.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._entries, self._size, self._seconds = entries, size, seconds
        self._clock = clock
        self._held: OrderedDict[Key, _Entry] = OrderedDict()
        self._total = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def size(self) -> int:
        """The sizes of all entries together."""
        return self._total

    def get(self, tenant: str, session: str, version: int) -> Any | None:
        """Return what was put there, or None."""
        key = (tenant, session, version)
        if (entry := self._held.get(key)) is None:
            return None
        if entry.until <= self._clock():
            self._drop(key)
            return None
        self._held.move_to_end(key)
        return entry.value

    def put(self, tenant: str, session: str, version: int, value: Any, size: int) -> None:
        """Keep something; what was used longest ago makes room. size: in bytes, as the caller reckons it.

        Older versions of the session go at once. What would not fit alone is not kept.
        """
        for key in [key for key in self._held if key[:2] == (tenant, session) and key[2] <= version]:
            self._drop(key)
        if size > self._size or self._entries < 1:
            return
        self._held[tenant, session, version] = _Entry(value, size, self._clock() + self._seconds)
        self._total += size
        while len(self._held) > self._entries or self._total > self._size:
            self._drop(next(iter(self._held)))

    def forget(self, tenant: str, session: str | None = None) -> int:
        """Let go of a tenant's sessions, or of one of them, and return how many entries that were."""
        keys = [key for key in self._held if key[0] == tenant and session in (None, key[1])]
        for key in keys:
            self._drop(key)
        return len(keys)

    def _drop(self, key: Key) -> None:
        self._total -= self._held.pop(key).size
