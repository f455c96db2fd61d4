"""Ratio of two means with Fieller's confidence interval.

With independent samples of means a, b and variances of these means v_a, v_b, the interval holds
all r with (a - r b)² <= q² (v_a + r² v_b), where q is Student's quantile at the Welch-Satterthwaite
df of a - r b for the observed r. It has two ends only if b differs from 0 at this level.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.stats import t


@dataclass(frozen=True)
class Ratio:
    """Ratio of means."""

    mean: float
    interval: tuple[float, float] | None = None
    """None without spread, and where it would be unbounded."""


def ratio(rival: Mapping[int, float], control: Mapping[int, float], alpha: float) -> Ratio:
    """Return the mean of `rival` over that of `control`, with its `1 - alpha` interval."""
    a, b = statistics.fmean(rival.values()), statistics.fmean(control.values())
    if b == 0:
        return Ratio(math.nan)
    r = a / b
    if min(len(rival), len(control)) < 2:
        return Ratio(r)
    # In units of b, so that squares neither overflow nor vanish: b = 1, a = r.
    v_a, v_b = (
        statistics.variance([x / b for x in sample.values()]) / len(sample)
        for sample in (rival, control)
    )
    total = v_a + r * r * v_b
    if not 0 < total < math.inf:
        return Ratio(r)
    shares = v_a / total, r * r * v_b / total
    df = 1 / (shares[0] ** 2 / (len(rival) - 1) + shares[1] ** 2 / (len(control) - 1))
    q = float(t.isf(alpha / 2, df))
    # The roots of (1 - q² v_b) x² - 2 r x + (r² - q² v_a).
    square = 1 - q * q * v_b
    if square <= 0:
        return Ratio(r)
    root = math.sqrt(max(0.0, r * r - square * (r * r - q * q * v_a)))
    return Ratio(r, ((r - root) / square, (r + root) / square))
