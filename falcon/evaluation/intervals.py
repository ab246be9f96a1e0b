"""Intervals and paired tests over problems: how far a score can be trusted.

The bootstrap draws problems, not samples: samples of one problem are not independent. Nothing
here knows policies or benchmarks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2000
_ROWS = 200  # resamples at a time: bounds memory for thousands of problems


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its confidence interval."""

    value: float
    low: float
    high: float


def _means(values: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """Means of ``resamples`` draws with replacement of as many values as there are."""
    rng = np.random.default_rng(seed)
    means = []
    for first in range(0, resamples, _ROWS):
        rows = min(_ROWS, resamples - first)
        drawn = rng.integers(len(values), size=(rows, len(values)))  # [rows, problems]
        means.append(values[drawn].mean(axis=1))  # [rows]
    return np.concatenate(means)  # [resamples]


def bootstrap(
    values: ArrayLike, *, confidence: float = 0.95, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Mean of ``values`` [problems] with its percentile bootstrap interval.

    The same values and seed give the same interval. Raises ValueError for no values or for
    values that are not finite.
    """
    v = np.asarray(values, dtype=np.float64)
    if v.ndim != 1 or not len(v):
        raise ValueError("an interval needs one value for each of at least one problem")
    if not np.isfinite(v).all():
        raise ValueError("an interval needs finite values")
    tail = (1 - confidence) / 2  # left out at either end
    low, high = np.quantile(_means(v, resamples, seed), [tail, 1 - tail])
    return Interval(float(v.mean()), float(low), float(high))


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Mean of ``first - second`` over the same problems, in the same order, with its interval.

    Raises ValueError when the two differ in length, and as :func:`bootstrap`.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"{a.shape} and {b.shape} values cannot be paired")
    # Differences first: what makes a problem hard for both cancels out, so the interval is narrow.
    return bootstrap(a - b, confidence=confidence, seed=seed, resamples=resamples)


def mean_of_means(
    groups: Sequence[ArrayLike],
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Mean of the groups' means, with its interval; resampling is done within each group.

    Raises ValueError for no groups, and as :func:`bootstrap` for each.
    """
    if not groups:
        raise ValueError("a mean of means needs at least one group")
    values = [np.asarray(group, dtype=np.float64) for group in groups]
    middle = [bootstrap(v, seed=seed, resamples=1).value for v in values]  # checked, and the mean
    # A seed for each group: with one, groups of equal size would be drawn alike.
    drawn = np.mean([_means(v, resamples, seed + i) for i, v in enumerate(values)], axis=0)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(float(np.mean(middle)), float(low), float(high))


def wilson(successes: int, trials: int, *, confidence: float = 0.95) -> Interval:
    """A proportion with Wilson's score interval (Wilson 1927), which is good near 0 and 1, too.

    Raises ValueError for no trials or for more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no proportion")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)  # 1.96 for 95 %
    share = successes / trials
    scale = 1 + z * z / trials
    # The proportions p with |share - p| <= z sqrt(p (1 - p) / trials): middle +- half.
    middle = (share + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # At both ends the formula gives 0 and 1 except for rounding.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == trials else min(1.0, middle + half)
    return Interval(share, low, high)


def mcnemar(wins: int, losses: int) -> float:
    """Two-sided p of the exact McNemar test: are ``wins`` against ``losses`` those of a fair coin?

    ``wins`` and ``losses`` are problems that only the first or only the second solved; 1
    without either. Raises ValueError for negative counts.
    """
    if wins < 0 or losses < 0:
        raise ValueError(f"{wins} wins and {losses} losses are no counts")
    n = wins + losses
    tail = sum(math.comb(n, i) for i in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / (1 << n))  # whole numbers up to the division: exact for any n
