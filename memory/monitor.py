"""The recall monitor: real queries asked again, exactly and as they are served, in one snapshot, and what really ran for each."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from database import Tx
from memory import neighbours, search
from memory.confidence import Estimate, estimate
from memory.filters import Filter
from memory.knobs import Knobs
from memory.models import Model
from memory.samples import Sample

EPSILON = 1e-5
"""Distances that differ by less are a tie, and either neighbour is right: half-precision numbers tell no more."""
SECONDS = 120.0
"""How long one comparison may go on finding the true neighbours; what is left of the samples waits for another day."""
INJECTED = Knobs(ef_search=10, exact_below=0)
"""What the monitor proves itself on: a search that is known to be bad."""
WHOLE, INDEX, CODES = "every", "index", "codes"
SIZES = ((1_000, "<1k"), (10_000, "<10k"), (100_000, "<100k"), (1_000_000, "<1M"))
SHARES = ((0.75, "100 %"), (0.22, "50 %"), (0.032, "10 %"), (0.0032, "1 %"))
ROWS = "SELECT count(*) FROM {table} WHERE tenant = $1"
# A text of its own: a plan that was cached for the served query can never be this one's.
EXACT = """
SELECT v.fact, v.e <=> $2::real[]::halfvec AS distance, count(*) OVER () AS matching
  FROM {table} v JOIN fact f ON f.tenant = $1 AND f.num = v.fact
 WHERE v.tenant = $1 AND {condition} ORDER BY distance LIMIT $3
"""
# A plan that is explained is not the plan that ran, where a prepared statement has been given a generic one. These counters are: Postgres
# counts a scan when it begins, and a transaction sees its own at once.
SCANS = """
SELECT c.relname AS name, a.amname AS method, pg_stat_get_xact_numscans(c.oid) AS scans
  FROM unnest(ARRAY['fact', $1::text]) AS of (name) CROSS JOIN LATERAL pg_partition_tree(of.name::regclass) AS part
  CROSS JOIN LATERAL (SELECT part.relid::oid UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = part.relid) AS one (oid)
  JOIN pg_class c ON c.oid = one.oid JOIN pg_am a ON a.oid = c.relam
 WHERE part.isleaf AND pg_stat_get_xact_numscans(c.oid) > 0
"""
Near = tuple[int, float]
"""The number of a fact, and its distance."""
Serve = Callable[[Tx, Model, Sequence[float], Filter, int, Knobs], Awaitable[tuple[Sequence[Near], str]]]
"""Asks the vector arm for so many neighbours as a recall does, and returns them, nearest first, with the mode that it claims."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The true neighbours of a sample, nearest first. matching: facts that its filter leaves."""

    sample: Sample
    matching: int
    nearest: list[Near]

    def hits(self, found: Sequence[Near]) -> int:
        """Return how many true neighbours were found. What is as far as the last of them may stand in for it."""
        if not self.nearest:
            return 0
        true, last = {fact for fact, _ in self.nearest}, self.nearest[-1][1]
        near = {fact for fact, distance in found if fact in true or abs(distance - last) <= EPSILON}
        return min(len(near), len(self.nearest))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was asked of a store and its true answers. rows: vectors of the tenant."""

    model: Model
    rows: int
    truths: list[Truth]

    @property
    def target(self) -> float:
        """The strictest promise among the samples."""
        return max(truth.sample.target for truth in self.truths)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One sample, served. ran: what Postgres scanned for it. refused: why it is no evidence, else empty."""

    truth: Truth
    hits: int
    mode: str
    ran: tuple[str, ...]
    approximate: bool
    refused: str


@dataclass(frozen=True, slots=True)
class Group:
    """Samples of one selectivity; `every` is all of them, `index` those that an index answered, `codes` those that codes did.

    approximate: those for which an HNSW index was scanned.
    """

    selectivity: str
    estimate: Estimate
    approximate: int
    refused: int
    plans: dict[str, int]


@dataclass(frozen=True, slots=True)
class Report:
    """What a comparison found under these knobs."""

    model: int
    rows: int
    size: str
    target: float
    knobs: Knobs
    cause: str
    groups: list[Group]

    @property
    def whole(self) -> Group:
        """All samples."""
        return next(group for group in self.groups if group.selectivity == WHOLE)

    @property
    def low(self) -> list[Group]:
        """The groups that are large enough to judge by and whose lower bound misses the target."""
        return [group for group in self.groups if group.estimate.settles(self.target) and group.estimate.low < self.target]


def candidates(k: int) -> int:
    """Return how many candidates `memory.search` asks its vector arm for."""
    return max(search.POOL, 4 * k)


async def served(tx: Tx, model: Model, embedding: Sequence[float], filter: Filter, limit: int, knobs: Knobs) -> tuple[list[Near], str]:
    """Serve a sample as `memory.search` serves a query."""
    near = await neighbours.nearest(tx, model, embedding, filter, limit=limit, knobs=knobs)
    return [(fact, 1 - cosine) for fact, cosine in near.rows], near.mode


async def snapshot(tx: Tx, model: Model, samples: Sequence[Sample], *, seconds: float = SECONDS) -> Snapshot:
    """Find the true neighbours of the samples, in order, for at most so many seconds.

    tx: REPEATABLE READ, and the same one that `compare` is given, or the two would not speak of the same facts.
    """
    if await tx.value("SHOW transaction_isolation") != "repeatable read":
        raise AssertionError("a comparison needs one snapshot: open the transaction with isolation REPEATABLE READ")
    await tx.execute("SET LOCAL plan_cache_mode = force_custom_plan")
    await tx.execute("SET LOCAL enable_indexscan = off")
    before, rows = await _scans(tx, model), await tx.value(ROWS.format(table=model.table), tx.tenant)
    truths: list[Truth] = []
    deadline = time.monotonic() + seconds
    for sample in samples:
        truths.append(await _truth(tx, model, sample))
        if time.monotonic() > deadline:
            break
    if any(method == "hnsw" for _, method in await _scans(tx, model) - before):
        raise AssertionError("the exact side of a comparison scanned an HNSW index")
    await tx.execute("SET LOCAL enable_indexscan = on")
    return Snapshot(model, rows, truths)


async def _truth(tx: Tx, model: Model, sample: Sample) -> Truth:
    condition, values = sample.filter.sql(4)
    rows = await tx.fetch(EXACT.format(table=model.table, condition=condition), tx.tenant, sample.embedding, sample.k, *values)
    return Truth(sample, rows[0]["matching"] if rows else 0, [(row["fact"], row["distance"]) for row in rows])


async def compare(
    tx: Tx, seen: Snapshot, knobs: Knobs, serve: Serve = served, *, cause: str = "watch", pool: Callable[[int], int] = candidates
) -> Report:
    """Serve the samples of a snapshot under these knobs and report what was found of their true neighbours.

    pool: how many candidates are asked for where k are wanted.
    """
    found: list[Comparison] = []
    before = await _scans(tx, seen.model)
    for truth in seen.truths:
        sample = truth.sample
        answer, mode = await serve(tx, seen.model, sample.embedding, sample.filter, pool(sample.k), knobs)
        after = await _scans(tx, seen.model)
        found.append(_compared(truth, answer, mode, after - before))
        before = after
    parts = {WHOLE: found, INDEX: [one for one in found if one.approximate], CODES: [one for one in found if one.mode == "codes"]}
    for one in found:
        parts.setdefault(_share(one.truth.matching, seen.rows), []).append(one)
    groups = [_group(name, part) for name, part in parts.items() if part]
    return Report(seen.model.id, seen.rows, _size(seen.rows), seen.target, knobs, cause, groups)


async def prove(tx: Tx, seen: Snapshot, serve: Serve = served, *, most: int = 50) -> tuple[Report, bool]:
    """Serve some samples with ``ef_search = 10`` and tell whether the drop was seen: a monitor that says 1.000 is broken.

    Those whose filter leaves most are taken: where few are left, a scan that goes on until it has enough finds them all.
    """
    widest = sorted(seen.truths, key=lambda truth: -truth.matching)[:most]
    # No more candidates than are wanted, since a long list would make up for a short search.
    report = await compare(tx, replace(seen, truths=widest), INJECTED, serve, cause="self-test", pool=int)
    whole = report.whole
    return report, whole.approximate > 0 and not whole.refused and whole.estimate.recall is not None and whole.estimate.recall < 1


def _compared(truth: Truth, answer: Sequence[Near], mode: str, moved: Counter[tuple[str, str]]) -> Comparison:
    approximate = any(method == "hnsw" for _, method in moved)
    refused = "" if approximate or mode != "ann" else "it claims the index, and no HNSW index was scanned"
    ran = tuple(sorted(name for name, _ in moved))
    return Comparison(truth, truth.hits(answer[: truth.sample.k]), mode, ran, approximate, refused)


async def _scans(tx: Tx, model: Model) -> Counter[tuple[str, str]]:
    rows = await tx.fetch(SCANS, model.table)
    return Counter({(row["name"], row["method"]): row["scans"] for row in rows})


def _group(name: str, found: Sequence[Comparison]) -> Group:
    # What is refused is left out of the estimate: it would be a 1.000 that no index earned.
    sound = [one for one in found if not one.refused]
    guess = estimate([(one.hits, len(one.truth.nearest)) for one in sound])
    plans: Counter[str] = Counter(f"{one.mode}: {', '.join(one.ran) or 'nothing'}" for one in found)
    return Group(name, guess, sum(one.approximate for one in sound), len(found) - len(sound), dict(plans.most_common()))


def _size(rows: int) -> str:
    return next((name for bound, name in SIZES if rows < bound), ">=1M")


def _share(matching: int, rows: int) -> str:
    return next((name for bound, name in SHARES if matching >= bound * rows), "0.1 %")
