"""E-I Init: from the statistics of a layer's input to the law of its weights and its gains.

With m, q and V the mean, the second moment and the variance over samples of the activity at a
layer of fan-in d (section 3 of the paper):

    lambda = sqrt(V / (d (q + V)))        W_EE, W_IE ~ Exponential(mean lambda)
    g_I    = sqrt((q + V) / d) / m        W_EI = 1/n_I,  g_E = 1,  b_E = 0

Other laws of the weights keep either the mean lambda or the second moment 2 lambda^2 of the
exponential one.

Source: Liu, Ding and Yu (ICLR 2026, arXiv 2509.23253).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from scipy.special import gammaincinv
from torch import Generator, Tensor


class InitStatistics(NamedTuple):
    """First and second moments of a layer's input, as E-I Init reads them."""

    mean: float
    """m, the mean activity."""
    second_moment: float
    """q, the mean squared activity."""
    variance: float
    """V, the mean over positions of the unbiased variance over samples."""


def input_statistics(x: Tensor) -> InitStatistics:
    """Return m, q and V of activity `x` [N, C, ...], computed in float64."""
    x = x.detach().double()
    return InitStatistics(
        mean=x.mean().item(),
        second_moment=x.square().mean().item(),
        variance=x.var(dim=0, correction=1).mean().item(),
    )


def bernoulli_statistics(rate: float) -> InitStatistics:
    """Return m, q and V of independent spikes of probability `rate`."""
    return InitStatistics(rate, rate, rate * (1 - rate))


RECTIFIED_NORMAL = InitStatistics(1 / math.sqrt(2 * math.pi), 0.5, 0.5 - 1 / (2 * math.pi))
"""m, q and V of max(0, Z), Z ~ N(0, 1)."""


def weight_scale(stats: InitStatistics, fan_in: int) -> float:
    """Return lambda = sqrt(V / (d (q + V))), the mean of the exponential law of W_EE and W_IE."""
    q, v = stats.second_moment, stats.variance
    return math.sqrt(v / (fan_in * (q + v)))


def divisive_gain(stats: InitStatistics, fan_in: int) -> float:
    """Return g_I = sqrt((q + V) / d) / m, which makes the mean of I_div the deviation of I_EE."""
    q, v = stats.second_moment, stats.variance
    return math.sqrt((q + v) / fan_in) / stats.mean


class CurrentMoments(NamedTuple):
    """Mean and deviation of an integrated current."""

    mean: float
    deviation: float


def intended_current(
    stats: InitStatistics,
    fan_in: int,
    weights: tuple[float, float],
    gain_i: float | None,
    subtractive: bool,
    leak: float = 0.0,
    relay: float = 0.0,
) -> CurrentMoments:
    """Return the moments that E-I Init intends for a layer's current, over weights and activity.

    Its rules (section 3) are two. Balance: I_sub has the mean of I_EE, so the net current has mean
    0. And the mean of I_div is the deviation of I_EE, so the quotient has deviation 1. For weights
    of mean w and variance s^2, independent of one another and of x:

        E[I_EE]   = d m w                       0 once I_sub is subtracted
        Var[I_EE] = d (E[w^2] q - w^2 (q - V)) = d (s^2 q + w^2 V)
        E[I_div]  = g_I d m w                   rows of W_EI sum to 1

    so that I is to have mean 0 and deviation sqrt(d (s^2 q + w^2 V)) / (g_I d m w). With the
    paper's w = s = lambda the variance is V, the mean of I_div is sqrt(V) and the deviation 1.
    Without subtraction the mean is E[I_EE] / E[I_div]; without division the divisor is 1. A leak
    adds to the divisor. One weight of each row raised by r, a relay, adds m r to E[I_EE], which no
    inhibition answers, and r (r + 2 w) V to Var[I_EE].

    A layer as drawn comes near that and does not reach it. I_sub is correlated with I_EE, and the
    sums differ from neuron to neuron: sum_j m_j (W_EE,j - (W_EI W_IE)_j) is an offset that does not
    depend on the input, of which the deviation over all entries is in part made. Taking offsets
    away without setting the deviation to 1 leaves too little: at 0.77 layers fire less, and
    gradients grow by more than two a layer.

    Args:
        stats: m, q and V of the layer's input x.
        fan_in: d.
        weights: w and s^2 of W_EE and W_IE.
        gain_i: g_I; None without division.
        subtractive: whether there is subtractive inhibition.
        leak: what the circuit adds to every divisor.
        relay: r.
    """
    mean_weight, variance = weights
    m, q, v = stats
    divisor = 1.0 if gain_i is None else gain_i * fan_in * m * mean_weight + leak
    net = m * relay + (0.0 if subtractive else fan_in * m * mean_weight)
    spread = fan_in * (variance * q + mean_weight**2 * v) + relay * (relay + 2 * mean_weight) * v
    return CurrentMoments(net / divisor, math.sqrt(spread) / divisor)


class Law(NamedTuple):
    """A positive law with a scale b and perhaps a shape; moments are those at b = 1."""

    mean: Callable[[float], float]
    second_moment: Callable[[float], float]
    draw_: Callable[[Tensor, float, float, Generator | None], Tensor]
    """Fills a tensor, given b, the shape and a source of randomness."""


def _gamma_(out: Tensor, scale: float, shape: float, generator: Generator | None) -> Tensor:
    """Draw gamma variates by inversion: torch's own sampler takes no generator."""
    uniform = torch.rand(out.shape, dtype=torch.float64, device=out.device, generator=generator)
    quantiles = torch.from_numpy(gammaincinv(shape, uniform.cpu().numpy()))
    return out.copy_(quantiles.mul_(scale))


LAWS: dict[str, Law] = {
    "exponential": Law(
        lambda shape: 1.0,
        lambda shape: 2.0,
        lambda out, b, shape, g: out.exponential_(1.0 / b, generator=g),
    ),
    "half_normal": Law(
        lambda shape: math.sqrt(2 / math.pi),
        lambda shape: 1.0,
        lambda out, b, shape, g: out.normal_(0.0, b, generator=g).abs_(),
    ),
    "log_normal": Law(
        lambda shape: math.exp(shape**2 / 2),
        lambda shape: math.exp(2 * shape**2),
        lambda out, b, shape, g: out.log_normal_(math.log(b), shape, generator=g),
    ),
    "gamma": Law(lambda shape: shape, lambda shape: shape * (shape + 1), _gamma_),
}
MATCHES = ("mean", "second_moment")


def _scale_of(law: str, shape: float, match: str, mean: float) -> float:
    """Return the scale b of `law` that matches the exponential law of that `mean`."""
    if match == "mean":
        return mean / LAWS[law].mean(shape)
    return mean * math.sqrt(2 / LAWS[law].second_moment(shape))


def law_moments(law: str, shape: float, match: str, mean: float) -> tuple[float, float]:
    """Return mean and variance of the weights that `draw_weights_` draws with these arguments."""
    scale = _scale_of(law, shape, match, mean)
    first, second = LAWS[law].mean(shape), LAWS[law].second_moment(shape)
    return scale * first, scale**2 * max(second - first**2, 0.0)


def draw_weights_(
    out: Tensor, law: str, shape: float, match: str, mean: float, generator: Generator | None
) -> Tensor:
    """Fill `out` from `law`, matched to the exponential law of that `mean`; returns it."""
    return LAWS[law].draw_(out, _scale_of(law, shape, match, mean), shape, generator)


@torch.no_grad()
def add_identity_weight_(weight: Tensor, strength: float | Tensor) -> None:
    """Add `strength` to one synapse of each row of `weight` [n, C, ...]: a relay.

    Row i gets it from channel i mod C at the kernel's middle, as in the Dirac parametrization
    (Zagoruyko and Komodakis, "DiracNets", 2017).
    """
    rows = torch.arange(len(weight), device=weight.device)
    middle = tuple(size // 2 for size in weight.shape[2:])
    synapses: tuple[Tensor | int, ...] = (rows, rows % weight.shape[1], *middle)
    weight[synapses] += strength


def _uniform_(out: Tensor, generator: Generator | None) -> Tensor:
    return out.fill_(1.0 / out.shape[1])


def _random_(out: Tensor, generator: Generator | None) -> Tensor:
    out.exponential_(1.0, generator=generator)
    return out.div_(out.sum(1, keepdim=True))


def _sparse_(out: Tensor, generator: Generator | None) -> Tensor:
    kept = -(-out.shape[1] // 2)
    chosen = out.uniform_(0.0, 1.0, generator=generator).topk(kept, dim=1).indices
    return out.zero_().scatter_(1, chosen, 1.0 / kept)


LATERAL: dict[str, Callable[[Tensor, Generator | None], Tensor]] = {
    "uniform": _uniform_,
    "random": _random_,
    "sparse": _sparse_,
}
"""Ways to fill W_EI [n_E, n_I], by name; every row sums to 1."""
