"""Hybrid search: keywords and vectors, their scores fused, and the neighbours of what was found."""

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import asyncpg

from contracts.errors import BadInput
from database import Tx
from memory import keywords, models, samples, scoring, vectors
from memory.beside import both
from memory.filters import Filter
from memory.keywords import Words
from memory.knobs import Knobs
from memory.models import Model
from memory.planning import aside, by_index
from memory.vectors import Near

Mode = Literal["exact", "codes", "ann", "keywords"]
Via = Literal["both", "keyword", "vector", "neighbour"]
# Given the episodes that the hits were taken from, which are read with them.
BESIDE = """
SELECT given.hit, f.num AS fact
  FROM unnest($2::bigint[], $3::text[]) AS given (hit, episode)
 CROSS JOIN LATERAL (
    SELECT session, seq FROM episode WHERE tenant = $1 AND id >= given.episode AND id <= given.episode ORDER BY id LIMIT 1
 ) AS turn
 CROSS JOIN LATERAL (
    SELECT id FROM episode WHERE tenant = $1 AND session = turn.session AND seq >= turn.seq - 1 AND seq <= turn.seq + 1 ORDER BY seq LIMIT 3
 ) AS beside
 CROSS JOIN LATERAL (
    SELECT fact FROM fact_source
     WHERE tenant = $1 AND episode >= beside.id AND episode <= beside.id AND beside.id <> given.episode ORDER BY episode LIMIT 400
 ) AS told
 CROSS JOIN LATERAL (
    SELECT f.num FROM fact f WHERE f.tenant = $1 AND f.id >= told.fact AND f.id <= told.fact AND {filter} ORDER BY f.id LIMIT 1
 ) AS f
 LIMIT 400
"""
READ = """
SELECT f.id, f.num, f.body, f.scope, f.kind, f.subject, f.session, f.speaker, f.at, f.recorded_at, f.lineage, f.step,
       ARRAY(SELECT episode FROM fact_source WHERE tenant = $1 AND fact >= f.id AND fact <= f.id ORDER BY fact, episode) AS sources
  FROM unnest($2::bigint[]) AS given (num)
 CROSS JOIN LATERAL (SELECT * FROM fact WHERE tenant = $1 AND num >= given.num AND num <= given.num ORDER BY num LIMIT 1) AS f
"""
# The model that is in use, or the one that made the query's vector, and how its vectors are searched.
ARM = """
SELECT model.id, model.name, model.dims, model.state, knob.ef_search, knob.max_scan_tuples, knob.exact_below, knob.exact_only, knob.sampled
  FROM embedding_model model LEFT JOIN recall_knob knob ON knob.tenant = $1 AND knob.model = model.id
 WHERE model.tenant = $1 AND CASE WHEN $2::integer IS NULL THEN model.state = 'active' ELSE model.id = $2::integer END
"""
MOST = 200
"""Facts that one query may ask for."""
POOL = 40
"""Candidates of each arm, or four times k where that is more."""
NO_MODEL = "the tenant has no embedding model yet"
NO_VECTOR = "the query came without a vector"


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked. embedding: of the tenant's active model, or of ``model``; None searches by keywords, and ``why`` says why it is.

    model: the number of the model that made the vector, so that a query which overtakes a switch of models is still answered.
    target: the recall that was promised, for the monitor that may ask this query again.
    """

    text: str
    embedding: Sequence[float] | None = None
    filter: Filter = field(default_factory=Filter)
    k: int = 10
    model: int | None = None
    why: str = ""
    target: float = samples.TARGET


@dataclass(frozen=True, slots=True)
class Hit:
    """A fact that was found, with what its provenance needs. keyword: BM25. sources: the episodes it was taken from."""

    id: str
    num: int
    score: float
    body: str
    keyword: float
    cosine: float
    via: Via
    scope: str
    kind: str
    subject: str
    session: str
    speaker: str
    at: datetime
    recorded_at: datetime
    lineage: str | None
    step: str | None
    sources: list[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found, best first, and how.

    mode: what the vector arm did. degraded: why it did nothing, else empty. searched: facts that were compared or scored one by one.
    capped: a bound was reached on the way: frequent words chose no fact, or the index gave out before exact search took over.
    ms: milliseconds in here.
    """

    hits: list[Hit]
    mode: Mode
    degraded: str
    searched: int
    capped: bool
    ms: float


@dataclass(frozen=True, slots=True)
class _Arm:
    model: Model | None
    knobs: Knobs
    degraded: str


class _VectorsFailed(Exception):
    """The vector arm failed, and with it all that is asked under the same settings."""


async def search(tx: Tx, query: Query, beside: Tx | None = None) -> Answer:
    """Return the facts that answer a query best. A vector arm that fails leaves the keywords, and the answer says so.

    beside: a transaction of the same tenant in which vectors are compared while words are looked up; without one they take turns.
    Raises: BadInput for no text, for k out of bounds, and for a vector of another form than its model's.
    """
    began = time.perf_counter()
    if not query.text.strip():
        raise BadInput("a query needs a text")
    if not 1 <= query.k <= MOST:
        raise BadInput(f"k is {query.k}; 1 to {MOST} can be asked for")
    arm = await _arm(tx, query)
    try:
        answer = await _settled(tx, beside, query, arm, began)
    except _VectorsFailed as failed:
        answer = await _settled(tx, None, query, _Arm(None, arm.knobs, str(failed)), began)
    if arm.model and query.embedding is not None and answer.mode != "keywords":
        await samples.offer(
            tx, arm.model.id, query.embedding, query.filter, k=query.k, mode=answer.mode, knobs=arm.knobs, target=query.target
        )
    return answer


async def _arm(tx: Tx, query: Query) -> _Arm:
    if query.embedding is None:
        return _Arm(None, Knobs(), query.why or NO_VECTOR)
    row = await tx.row(ARM, tx.tenant, query.model)
    if row is None:
        return _Arm(None, Knobs(), NO_MODEL)
    given = dict(row)
    model = Model(*(given.pop(name) for name in ("id", "name", "dims", "state")))
    models.checked(model, query.embedding)
    return _Arm(model, Knobs(**given) if given["ef_search"] is not None else Knobs(), "")


async def _settled(tx: Tx, beside: Tx | None, query: Query, arm: _Arm, began: float) -> Answer:
    # One block of settings for all that is asked: each one costs a round trip at both ends.
    async with AsyncExitStack() as stack:
        for one in filter(None, (tx, beside)):
            await stack.enter_async_context(aside(one, by_index(arm.knobs)))
        return await _answered(tx, beside, query, arm, began)


async def _answered(tx: Tx, beside: Tx | None, query: Query, arm: _Arm, began: float) -> Answer:
    pool = max(POOL, 4 * query.k)
    asked = await keywords.words(tx, query.text)
    most = arm.knobs.coded_below
    # Where everything matches, the statistics of the words have counted it.
    left = 0 if query.filter.narrow else asked.facts
    left = left or await vectors.matching(tx, query.filter, most + 1)
    matching = left if left <= most else None
    found, near = await both(
        keywords.find(tx, asked, query.filter, limit=pool, matching=matching),
        _near(beside or tx, query, arm, pool, left),
        at_once=beside is not None,
    )
    if found.capped and len({num for num, _ in (*found.rows, *(near.rows if near else ()))}) < query.k:
        # Rather late than short of facts that match.
        found = await keywords.find(tx, asked, query.filter, limit=pool, matching=matching, every=True)
    keyword, cosine = await _completed(tx, beside, query, arm, asked, dict(found.rows), near)
    scores, read = await _with_neighbours(tx, scoring.fused(keyword, cosine), query)
    best = _best(scores, query.k)
    read |= await _read(tx, [num for num in best if num not in read])
    nearby = {num for num, _ in near.rows} if near else set[int]()
    hits = [_hit(read[num], scores[num], keyword.get(num, 0.0), cosine.get(num, 0.0), num in nearby) for num in best if num in read]
    searched = found.searched + (near.searched if near else 0)
    capped = found.capped or bool(near and near.capped)
    return Answer(hits, near.mode if near else "keywords", arm.degraded, searched, capped, (time.perf_counter() - began) * 1000)


async def _near(tx: Tx, query: Query, arm: _Arm, pool: int, left: int) -> Near | None:
    if arm.model is None or query.embedding is None:
        return None
    try:
        return await vectors.nearest_of(tx, arm.model, query.embedding, query.filter, left, limit=pool, knobs=arm.knobs)
    except asyncpg.PostgresError as error:
        raise _VectorsFailed(f"vector search failed ({type(error).__name__}: {str(error)[:200]})") from error


async def _completed(
    tx: Tx, beside: Tx | None, query: Query, arm: _Arm, asked: Words, keyword: dict[int, float], near: Near | None
) -> tuple[dict[int, float], dict[int, float]]:
    """Let each arm score what only the other one found."""
    if near is None or arm.model is None or query.embedding is None:
        return keyword, {}
    cosine = dict(near.rows)
    scored, compared = await both(
        keywords.scores(tx, asked, [num for num in cosine if num not in keyword]),
        vectors.cosines(beside or tx, arm.model, query.embedding, [num for num in keyword if num not in cosine]),
        at_once=beside is not None,
    )
    return keyword | scored, cosine | compared


async def _with_neighbours(tx: Tx, scores: dict[int, float], query: Query) -> tuple[dict[int, float], dict[int, dict[str, Any]]]:
    """Return the scores with what neighbours add, and the facts that were read on the way."""
    read = await _read(tx, _best(scores, max(2 * query.k, 20)))
    given = [(num, episode) for num, row in read.items() for episode in row["sources"]]
    if not given:
        return scores, read
    condition, values = query.filter.sql(4)
    nums, episodes = zip(*given, strict=True)
    beside: dict[int, tuple[int, ...]] = {}
    for row in await tx.fetch(BESIDE.format(filter=condition), tx.tenant, nums, episodes, *values):
        beside[row["hit"]] = (*beside.get(row["hit"], ()), row["fact"])
    return scoring.beside(scores, beside), read


def _best(scores: dict[int, float], count: int) -> list[int]:
    return sorted(scores, key=lambda num: (-scores[num], num))[:count]


async def _read(tx: Tx, nums: Sequence[int]) -> dict[int, dict[str, Any]]:
    return {row["num"]: dict(row) for row in await tx.fetch(READ, tx.tenant, nums)} if nums else {}


def _hit(row: dict[str, Any], score: float, keyword: float, cosine: float, nearby: bool) -> Hit:
    return Hit(**row, score=score, keyword=keyword, cosine=cosine, via=_via(keyword > 0, nearby))


def _via(by_keyword: bool, by_vector: bool) -> Via:
    if by_keyword and by_vector:
        return "both"
    return "keyword" if by_keyword else "vector" if by_vector else "neighbour"
