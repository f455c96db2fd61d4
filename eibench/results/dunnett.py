"""Dunnett's quantile, which makes the intervals of several comparisons with one control hold
together."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import chdtri, ndtr
from scipy.stats import t

ALPHA = 0.05
DECIMALS = 8
"""Decimals of a quantile; machines differ in those beyond."""
NODES = 48
"""Points of each integral behind a quantile: an error below 0.2 % from 2 degrees of freedom on."""
MANY = 32
"""Comparisons beyond which df and shares are rounded, so that they have few quantiles together."""
Array = npt.NDArray[np.float64]


def quantile(df: float, shared: Sequence[float]) -> float:
    """Return Dunnett's two-sided `1 - ALPHA` quantile for k comparisons with one control.

    `shared` holds the control's share in the variance of each difference: comparisons i and j have
    the correlation sqrt(shared[i] shared[j]). Given the control's standard normal deviation z and
    the estimated deviation s, the comparisons are independent, so the probability is an integral
    over these two.
    """
    if len(shared) > MANY:  # rounded down: the quantile becomes larger, by 2 % at most
        scale = 10 ** (1 - math.floor(math.log10(df)))
        df, shared = math.floor(df * scale) / scale, [math.floor(x * 50) / 50 for x in shared]
    return round(_quantile(df, tuple(sorted(Counter(shared).items()))), DECIMALS)


@functools.lru_cache(1024)
def _quantile(df: float, shares: Sequence[tuple[float, int]]) -> float:
    """Return the quantile; `shares` are distinct, each with the number of its comparisons."""
    shared, counts = (np.array(column) for column in zip(*shares, strict=True))
    k = counts.sum()
    low = float(t.isf(ALPHA / 2, df))
    if k == 1:
        return low
    level, z, weight = _nodes()
    s = np.sqrt(chdtri(df, level) / df)[:, None, None]
    b = np.sqrt(np.minimum(shared, 1 - 1e-9))
    centre, scale = b * z[:, None], np.sqrt(1 - b * b)

    def miss(c: float) -> float:
        inside = ndtr((centre + c * s) / scale) - ndtr((centre - c * s) / scale)
        return float(np.vdot(weight, (inside**counts).prod(axis=-1))) - (1 - ALPHA)

    high = float(t.isf(ALPHA / 2 / k, df)) * 1.01
    return low if miss(low) >= 0 else float(brentq(miss, low, high, xtol=1e-5))


@functools.cache
def _nodes() -> tuple[Array, Array, Array]:
    """Return nodes of Gauss quadrature over the level of s and over z, and their joint weights."""
    level, weights = np.polynomial.legendre.leggauss(NODES)
    z, normal = np.polynomial.hermite_e.hermegauss(NODES)
    return (1 - level) / 2, z, weights[:, None] / 2 * normal / normal.sum()
