"""Deviations of initial weights: published numbers, the derivations' own equations, simulation."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import binom, norm

from eibench.methods.initializers import (
    fluctuation_std,
    spike_deviation,
    spikeinit_first_std,
    spikeinit_membrane,
    spikeinit_sharpness,
    spikeinit_std,
)


@pytest.mark.parametrize(("threshold", "std"), [(1.0, 2.511), (0.5, 1.800)])
def test_fluctuation(threshold, std):
    assert fluctuation_std(1, threshold) == pytest.approx(std, abs=1e-3)
    assert fluctuation_std(288, threshold) == pytest.approx(std / 288**0.5, abs=1e-4)
    assert fluctuation_std(1, 6.0) == pytest.approx(norm.sf(6.0) ** -0.5, rel=1e-9)


@pytest.mark.parametrize("summed", [2, 3, 5])
@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_sums_of_spikes_keep_the_second_moment_of_the_current(summed, rate):
    """n Var[w] E[x^2] is that of single trains, with E[x^2] of a binomial law by its sum."""
    power = sum(k * k * binom.pmf(k, summed, rate) for k in range(summed + 1))
    alone, together = (spikeinit_std(9, 2.0, 1.0, rate, n) for n in (1, summed))
    assert together**2 * power == pytest.approx(alone**2 * rate)
    threshold = norm.isf(rate)
    assert 9 * fluctuation_std(9, threshold, summed) ** 2 * power == pytest.approx(1)


@pytest.mark.parametrize(
    ("rate", "std", "first"), [(0.05, 2.598, 0.423), (0.1, 2.578, 0.571), (0.2, 3.428, 0.908)]
)
def test_spikeinit_numbers(rate, std, first):
    assert spikeinit_std(1, 2.0, 1.0, rate) == pytest.approx(std, abs=1e-3)
    assert spikeinit_first_std(1, 2.0, 1.0, rate) == pytest.approx(first, abs=1e-3)
    for function in (spikeinit_std, spikeinit_first_std):  # as the threshold, as 1/sqrt(fan-in)
        by_hand = 0.3 * function(1, 2.0, 1.0, rate) / 5
        assert function(25, 2.0, 0.3, rate) == pytest.approx(by_hand)


@pytest.mark.parametrize(("rate", "sharpness"), [(0.05, 1.266), (0.1, 1.153), (0.2, 0.808)])
def test_spikeinit_sharpness_numbers(rate, sharpness):
    """It goes as one over the threshold; half of it has twice."""
    assert spikeinit_sharpness(2.0, 1.0, rate) == pytest.approx(sharpness, abs=1e-3)
    assert spikeinit_sharpness(2.0, 0.5, rate) == pytest.approx(2 * sharpness, abs=2e-3)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.25])
@pytest.mark.parametrize("tau", [1.0, 1.5, 4.0])
def test_spikeinit_sharpness_keeps_the_variance_of_gradients(tau, rate):
    """E[h(Y)^2] n Var[w] = 1 - (1 - p) k^2, by quadrature over Y ~ N(mu, s^2)."""
    k, theta = 1 - 1 / tau, 0.7
    c, s = spikeinit_membrane(tau, theta, rate)
    assert norm.sf(theta, -c * s, s) == pytest.approx(rate)
    a = spikeinit_sharpness(tau, theta, rate)

    def integrand(y):
        return (a * math.exp(-2 * a * abs(y - theta))) ** 2 * norm.pdf(y, -c * s, s)

    square = sum(quad(integrand, *ends)[0] for ends in ((-8 * s, theta), (theta, 10 * s)))
    gain = square * spikeinit_std(1, tau, theta, rate) ** 2
    assert gain == pytest.approx(1 - (1 - rate) * k * k, rel=1e-6)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.25])
@pytest.mark.parametrize("tau", [1.0, 1.5, 2.0, 5.0])
def test_spikeinit_is_a_fixed_point(tau, rate):
    """The moment equations, iterated in mu and s under the given input, come to rest at the rate
    (they are stable in mu and s at a given input rate)."""
    k, theta = 1 - 1 / tau, 0.7
    variance = spikeinit_std(1, tau, theta, rate) ** 2 * rate
    mu, s = 0.0, math.sqrt(variance)
    for _ in range(500):
        a = (theta - mu) / s
        kept, second = norm.cdf(a), mu * mu + s * s
        new = k * (mu * kept - s * norm.pdf(a))
        square = k * k * (second * kept - s * (theta + mu) * norm.pdf(a)) + variance
        mu, s = new, math.sqrt(square - new * new)
    assert norm.sf((theta - mu) / s) == pytest.approx(rate, abs=1e-6)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3])
def test_spikeinit_without_memory_has_a_closed_form(rate):
    """tau 1: a step's potential is its current alone, on spikes as on an image."""
    a = norm.isf(rate)
    assert spikeinit_std(9, 1.0, 0.5, rate) == pytest.approx(0.5 / (a * math.sqrt(9 * rate)))
    assert spikeinit_first_std(9, 1.0, 0.5, rate) == pytest.approx(0.5 / (a * 3))


@pytest.mark.parametrize(("tau", "rate"), [(2.0, 0.1), (5.0, 0.2)])
def test_first_layer_fires_at_the_rate(tau, rate):
    """Constant currents at the quantiles of N(0, sigma^2), simulated for 600 steps."""
    count = 4000
    current = norm.ppf((np.arange(count) + 0.5) / count) * spikeinit_first_std(1, tau, 1.0, rate)
    v, spikes = np.zeros(count), 0.0
    for _ in range(600):
        u = (1 - 1 / tau) * v + current
        v, spikes = np.where(u >= 1, 0.0, u), spikes + (u >= 1).mean()
    assert spikes / 600 == pytest.approx(rate, rel=5e-3)


@pytest.mark.parametrize(("tau", "rate", "highest"), [(2.0, 0.4, "0.391"), (100.0, 0.1, "0.042")])
def test_a_rate_without_fixed_point_is_refused(tau, rate, highest):
    """By hand at tau 2: a (1 - Phi(a) / 2) = phi(a) / 2 at a = 0.2761, Q(0.2761) = 0.3912."""
    with pytest.raises(ValueError, match=rf"{rate} has no fixed point with tau .* to {highest}"):
        spikeinit_std(1, tau, 1.0, rate)
    spikeinit_std(1, tau, 1.0, float(highest))


@pytest.mark.parametrize(
    "function", [fluctuation_std, lambda _, x: spike_deviation(2.0, x, "soft", 4)]
)
def test_a_threshold_out_of_reach_is_refused(function):
    with pytest.raises(ValueError, match=r"does not reach a threshold of 40\.0"):
        function(1, 40.0)


@pytest.mark.parametrize(("tau", "timesteps"), [(1e6, 100_000), (300.0, 100_000)])
def test_a_density_that_no_memory_holds_is_refused(tau, timesteps):
    with pytest.raises(ValueError, match="takes too long to compute"):
        spike_deviation(tau, 1.0, "soft", timesteps)


@pytest.mark.parametrize(
    ("arguments", "gain"),
    [
        ((2.0, 1.0, "hard", 4), 2.8467),  # the paper's constant, from a simulation
        ((2.0, 1.0, "soft", 4), 2.764),
        ((2.0, 1.0, "soft", 16), 2.80),
    ],
)
def test_gain_for_spikes(arguments, gain):
    assert 1 / spike_deviation(*arguments) == pytest.approx(gain, rel=1.5e-3)


@pytest.mark.parametrize("timesteps", [1, 7])
def test_gain_without_memory(timesteps):
    p = norm.sf(0.6)
    expected = math.sqrt(p * (1 - p))
    assert spike_deviation(1.0, 0.6, "soft", timesteps) == pytest.approx(expected, rel=1e-12)
    assert spike_deviation(3.0, 0.6, "hard", 1) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize(("tau", "theta"), [(2.0, 1.0), (4.0, 0.3), (10.0, 2.5)])
def test_gain_against_simulation(tau, theta, reset):
    rng, steps, count = np.random.default_rng(0), 5, 400_000
    v, spikes = np.zeros(count), 0
    for _ in range(steps):
        u = (1 - 1 / tau) * v + rng.standard_normal(count)
        fires = u >= theta
        v = np.where(fires, 0.0 if reset == "hard" else u - theta, u)
        spikes += int(fires.sum())
    p = spikes / (steps * count)
    expected = math.sqrt(p * (1 - p))
    assert spike_deviation(tau, theta, reset, steps) == pytest.approx(expected, rel=5e-3)
