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
    v_a, v_b = (statistics.variance(s.values()) / len(s) for s in (rival, control))
    total = v_a + r * r * v_b
    if not 0 < total < math.inf:
        return Ratio(r)
    shares = v_a / total, r * r * v_b / total
    df = 1 / (shares[0] ** 2 / (len(rival) - 1) + shares[1] ** 2 / (len(control) - 1))
    q = float(t.isf(alpha / 2, df))
    # The roots of (b² - q² v_b) r² - 2 a b r + (a² - q² v_a).
    square, product, rest = b * b - q * q * v_b, a * b, a * a - q * q * v_a
    if square <= 0:
        return Ratio(r)
    root = math.sqrt(max(0.0, product * product - square * rest))
    return Ratio(r, ((product - root) / square, (product + root) / square))
