"""Hybrid search: keywords and vectors, their scores fused, and what was said beside what was found."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import asyncpg

from contracts.errors import BadInput
from database import LOST, Tx
from memory import keywords, models, neighbours, samples, scoring, surroundings
from memory.beside import Pair
from memory.filters import Filter
from memory.keywords import Found, Words
from memory.knobs import Knobs
from memory.models import Model
from memory.neighbours import Near
from memory.planning import aside, by_index

Mode = Literal["exact", "codes", "ann", "keywords"]
Via = Literal["both", "keyword", "vector", "neighbour"]
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

    beside: a transaction of the same tenant, for nothing else, in which vectors are compared while words are looked up; without one they
    take turns.
    Raises: BadInput for no text, for k out of bounds, and for a vector of another form than its model's.
    """
    began = time.perf_counter()
    if not query.text.strip():
        raise BadInput("a query needs a text")
    if not 1 <= query.k <= MOST:
        raise BadInput(f"k is {query.k}; 1 to {MOST} can be asked for")
    arm = await _arm(tx, query)
    answer = await _answer(tx, beside, query, arm, began)
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


async def _answer(tx: Tx, beside: Tx | None, query: Query, arm: _Arm, began: float) -> Answer:
    try:
        return await _settled(tx, beside, query, arm, began)
    except _VectorsFailed as failed:
        return await _settled(tx, None, query, _Arm(None, arm.knobs, str(failed)), began)
    except LOST:
        if beside is None:
            raise
    # The second connection may have died. What the first one cannot do alone either, raises.
    return await _answer(tx, None, query, arm, began)


async def _settled(tx: Tx, beside: Tx | None, query: Query, arm: _Arm, began: float) -> Answer:
    # One block of settings for all that is asked: each one costs a round trip at both ends.
    settings = by_index(arm.knobs)
    if beside is not None:
        await beside.execute(settings)
    async with aside(tx, settings):
        return await _answered(Pair(tx, beside), query, arm, began)


async def _answered(pair: Pair, query: Query, arm: _Arm, began: float) -> Answer:
    pool = max(POOL, 4 * query.k)
    asked, found, near = await _found(pair, query, arm, pool)
    keyword, cosine = await _completed(pair, query, arm, asked, dict(found.rows), near)
    scores, read = await surroundings.added(pair, scoring.fused(keyword, cosine), query.filter, most=max(2 * query.k, 20))
    best = scoring.best(scores, query.k)
    read |= await surroundings.read(pair.tx, [num for num in best if num not in read])
    nearby = {num for num, _ in near.rows} if near else set[int]()
    hits = [_hit(read[num], scores[num], keyword.get(num, 0.0), cosine.get(num, 0.0), num in nearby) for num in best if num in read]
    searched = found.searched + (near.searched if near else 0)
    capped = found.capped or bool(near and near.capped)
    return Answer(hits, near.mode if near else "keywords", arm.degraded, searched, capped, (time.perf_counter() - began) * 1000)


async def _found(pair: Pair, query: Query, arm: _Arm, pool: int) -> tuple[Words, Found, Near | None]:
    """Look up the words, and compare the vectors beside that."""
    most = arm.knobs.coded_below
    asked, left = await pair.both(lambda tx: keywords.words(tx, query.text), lambda tx: _left(tx, query.filter, most + 1))
    if left is None:
        # Where everything matches, the statistics of the words have counted it.
        left = asked.facts or await neighbours.matching(pair.tx, query.filter, most + 1)
    matching = left if left <= most else None
    found, near = await pair.both(
        lambda tx: keywords.find(tx, asked, query.filter, limit=pool, matching=matching),
        lambda tx: _near(tx, query, arm, pool, left),
    )
    if found.capped and len({num for num, _ in (*found.rows, *(near.rows if near else ()))}) < query.k:
        # Rather late than short of facts that match.
        found = await keywords.find(pair.tx, asked, query.filter, limit=pool, matching=matching, every=True)
    return asked, found, near


async def _left(tx: Tx, filter: Filter, most: int) -> int | None:
    return await neighbours.matching(tx, filter, most) if filter.narrow else None


async def _near(tx: Tx, query: Query, arm: _Arm, pool: int, left: int) -> Near | None:
    if arm.model is None or query.embedding is None:
        return None
    try:
        return await neighbours.nearest_of(tx, arm.model, query.embedding, query.filter, left, limit=pool, knobs=arm.knobs)
    except asyncpg.PostgresError as error:
        raise _VectorsFailed(f"vector search failed ({type(error).__name__}: {str(error)[:200]})") from error


async def _completed(
    pair: Pair, query: Query, arm: _Arm, asked: Words, keyword: dict[int, float], near: Near | None
) -> tuple[dict[int, float], dict[int, float]]:
    """Let each arm score what only the other one found."""
    model, embedding = arm.model, query.embedding
    if near is None or model is None or embedding is None:
        return keyword, {}
    cosine = dict(near.rows)
    scored, compared = await pair.both(
        lambda tx: keywords.scores(tx, asked, [num for num in cosine if num not in keyword]),
        lambda tx: neighbours.cosines(tx, model, embedding, [num for num in keyword if num not in cosine]),
    )
    return keyword | scored, cosine | compared


def _hit(row: dict[str, Any], score: float, keyword: float, cosine: float, nearby: bool) -> Hit:
    return Hit(**row, score=score, keyword=keyword, cosine=cosine, via=_via(keyword > 0, nearby))


def _via(by_keyword: bool, by_vector: bool) -> Via:
    if by_keyword and by_vector:
        return "both"
    return "keyword" if by_keyword else "vector" if by_vector else "neighbour"
