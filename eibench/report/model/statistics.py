"""Mean and spread over seeds, and which results a paired test cannot tell from the best.

All methods of a suite see the same batches under the same seed, so differences pair by seed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from scipy.stats import t, ttest_rel

ALPHA = 0.05
ROUNDING = 1e-12
"""Share of the numbers themselves up to which their difference is taken for zero."""
LEAST_SEEDS = 3
"""Shared seeds below which nothing is tested: with two, a t-test tells almost nothing apart."""
K = TypeVar("K", bound=Hashable)
Sample = Mapping[int, float]
"""A number for each seed."""


def mean(sample: Sample) -> float | None:
    """Return the mean, or None without numbers."""
    return statistics.fmean(sample.values()) if sample else None


def deviation(sample: Sample) -> float | None:
    """Return the sample standard deviation (divisor n - 1); None for fewer than two numbers."""
    return statistics.stdev(sample.values()) if len(sample) > 1 else None


@dataclass(frozen=True)
class Comparison(Generic[K]):
    """Rivals compared with the best of them."""

    best: frozenset[K]
    """The best and what is tied with it; empty where nothing stands out."""
    tested: int
    """Rivals that were tested against the best."""
    untested: int
    """Rivals that share fewer than `LEAST_SEEDS` seeds with the best."""


def compare(rivals: Mapping[K, Sample], better: Literal["higher", "lower"]) -> Comparison[K]:
    """Find the best mean, and test every other sample against it.

    A rival is tied when the paired t-test, Holm-corrected over all rivals, does not reject at
    `ALPHA`. Fewer than two rivals, or rivals with equal means, have no best.
    """
    means = {key: statistics.fmean(s.values()) for key, s in rivals.items() if s}
    if len(set(means.values())) < 2:
        return Comparison(frozenset(), 0, 0)
    sign = 1 if better == "higher" else -1
    best = max(means, key=lambda key: sign * means[key])
    others = [key for key in means if key != best]
    p_values = {key: paired_p(rivals[best], rivals[key]) for key in others}
    tested = {key: p for key, p in p_values.items() if p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    tied = {key for key, p in adjusted.items() if p > ALPHA}
    equal = {key for key in others if means[key] == means[best]}
    return Comparison(frozenset({best} | tied | equal), len(tested), len(others) - len(tested))


def paired_p(a: Sample, b: Sample) -> float | None:
    """Return the two-sided p-value of the paired t-test on shared seeds; None for too few seeds.

    The test statistic has no value where all differences are equal: then p is 1 when they are
    zero, and 0 when they are not.
    """
    seeds = sorted(a.keys() & b.keys())
    if len(seeds) < LEAST_SEEDS:
        return None
    differences = [a[seed] - b[seed] for seed in seeds]
    first, size = differences[0], max(abs(a[seed]) + abs(b[seed]) for seed in seeds)
    if all(math.isclose(d, first, rel_tol=0, abs_tol=ROUNDING * size) for d in differences):
        return 1.0 if abs(first) <= ROUNDING * size else 0.0
    return float(ttest_rel([a[seed] for seed in seeds], [b[seed] for seed in seeds]).pvalue)


@dataclass(frozen=True)
class Difference:
    """A sample less another, seed by seed."""

    values: Sample
    """The difference under each shared seed; empty where no seed is shared."""

    @property
    def n(self) -> int:
        """Shared seeds."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """Mean difference; None without a shared seed."""
        return mean(self.values)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval of the mean (paired t, n - 1 degrees of freedom).

        None for fewer than two shared seeds; of no width where all differences are equal.
        """
        if self.mean is None or (spread := deviation(self.values)) is None:
            return None
        half = half_width(self.n) * spread
        return self.mean - half, self.mean + half

    @property
    def excludes_zero(self) -> bool:
        """True if there is an interval and it does not hold zero."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


def difference(a: Sample, b: Sample) -> Difference:
    """Return `a` less `b` on shared seeds."""
    pairs = {seed: (a[seed], b[seed]) for seed in sorted(a.keys() & b.keys())}
    return Difference(
        {
            seed: 0.0 if abs(x - y) <= ROUNDING * (abs(x) + abs(y)) else x - y
            for seed, (x, y) in pairs.items()
        }
    )


def half_width(n: int) -> float:
    """Return half of a mean's `1 - ALPHA` t interval over `n` >= 2 numbers, in deviations."""
    return float(t.ppf(1 - ALPHA / 2, n - 1)) / math.sqrt(n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm, Scand. J. Statist. 6, 1979), in order.

    The i-th smallest of m (from 0) is multiplied by m - i, kept from falling, and cut at 1.
    """
    adjusted = [0.0] * len(p_values)
    floor = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = floor
    return adjusted
