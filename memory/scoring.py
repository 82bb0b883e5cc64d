"""What a fact is worth to a query: BM25's weights, and the fusion of keywords, vectors and neighbours."""

import math
from collections.abc import Mapping

K1, B = 1.2, 0.75
"""Source: Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009."""
KEYWORD, VECTOR, NEIGHBOUR = 0.5, 0.5, 0.25
"""Shares of the fused score; a neighbour adds its share of what the better of the two turns beside it scored."""


def idf(df: int, facts: int) -> float:
    """Return what a word is worth that is in ``df`` of ``facts``: always above 0, however frequent it is."""
    return math.log1p((max(facts - df, 0) + 0.5) / (df + 0.5))


def fused(keyword: Mapping[int, float], cosine: Mapping[int, float]) -> dict[int, float]:
    """Return one score from 0 to 1 for each fact that is in either; what shares no word has 0 as keyword score.

    Cosines span from the lowest that is known. A fact with no vector yet is judged by its words alone, not as if it were far away.
    """
    most = max(keyword.values(), default=0.0)
    low, high = min(cosine.values(), default=0.0), max(cosine.values(), default=0.0)
    words = {fact: keyword.get(fact, 0.0) / most if most > 0 else 0.0 for fact in (*keyword, *(f for f in cosine if f not in keyword))}
    placed = {fact: _placed(cosine[fact], low, high - low) if fact in cosine else word for fact, word in words.items()}
    return {fact: KEYWORD * word + VECTOR * placed[fact] for fact, word in words.items()}


def _placed(value: float, low: float, span: float) -> float:
    return (value - low) / span if span > 0 else float(value > 0)


def beside(scores: Mapping[int, float], pairs: Mapping[int, tuple[int, ...]]) -> dict[int, float]:
    """Return the scores with what neighbours add, those of facts that only a neighbour found among them.

    pairs: fact -> the facts of the turns before and after it.
    """
    added: dict[int, float] = {}
    for fact, neighbours in pairs.items():
        for neighbour in neighbours:
            added[neighbour] = max(added.get(neighbour, 0.0), scores.get(fact, 0.0))
    return {fact: scores.get(fact, 0.0) + NEIGHBOUR * added.get(fact, 0.0) for fact in (*scores, *(f for f in added if f not in scores))}


def best(scores: Mapping[int, float], count: int) -> list[int]:
    """Return the facts with the highest scores, highest first; of two alike the older one."""
    return sorted(scores, key=lambda num: (-scores[num], num))[:count]
