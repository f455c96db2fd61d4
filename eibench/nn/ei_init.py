"""Drawing and calibration of an E-I layer's weights, for `EILayer.initialize`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from eibench.nn import functional as F
from eibench.nn.circuit import EIInit
from eibench.nn.functional.ei_init import LATERAL

NORMAL: dict[str, Callable[..., Tensor]] = {
    "kaiming": nn.init.kaiming_normal_,
    "xavier": nn.init.xavier_normal_,
}
"""Initialisations without statistics."""


ROUNDING = 1e-6
"""A deviation this small against mean and wanted deviation is one of rounding, in float32."""


class DrawnWeights(NamedTuple):
    """Statistics and scales that the synapses were drawn with."""

    gain: float
    """g_I."""
    statistics: F.InitStatistics | None
    """m, q and V; None where none were used."""
    moments: tuple[float, float]
    """Mean and variance that the weights were drawn with; zeros without statistics."""
    relay: float = 0.0
    """Added to one weight of each row of W_EE."""


class InitializationError(ValueError):
    """E-I Init cannot work from this activity (silent, constant, negative, not finite)."""


def draw_synapses(
    weights: Sequence[Tensor], x: Tensor, fan_in: int, init: EIInit, generator: Generator | None
) -> DrawnWeights:
    """Fill `weights` (W_EE, and W_IE where there is one) for activity `x` [N, ...].

    Raises:
        InitializationError: statistics come from data, and `x` gives none that are usable.
    """
    if init.init_statistics in NORMAL:
        for weight in weights:
            drawn = NORMAL[init.init_statistics](_like(weight, generator), generator=generator)
            weight.copy_(drawn.abs_().mul_(init.weight_scale))
        return DrawnWeights(init.gain_scale, None, (0.0, 0.0))
    stats = _statistics(x, init)
    mean = F.weight_scale(stats, fan_in) * init.weight_scale
    law = (init.weight_law, init.law_shape, init.law_match)
    for weight in weights:
        weight.copy_(F.draw_weights_(_like(weight, generator), *law, mean, generator))
    gain = F.divisive_gain(stats, fan_in) * init.gain_scale
    moments = F.law_moments(*law, mean)
    relay = init.relay * math.sqrt(fan_in * moments[1])
    if relay > 0:
        F.add_identity_weight_(weights[0], relay)
    return DrawnWeights(gain, stats, moments, relay)


def draw_lateral(weight: Tensor, init: EIInit, generator: Generator | None) -> None:
    """Fill `weight` (W_EI [n_E, n_I]); every row sums to 1."""
    weight.copy_(LATERAL[init.lateral_init](_like(weight, generator), generator))


@torch.no_grad()
def calibrate_(gain_e: Tensor, bias: Tensor, current: Tensor, wanted: F.CurrentMoments) -> None:
    """Set g_E and b_E [n_E] so that each channel of `current` gets the `wanted` moments.

    `current` [T, B, n_E, ...] was made with g_E = 1 and b_E = 0; moments are over time, batch and
    positions.

    A channel that does not vary beyond rounding keeps g_E = 1 and is shifted alone. Entries that
    are not finite (0 / 0 without stabilisation) do not count; a channel of these alone is left.
    """
    current = torch.where(current.isfinite(), current.double(), torch.nan).movedim(2, 0).flatten(1)
    mean = current.nanmean(1)
    deviation = (current - mean[:, None]).square().nanmean(1).sqrt()
    varies = deviation > ROUNDING * (mean.abs() + wanted.deviation)  # never, if not a number
    gain = torch.where(varies, wanted.deviation / deviation, 1.0)
    shift = wanted.mean - gain * mean
    gain_e.copy_(gain)
    bias.copy_(torch.where(shift.isfinite(), shift, 0.0))


def _statistics(x: Tensor, init: EIInit) -> F.InitStatistics:
    """Return the statistics that `init` uses for activity `x` [N, ...]."""
    fixed = F.bernoulli_statistics(init.init_rate)
    if init.init_statistics == "fixed":
        return fixed
    if init.init_statistics == "rectified":
        return F.RECTIFIED_NORMAL
    stats = _measured(x)
    if stats.mean > 0 and stats.variance > 0:
        return stats
    if init.silent_layer == "fixed":
        return fixed
    what = "silent" if stats.mean == 0 else "the same for every sample"
    raise InitializationError(f"E-I Init needs activity that varies; this input is {what}")


def _measured(x: Tensor) -> F.InitStatistics:
    """Return the statistics of activity `x` [N, ...]; raise an error where it is none."""
    if x.shape[0] < 2:
        raise InitializationError(f"E-I Init needs at least 2 samples (T * B), got {len(x)}")
    lowest = x.min().item()
    if lowest < 0:
        raise InitializationError(
            f"E-I Init needs activity >= 0, got a minimum of {lowest:.3g}; "
            "leave images in [0, 1], without mean/std normalisation"
        )
    stats = F.input_statistics(x)
    if not all(map(math.isfinite, stats)):
        raise InitializationError("E-I Init got activity that is not finite")
    return stats


def _like(weight: Tensor, generator: Generator | None) -> Tensor:
    """Return an unfilled tensor of the shape of `weight`, on the device that draws."""
    device = generator.device if generator is not None else weight.device
    return torch.empty(weight.shape, dtype=weight.dtype, device=device)
