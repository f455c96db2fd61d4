"""Stateless equations on [T, B, ...]: what the modules of `eibench.nn` are thin wrappers of."""

from eibench.nn.functional.balance import rescale_rows_, row_means, row_sums, scale_mean
from eibench.nn.functional.ei import (
    Stabilization,
    inhibit,
    integrate,
    mix_channels,
    scale_gradient,
    scale_shift,
    stabilize,
)
from eibench.nn.functional.ei_fire import Size, fired
from eibench.nn.functional.ei_fold import folded, worth_folding
from eibench.nn.functional.ei_fused import Parts, inhibited
from eibench.nn.functional.ei_init import (
    CurrentMoments,
    InitStatistics,
    bernoulli_statistics,
    divisive_gain,
    draw_weights_,
    input_statistics,
    intended_current,
    law_moments,
    profiled,
    relay_,
    topographic,
    weight_scale,
)
from eibench.nn.functional.lif import Neuron, fire, lif
from eibench.nn.functional.recompute import made_again

__all__ = [
    "CurrentMoments",
    "InitStatistics",
    "Neuron",
    "Parts",
    "Size",
    "Stabilization",
    "bernoulli_statistics",
    "divisive_gain",
    "draw_weights_",
    "fire",
    "fired",
    "folded",
    "inhibit",
    "inhibited",
    "input_statistics",
    "integrate",
    "intended_current",
    "law_moments",
    "lif",
    "made_again",
    "mix_channels",
    "profiled",
    "relay_",
    "rescale_rows_",
    "row_means",
    "row_sums",
    "scale_gradient",
    "scale_mean",
    "scale_shift",
    "stabilize",
    "topographic",
    "weight_scale",
    "worth_folding",
]
