"""Hybrid search: keywords and vectors, their scores fused, and the neighbours of what was found."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import asyncpg

from contracts.errors import BadInput
from database import Tx
from memory import keywords, models, samples, scoring, vectors
from memory.filters import Filter
from memory.keywords import Words
from memory.knobs import Knobs, knobs
from memory.models import Model
from memory.planning import AS_WRITTEN, aside
from memory.vectors import Near

Mode = Literal["exact", "ann", "keywords"]
Via = Literal["both", "keyword", "vector", "neighbour"]
BESIDE = """
SELECT hit.num AS hit, f.num AS fact
  FROM unnest($2::bigint[]) AS hit (num)
  JOIN fact h ON h.tenant = $1 AND h.num = hit.num
  JOIN fact_source source ON source.tenant = $1 AND source.fact = h.id
  JOIN episode turn ON turn.tenant = $1 AND turn.id = source.episode
 CROSS JOIN LATERAL (VALUES (turn.seq - 1), (turn.seq + 1)) AS near (seq)
  JOIN episode beside ON beside.tenant = $1 AND beside.session = turn.session AND beside.seq = near.seq
  JOIN fact_source told ON told.tenant = $1 AND told.episode = beside.id
  JOIN fact f ON f.tenant = $1 AND f.id = told.fact
 WHERE {filter} LIMIT 400
"""
READ = """
SELECT f.id, f.num, f.body, f.scope, f.kind, f.subject, f.session, f.speaker, f.at, f.recorded_at, f.lineage, f.step,
       ARRAY(SELECT episode FROM fact_source source WHERE source.tenant = $1 AND source.fact = f.id ORDER BY episode) AS sources
  FROM fact f WHERE f.tenant = $1 AND f.num = ANY($2::bigint[])
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


async def search(tx: Tx, query: Query) -> Answer:
    """Return the facts that answer a query best. A vector arm that fails leaves the keywords, and the answer says so.

    Raises: BadInput for no text, for k out of bounds, and for a vector of another form than its model's.
    """
    began = time.perf_counter()
    if not query.text.strip():
        raise BadInput("a query needs a text")
    if not 1 <= query.k <= MOST:
        raise BadInput(f"k is {query.k}; 1 to {MOST} can be asked for")
    async with aside(tx, AS_WRITTEN):
        arm = await _arm(tx, query)
        answer = await _answered(tx, query, arm, began)
    if arm.model and query.embedding is not None and answer.mode != "keywords":
        await samples.offer(
            tx, arm.model.id, query.embedding, query.filter, k=query.k, mode=answer.mode, knobs=arm.knobs, target=query.target
        )
    return answer


async def _arm(tx: Tx, query: Query) -> _Arm:
    if query.embedding is None:
        return _Arm(None, Knobs(), query.why or NO_VECTOR)
    model = await models.active(tx)
    if query.model is not None and (model is None or model.id != query.model):
        # Made by the model that was in use a moment ago: its vectors are still there.
        model = next((known for known in await models.of_tenant(tx) if known.id == query.model), None)
    if model is None:
        return _Arm(None, Knobs(), NO_MODEL)
    models.checked(model, query.embedding)
    return _Arm(model, await knobs(tx, model.id), "")


async def _answered(tx: Tx, query: Query, arm: _Arm, began: float) -> Answer:
    pool = max(POOL, 4 * query.k)
    asked = await keywords.words(tx, query.text)
    left = await vectors.matching(tx, query.filter, arm.knobs.exact_below + 1)
    found = await keywords.find(tx, asked, query.filter, limit=pool, matching=left if left <= arm.knobs.exact_below else None)
    near, degraded = await _near(tx, query, arm, pool, left)
    keyword, cosine = await _completed(tx, query, arm, asked, dict(found.rows), near)
    scores = await _with_neighbours(tx, scoring.fused(keyword, cosine), query)
    best = sorted(scores, key=lambda num: (-scores[num], num))[: query.k]
    nearby = {num for num, _ in near.rows} if near else set[int]()
    hits = await _read(tx, best, scores, keyword, cosine, nearby)
    searched = found.searched + (near.searched if near else 0)
    capped = found.capped or bool(near and near.capped)
    return Answer(hits, near.mode if near else "keywords", degraded, searched, capped, (time.perf_counter() - began) * 1000)


async def _near(tx: Tx, query: Query, arm: _Arm, pool: int, left: int) -> tuple[Near | None, str]:
    if arm.model is None or query.embedding is None:
        return None, arm.degraded
    try:
        return await vectors.nearest(tx, arm.model, query.embedding, query.filter, limit=pool, knobs=arm.knobs, known=left), ""
    except asyncpg.PostgresError as error:
        return None, f"vector search failed ({type(error).__name__}: {str(error)[:200]})"


async def _completed(
    tx: Tx, query: Query, arm: _Arm, asked: Words, keyword: dict[int, float], near: Near | None
) -> tuple[dict[int, float], dict[int, float]]:
    """Let each arm score what only the other one found."""
    if near is None or arm.model is None or query.embedding is None:
        return keyword, {}
    cosine = dict(near.rows)
    keyword |= await keywords.scores(tx, asked, [num for num in cosine if num not in keyword])
    return keyword, cosine | await vectors.cosines(tx, arm.model, query.embedding, [num for num in keyword if num not in cosine])


async def _with_neighbours(tx: Tx, scores: dict[int, float], query: Query) -> dict[int, float]:
    condition, values = query.filter.sql(3)
    best = sorted(scores, key=lambda num: (-scores[num], num))[: max(2 * query.k, 20)]
    rows = await tx.fetch(BESIDE.format(filter=condition), tx.tenant, best, *values) if best else []
    beside: dict[int, tuple[int, ...]] = {}
    for row in rows:
        beside[row["hit"]] = (*beside.get(row["hit"], ()), row["fact"])
    return scoring.beside(scores, beside)


async def _read(
    tx: Tx, best: Sequence[int], scores: dict[int, float], keyword: dict[int, float], cosine: dict[int, float], nearby: set[int]
) -> list[Hit]:
    rows: dict[int, dict[str, Any]] = {row["num"]: dict(row) for row in await tx.fetch(READ, tx.tenant, list(best))}
    return [
        Hit(
            **rows[num],
            score=scores[num],
            keyword=keyword.get(num, 0.0),
            cosine=cosine.get(num, 0.0),
            via=_via(keyword.get(num, 0.0) > 0, num in nearby),
        )
        for num in best
        if num in rows
    ]


def _via(by_keyword: bool, by_vector: bool) -> Via:
    if by_keyword and by_vector:
        return "both"
    return "keyword" if by_keyword else "vector" if by_vector else "neighbour"
