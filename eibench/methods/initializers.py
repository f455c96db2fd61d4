"""Scales of initial weights for spiking neurons: plain numbers, without torch.

With n the fan-in, k = 1 - 1/tau the decay, theta the threshold, Q(x) = P(Z > x) for Z ~ N(0, 1),
Phi = 1 - Q and phi the normal density. Weights have mean zero and biases are zero.

    fluctuation_std       w such that spikes of rate Q(theta) give a current of unit variance
    spikeinit_std         w such that spikes of rate p give spikes of rate p
    spikeinit_membrane    the moments of the membrane there
    spikeinit_sharpness   of a surrogate derivative that keeps the variance of gradients there
    spikeinit_first_std   w such that a constant input of unit second moment gives rate p
    spike_deviation       of the spikes that a current of N(0, 1) gives

Sources: Micheli et al. (arXiv 2410.00580, 2024) for the first; Shi and Yu, "SpikeInit" (ICML 2026)
for the next four; the last is the constant of IS-SNN's weight standardisation (ECCV 2026).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from statistics import NormalDist

NORMAL = NormalDist()
MOST_NODES = 4096
"""Points of the membrane's density; a square of them is kept."""
MOST_PRODUCTS = 2 * 10**10
"""Multiplications of its steps: some ten seconds."""


def fluctuation_std(fan_in: int, threshold: float, summed: int = 1) -> float:
    """Return sqrt(1 / (n Q(theta))), for a layer whose input is spikes, or sums of `summed` trains.

    Derived for one step, without leak and reset, and for a previous current of N(0, 1). The
    current's variance is 1 whatever the threshold, so the rate is not free of its scale.

    Raises:
        ValueError: such a current never reaches the threshold.
    """
    rate = math.erfc(threshold / math.sqrt(2)) / 2
    if rate < 1e-30:  # the weights would leave the range of 32-bit floats
        raise ValueError(f"a current of unit deviation does not reach a threshold of {threshold}")
    return 1 / math.sqrt(fan_in * _second_moment(rate, summed))


def _second_moment(rate: float, summed: int) -> float:
    """Return E[x^2] = m p + m (m - 1) p^2 of the sum of m independent spike trains of rate p."""
    return summed * rate * (1 + (summed - 1) * rate)


def spikeinit_std(fan_in: int, tau: float, threshold: float, rate: float, summed: int = 1) -> float:
    """Return the deviation of weights under which firing at `rate` reproduces itself.

    The membrane Y follows Y' = k Y [Y < theta] + X, a hard reset, with X ~ N(0, s_x^2) drawn anew
    at every step and s_x^2 = n Var[w] p. With Y taken as N(mu, s^2) and a = (theta - mu) / s, the
    stationary moments obey

        mu          = k (mu Phi(a) - s phi(a))
        mu^2 + s^2  = k^2 ((mu^2 + s^2) Phi(a) - s (theta + mu) phi(a)) + s_x^2,     Q(a) = p

    which is solved in closed form. Where an input is the sum of `summed` neurons' spikes, p in
    s_x^2 becomes the second moment of that sum. Without a leak's memory (tau = 1) it is
    theta / (a sqrt(n p)). At low rates (below 0.075 at tau 2, 0.117 at tau 1) the point is
    unstable: activity moves away from it, up or down.

    Raises:
        ValueError: no deviation has this rate as a fixed point.
    """
    k, a = 1 - 1 / tau, NORMAL.inv_cdf(1 - rate)
    c, s = spikeinit_membrane(tau, threshold, rate)
    variance = (1 + c * c) * (1 - k * k * (1 - rate)) + k * k * (a - 2 * c) * NORMAL.pdf(a)
    return s * math.sqrt(variance / (_second_moment(rate, summed) * fan_in))


def spikeinit_membrane(tau: float, threshold: float, rate: float) -> tuple[float, float]:
    """Return c and s of `spikeinit_std`: the membrane's mean is -c s, its deviation s.

    Raises:
        ValueError: no deviation has this rate as a fixed point.
    """
    k, a = 1 - 1 / tau, NORMAL.inv_cdf(1 - rate)
    if _distance(a, k) <= 0:
        highest = math.floor(1000 * _highest_rate(k)) / 1000
        raise ValueError(
            f"a firing rate of {rate} has no fixed point with tau {tau}; rates up to {highest} "
            "have one, a smaller tau allows more"
        )
    phi = NORMAL.pdf(a)
    c = k * phi / (1 - k * (1 - rate))
    return c, threshold / (a - c)


@cache
def spikeinit_sharpness(tau: float, threshold: float, rate: float) -> float:
    """Return a, of a surrogate derivative a exp(-2 a |Y - theta|), at the fixed point of `rate`.

    A gradient of variance 1 at the spikes has, under the hard reset, the variance
    E[(a exp(-2 a |Y - theta|))^2] / (1 - (1 - p) k^2) at the current, and n Var[w] times that at
    the spikes of the layer below, with n Var[w] of `spikeinit_std`. The product is 1. By
    completing the square, with Q(b) = p and c = 4 a s,

        E[exp(-4 a |Y - theta|)] = phi(b) (M(c + b) + M(c - b)),    M(x) = Q(x) / phi(x)
    """
    from scipy.special import erfcx  # not at the top: planning imports every file of methods

    b, (_, s) = NORMAL.inv_cdf(1 - rate), spikeinit_membrane(tau, threshold, rate)
    wanted = (1 - (1 - rate) * (1 - 1 / tau) ** 2) / spikeinit_std(1, tau, threshold, rate) ** 2

    def mills(x: float) -> float:
        return math.sqrt(math.pi / 2) * float(erfcx(x / math.sqrt(2)))

    def excess(a: float) -> float:
        c = 4 * a * s
        return a * a * NORMAL.pdf(b) * (mills(c + b) + mills(c - b)) - wanted

    return _root(excess)


def _distance(a: float, k: float) -> float:
    """Return a (1 - k Phi(a)) - k phi(a), which has the sign of theta / s and grows with a."""
    return a * (1 - k * NORMAL.cdf(a)) - k * NORMAL.pdf(a)


def _highest_rate(k: float) -> float:
    """Return the rate at which the threshold of the fixed point would be zero."""
    return 1 - NORMAL.cdf(_root(lambda a: _distance(a, k)))


def _root(function: Callable[[float], float]) -> float:
    """Return the root of a function that grows on positive numbers, by bisection."""
    low, high = 0.0, 1.0
    while function(high) < 0:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if function(middle) >= 0 else (middle, high)
    return high


@cache
def spikeinit_first_std(fan_in: int, tau: float, threshold: float, rate: float) -> float:
    """Return the same for a layer that sees one image at every step, of unit second moment.

    Its current is constant in time and N(0, sigma^2) over neurons, sigma^2 = n Var[w]. Under a
    hard reset a current I fires every j steps, where I S_j first reaches the threshold, with
    S_j = (1 - k^j) / (1 - k). sigma is found where the mean rate is `rate`, below 1/2.
    """
    k = 1 - 1 / tau
    steps = math.ceil(math.log(1e-10) / math.log(k)) if k else 0  # S_j is at its limit by then
    reach = [(1 - k**j) / (1 - k) for j in range(1, steps + 2)]

    def mean_rate(sigma: float) -> float:
        below = [NORMAL.cdf(1 / (sigma * s)) for s in reach]
        later = sum((below[j - 1] - below[j]) / (j + 1) for j in range(1, len(below)))
        return 1 - below[0] + later

    sigma = _root(lambda sigma: mean_rate(sigma) - rate)
    return threshold * sigma / math.sqrt(fan_in)


@cache
def spike_deviation(tau: float, threshold: float, reset: str, timesteps: int) -> float:
    """Return the deviation of a LIF neuron's spikes, pooled over steps, under N(0, 1) currents.

    sqrt(p (1 - p)) with p the mean firing probability of the steps. The density of the membrane
    is carried from step to step by Gauss-Legendre quadrature, with the threshold between two
    panels; errors are far below 1e-9.

    Raises:
        ValueError: such a neuron never fires, or forgets too slowly over too many steps.
    """
    import numpy as np  # not at the top: planning imports every file of methods

    k = 1 - 1 / tau
    reach = 8 * math.sqrt(min(timesteps, 1 / max(1 - k * k, 1e-12)))
    if threshold > reach:
        raise ValueError(f"a current of unit deviation does not reach a threshold of {threshold}")
    nodes, weights = np.polynomial.legendre.leggauss(8)
    panels = threshold + np.arange(-math.ceil(reach + threshold), math.ceil(reach))
    u = (panels[:, None] + (nodes + 1) / 2).ravel()
    if len(u) > MOST_NODES or timesteps * len(u) ** 2 > MOST_PRODUCTS:
        raise ValueError(f"tau = {tau:g} over {timesteps:,} steps takes too long to compute")
    weight = np.tile(weights / 2, len(panels))
    fires = u >= threshold
    v = np.where(fires, 0.0 if reset == "hard" else u - threshold, u)
    moved, peak = u[:, None] - k * v, math.sqrt(2 * math.pi)
    step = np.exp(-moved * moved / 2) / peak * weight
    density, probability = np.exp(-u * u / 2) / peak, 0.0
    for _ in range(timesteps):
        probability += float((weight * density)[fires].sum()) / timesteps
        density = step @ density
    return math.sqrt(probability * (1 - probability))
