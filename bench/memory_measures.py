"""What is measured of a memory: how long recalls take, what of the true neighbours they find, and whether any comes back short."""

import statistics
import time
from dataclasses import dataclass

import numpy as np

from activities.recall_watch import RecallWatch, Review
from bench.corpus import FACETS
from bench.memory_store import Memory
from memory import monitor
from memory.filters import Filter, read
from memory.knobs import Knobs, knobs, raise_to
from memory.monitor import Report
from memory.samples import MOST, Sample
from memory.search import Query, search

SHARES = ("100 %", *FACETS)
K = 10


@dataclass(frozen=True)
class Times:
    """Milliseconds of some queries, the transaction around each included."""

    all: list[float]

    @property
    def p50(self) -> float:
        """Their median."""
        return statistics.median(self.all)

    @property
    def p95(self) -> float:
        """Their 95th percentile."""
        return sorted(self.all)[int(len(self.all) * 0.95)]


@dataclass(frozen=True)
class Served:
    """Hybrid recalls with filters of one share, and by which mode their vectors were searched."""

    times: Times
    modes: dict[str, int]


async def hybrid(memory: Memory, share: str, count: int) -> Served:
    """Ask the memory, one query after another."""
    times: list[float] = []
    modes: dict[str, int] = {}
    for question, filter in zip(memory.corpus.questions(count), memory.filters(share, count), strict=True):
        began = time.perf_counter()
        async with memory.database.transaction(memory.tenant) as tx, memory.database.beside(memory.tenant) as beside:
            answer = await search(tx, Query(question.text, question.embedding, filter, K), beside)
        times.append((time.perf_counter() - began) * 1000)
        modes[answer.mode] = modes.get(answer.mode, 0) + 1
    return Served(Times(times), modes)


async def watched(memory: Memory, count: int = MOST) -> Review | None:
    """Ask so many queries that are kept as samples, and let the watch over recall do its work on them."""
    async with memory.database.transaction(memory.tenant) as tx:
        await raise_to(tx, memory.model.id, Knobs(sampled=1), "the benchmark's own")
    for share in SHARES[:3]:
        await hybrid(memory, share, count // 3)
    return await RecallWatch(memory.database, memory.tenant, seconds=600).review(memory.tenant, memory.model)


async def recall(memory: Memory, share: str, count: int) -> Report:
    """Let the monitor compare what is served with exact search."""
    async with memory.database.transaction(memory.tenant, isolation="REPEATABLE READ") as tx:
        seen = await monitor.snapshot(tx, memory.model, samples(memory, share, count))
        return await monitor.compare(tx, seen, await knobs(tx, memory.model.id))


async def injected(memory: Memory) -> tuple[Report, bool]:
    """Let the monitor prove itself on a search with ``ef_search = 10``."""
    async with memory.database.transaction(memory.tenant, isolation="REPEATABLE READ") as tx:
        return await monitor.prove(tx, await monitor.snapshot(tx, memory.model, samples(memory, SHARES[0], 50)))


async def unaided(memory: Memory, share: str, count: int) -> Report:
    """Compare what the index alone finds, at its default settings: exact search is kept from helping."""
    async with memory.database.transaction(memory.tenant, isolation="REPEATABLE READ") as tx:
        seen = await monitor.snapshot(tx, memory.model, samples(memory, share, count))
        return await monitor.compare(tx, seen, Knobs(exact_below=0))


def samples(memory: Memory, share: str, count: int) -> list[Sample]:
    """Return queries as the monitor keeps them."""
    asked = zip(memory.corpus.questions(count), memory.filters(share, count), strict=True)
    return [Sample(nth, question.embedding, filter, K, 0.99) for nth, (question, filter) in enumerate(asked)]


@dataclass(frozen=True)
class Short:
    """Random queries. short: those that came back with fewer than k though more match, as (filter, k, rows, matching)."""

    asked: int
    short: list[tuple[Filter, int, int, int]]
    seconds: float


async def shortness(memory: Memory, count: int) -> Short:
    """Ask random queries with random filters of none to three fields and k of 1 to 50, and count what each should have found."""
    random = np.random.default_rng(19)
    found: list[tuple[Filter, int, int, int]] = []
    began = time.perf_counter()
    for question in memory.corpus.questions(count):
        given, matching = memory.corpus.drawn(random)
        filter, k = read(given), int(random.choice([1, 5, 10, 20, 50]))
        async with memory.database.transaction(memory.tenant) as tx:
            answer = await search(tx, Query(question.text, question.embedding, filter, k))
        if len(answer.hits) < min(k, matching):
            found.append((filter, k, len(answer.hits), matching))
    return Short(count, found, time.perf_counter() - began)
