"""How sure a measured recall is: an interval for a share of neighbours that were found, where those of one query stand or fall together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z = 1.96
"""Standard normal quantile of a two-sided 95 % interval, whose lower end is the bound that is acted on."""
ASSUMED_EFFECT, ASSUMED_QUERIES = 6.0, 4
"""A design effect that is assumed as if so many queries with misses had shown it: without any, nothing tells how misses gather."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A recall, and between what it lies with 95 % confidence. recall: None where nothing was to be found.

    best_low: the lower end that a sample of this size would have had without a miss.
    """

    queries: int
    recall: float | None
    low: float
    high: float
    best_low: float

    def settles(self, target: float) -> bool:
        """Tell whether the sample is large enough to judge by: a perfect one would reach the target, or it has failed for certain."""
        return self.best_low >= target or self.high < target


def wilson(share: float, trials: float) -> tuple[float, float]:
    """Return the 95 % score interval of a share of independent trials; trials need not be whole.

    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927).
    """
    if trials <= 0:
        return 0.0, 1.0
    square = Z * Z
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    half = Z / (1 + square / trials) * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


def estimate(found: Sequence[tuple[int, int]]) -> Estimate:
    """Estimate recall. found: for each query, how many of its true neighbours were found, and how many there are.

    Neighbours of one query are not independent, so the interval counts fewer trials than neighbours: their number over the design effect.
    Source: E. L. Korn, B. I. Graubard, Confidence Intervals for Proportions with Small Expected Number of Positive Counts Estimated
    from Survey Data, Survey Methodology 24 (1998).
    """
    asked = [(hits, wanted) for hits, wanted in found if wanted > 0]
    trials = sum(wanted for _, wanted in asked)
    if not trials:
        return Estimate(0, None, 0.0, 1.0, 0.0)
    share = sum(hits for hits, _ in asked) / trials
    low, high = wilson(share, trials / _design_effect(asked, share, trials))
    best_low, _ = wilson(1.0, trials / ASSUMED_EFFECT)
    # A first miss may show a smaller effect than the one that is assumed, and must not make anybody surer by that.
    return Estimate(len(asked), share, min(low, best_low), high, best_low)


def _design_effect(asked: Sequence[tuple[int, int]], share: float, trials: int) -> float:
    """Return by how much the variance of the share exceeds that of independent trials: the ratio estimator's over the binomial.

    Queries with misses are what shows it, so what they show counts by their number beside what is assumed.
    """
    binomial, missed = share * (1 - share) / trials, sum(hits < wanted for hits, wanted in asked)
    if len(asked) < 2 or binomial == 0:
        return ASSUMED_EFFECT
    spread = sum((hits - share * wanted) ** 2 for hits, wanted in asked)
    shown = max(1.0, spread * len(asked) / (len(asked) - 1) / trials**2 / binomial)
    return (missed * shown + ASSUMED_QUERIES * ASSUMED_EFFECT) / (missed + ASSUMED_QUERIES)
