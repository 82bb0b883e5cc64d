"""How often one address may try, a bucket that fills up again with time, and how much one person may hold open."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from dataclasses import dataclass

KEPT = 10_000  # addresses remembered; the one that was silent for longest is forgotten first


@dataclass
class Limit:
    """So many tries at once, and so many more each minute."""

    tries: int
    per_minute: float
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spent(self, address: str) -> bool:
        """Tell whether the next try would not be heard, without counting one."""
        left, since = self._left.get(address, (float(self.tries), 0.0))
        return left + (self.clock() - since) * self.per_minute / 60 < 1

    def spend(self, address: str, seconds: float) -> None:
        """Let an address' next try be heard only in so many seconds, as others who count the same have found."""
        left = 1 - seconds * self.per_minute / 60
        self._left.pop(address, None)
        self._left[address] = (left, self.clock())

    def wait(self, address: str) -> int:
        """Count a try and return 0, or return after how many seconds the next one is heard."""
        now = self.clock()
        left, since = self._left.pop(address, (float(self.tries), now))
        left = min(float(self.tries), left + (now - since) * self.per_minute / 60)
        allowed = left >= 1
        self._left[address] = (left - 1 if allowed else left, now)
        while len(self._left) > KEPT:
            self._left.popitem(last=False)
        return 0 if allowed else max(1, round((1 - left) * 60 / self.per_minute))


@dataclass
class Seats:
    """So many at once for each, and no more."""

    most: int

    def __post_init__(self) -> None:
        self._taken: Counter[Hashable] = Counter()

    def full(self, whose: Hashable) -> bool:
        """Tell whether there is none left."""
        return self._taken[whose] >= self.most

    @contextmanager
    def taken(self, whose: Hashable) -> Generator[None]:
        """Hold one for as long as the block runs."""
        self._taken[whose] += 1
        try:
            yield
        finally:
            self._taken[whose] -= 1
            if not self._taken[whose]:
                del self._taken[whose]
