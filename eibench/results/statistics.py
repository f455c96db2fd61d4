"""Differences between samples over seeds: intervals that hold together, verdicts, pairing.

Every sample of a table is compared with one control. Variances may differ (Welch), and the
intervals of one control are wide enough to hold together in 95 of 100 tables: Dunnett's quantile
with the plug-in correlations and a Welch-Satterthwaite df for each comparison (Hasler and Hothorn,
Int. J. Biostatistics 4, 2008). With `pooled` all samples share one variance (Dunnett, JASA 50,
1955).
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from scipy.stats import t

from eibench.results.dunnett import ALPHA, quantile

ROUNDING = 1e-12
"""Share of the numbers themselves up to which their difference is taken for zero."""
MOST_SEEDS = 1000
"""Largest number of seeds that is named as one that would decide."""
LEAST_PAIRS = 10
"""Degrees of freedom below which a correlation over seeds is not trusted."""
K = TypeVar("K")
Sample = Mapping[int, float]
"""A number for each seed."""
Better = Literal["higher", "lower"] | None


class Verdict(StrEnum):
    """Reading of a difference to the control."""

    BETTER = "better"
    WORSE = "worse"
    HIGHER = "higher"
    """For metrics of which neither direction is better."""
    LOWER = "lower"
    EQUIVALENT = "equivalent"
    UNDECIDED = "undecided"


def deviation(sample: Sample) -> float | None:
    """Return the sample standard deviation (divisor n - 1); None for fewer than two numbers."""
    return statistics.stdev(sample.values()) if len(sample) > 1 else None


@dataclass(frozen=True)
class Difference:
    """Mean of a sample less that of another, and how surely it is known."""

    mean: float
    error: float = 0.0
    """Standard error of the mean difference; 0 where there is no spread to tell it from."""
    df: float = 0.0
    critical: float = 0.0
    """Half of the interval, in standard errors."""
    spread: float = 0.0
    """Standard deviation of the difference of two single numbers, one from each side."""
    df_per_seed: float = 1.0
    """Degrees of freedom for each seed of a side beyond the first, with as many on both."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval, or None where no spread is known."""
        if not self.error:
            return None
        return self.mean - self.critical * self.error, self.mean + self.critical * self.error

    @property
    def excludes_zero(self) -> bool:
        """True if there is an interval and it does not hold zero."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)

    def within(self, margin: float | None) -> bool:
        """Return whether there is an interval and it lies inside plus or minus `margin`."""
        if margin is None or self.interval is None:
            return False
        return -margin < self.interval[0] and self.interval[1] < margin

    def verdict(self, better: Better, margin: float | None = None) -> Verdict:
        """Return what the interval shows; a clear difference goes before equivalence."""
        if self.excludes_zero:
            if better is None:
                return Verdict.HIGHER if self.mean > 0 else Verdict.LOWER
            return Verdict.BETTER if (self.mean > 0) == (better == "higher") else Verdict.WORSE
        return Verdict.EQUIVALENT if self.within(margin) else Verdict.UNDECIDED

    def needed(self, margin: float | None = None) -> int | None:
        """Return how many seeds on each side would decide, if means and deviations stay.

        None without an interval, or beyond `MOST_SEEDS`.
        """
        reach = max(abs(self.mean), (margin or 0.0) - abs(self.mean))
        if not self.error or reach <= 0:
            return None
        n = np.arange(2, MOST_SEEDS + 1)
        level = t.sf(self.critical, self.df)
        enough = t.isf(level, self.df_per_seed * (n - 1)) * self.spread / np.sqrt(n) < reach
        return int(n[enough.argmax()]) if enough.any() else None


def difference(rival: Sample, control: Sample) -> Difference:
    """Return a sample, which has numbers, less another, with Welch's interval."""
    return differences(control, {"rival": rival})["rival"]


def differences(
    control: Sample, rivals: Mapping[K, Sample], pooled: bool = False, paired: bool = False
) -> dict[K, Difference]:
    """Return each rival less the control, with intervals that hold together.

    Samples without numbers, and without a shared seed where they are paired, have no difference.
    There is no interval without any spread, nor for a sample that equals the control number by
    number, which is the same computation.
    """
    if paired:
        return _paired(control, rivals)
    known = {key: sample for key, sample in rivals.items() if sample and control}
    others = {key: sample for key, sample in known.items() if sample != control}
    errors = _errors(control, others, pooled)
    shares = [one.theirs / (one.ours + one.theirs) for one in errors.values()]
    found = {}
    for key, sample in known.items():
        size = _less(sample, control)
        if key not in errors:
            found[key] = Difference(size)
            continue
        one = errors[key]
        error, critical = math.sqrt(one.ours + one.theirs), quantile(one.df, shares)
        found[key] = Difference(size, error, one.df, critical, one.spread, one.df_per_seed)
    return found


class _Errors(NamedTuple):
    """Variances of two means, and what they were computed from."""

    ours: float
    theirs: float
    df: float
    spread: float
    df_per_seed: float


def _errors(control: Sample, rivals: Mapping[K, Sample], pooled: bool) -> dict[K, _Errors]:
    """Return the errors of each rival and its control; those without any spread are absent."""
    if pooled:
        return _pooled_errors(control, rivals)
    found = {}
    for key, sample in rivals.items():
        if len(sample) > 1 and len(control) > 1:
            ours, theirs = (statistics.variance(side.values()) for side in (sample, control))
            means = ours / len(sample), theirs / len(control)
            if sum(means) > 0:
                # shares of both sides, whose squares are neither 0 nor inf
                a, b = (x / sum(means) for x in means)
                below = a * a / (len(sample) - 1) + b * b / (len(control) - 1)
                a, b = (x / (ours + theirs) for x in (ours, theirs))
                rest = math.sqrt(ours + theirs), 1 / (a * a + b * b)
                found[key] = _Errors(*means, 1 / below, *rest)
    return found


def _pooled_errors(control: Sample, rivals: Mapping[K, Sample]) -> dict[K, _Errors]:
    unlike = {tuple(sorted(sample.items())): sample for sample in (control, *rivals.values())}
    samples = list(unlike.values())  # the same computation counts once
    df = sum(len(sample) - 1 for sample in samples)
    squares = sum((len(s) - 1) * statistics.variance(s.values()) for s in samples if len(s) > 1)
    if not squares:
        return {}
    one = squares / df
    rest = df, math.sqrt(2 * one), len(samples)
    return {
        key: _Errors(one / len(sample), one / len(control), *rest) for key, sample in rivals.items()
    }


def _less(sample: Sample, control: Sample) -> float:
    """Return the difference of the means; 0 where it is one of rounding."""
    ours, theirs = statistics.fmean(sample.values()), statistics.fmean(control.values())
    return 0.0 if abs(ours - theirs) <= ROUNDING * (abs(ours) + abs(theirs)) else ours - theirs


def _paired(control: Sample, rivals: Mapping[K, Sample]) -> dict[K, Difference]:
    """Return differences over shared seeds, with Bonferroni's correction for their number."""
    shared = {key: sorted(control.keys() & sample.keys()) for key, sample in rivals.items()}
    several = sum(len(seeds) > 1 for seeds in shared.values())
    found = {}
    for key, seeds in shared.items():
        if not seeds:
            continue
        values = {seed: rivals[key][seed] - control[seed] for seed in seeds}
        size = _less({s: rivals[key][s] for s in seeds}, {s: control[s] for s in seeds})
        largest = max(abs(control[seed]) + abs(rivals[key][seed]) for seed in seeds)
        spread = deviation(values) or 0.0
        n = len(seeds)
        if spread <= ROUNDING * largest:
            found[key] = Difference(size)
        else:
            critical = float(t.isf(ALPHA / 2 / several, n - 1))
            found[key] = Difference(size, spread / math.sqrt(n), n - 1, critical, spread)
    return found


def mean_interval(sample: Sample) -> tuple[float, float] | None:
    """Return the 95 % confidence interval of a mean; None for fewer than two numbers."""
    spread = deviation(sample)
    if spread is None:
        return None
    half = float(t.isf(ALPHA / 2, len(sample) - 1)) * spread / math.sqrt(len(sample))
    centre = statistics.fmean(sample.values())
    return centre - half, centre + half


@dataclass(frozen=True)
class Pairing:
    """Correlation over shared seeds between samples and their controls, all taken together."""

    correlation: float
    low: float
    """Lower end of its 95 % confidence interval (Fisher's z)."""
    pairs: int
    """Shared seeds that it comes from, those of one control once."""
    least: float
    """Correlation from which on a paired interval is the shorter one."""

    @property
    def helps(self) -> bool:
        """True if even the lower end makes paired intervals shorter."""
        return self.low > self.least


def pairing(groups: Iterable[tuple[Sample, Iterable[Sample]]]) -> Pairing | None:
    """Return how controls correlate with the samples beside them; None from too few seeds to tell.

    Each sample is standardized over the shared seeds, so that one that varies much counts no more
    than another. A sample that equals its control, the same computation, tells nothing of others.
    Samples of one control share its numbers, and may share more: their mean correlation counts as
    that of a single one.
    """
    product, df, count, sizes = 0.0, 0, 0, []
    for control, samples in groups:
        known = [pair for sample in samples if (pair := _correlation(sample, control)) is not None]
        if not known:
            continue
        n = max(seeds for _, seeds in known)
        product += statistics.fmean(r for r, _ in known) * (n - 1)
        df += n - 1
        count += n
        sizes.append(n)
    if df < LEAST_PAIRS:
        return None
    correlation = min(max(product / df, -1 + 1e-9), 1 - 1e-9)
    low = math.tanh(math.atanh(correlation) - 1.96 / math.sqrt(df - 2))
    return Pairing(correlation, low, count, _worth_pairing(round(statistics.fmean(sizes))))


def _correlation(sample: Sample, control: Sample) -> tuple[float, int] | None:
    """Return the correlation over shared seeds, and their number; None where it tells nothing."""
    seeds = sorted(sample.keys() & control.keys())
    ours, theirs = [sample[s] for s in seeds], [control[s] for s in seeds]
    if len(seeds) < 3 or ours == theirs or min(map(statistics.pvariance, (ours, theirs))) == 0:
        return None
    return statistics.correlation(ours, theirs), len(seeds)


@functools.cache
def _worth_pairing(n: int) -> float:
    """Return the correlation at which a paired interval of `n` seeds is as long as Welch's."""
    paired, welch = (float(t.isf(ALPHA / 2, df)) for df in (n - 1, 2 * n - 2))
    return 1 - (welch / paired) ** 2
