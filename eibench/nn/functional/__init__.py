"""Stateless equations on [T, B, ...]: what the modules of `eibench.nn` are thin wrappers of."""

from eibench.nn.functional.balance import rescale_rows_, row_means, row_sums, scale_mean
from eibench.nn.functional.ei import (
    inhibit,
    integrate,
    mix_channels,
    replace_zeros,
    scale_gradient,
    scale_shift,
    stabilize,
)
from eibench.nn.functional.ei_fused import fold, inhibited, worth_folding
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
from eibench.nn.functional.lif import fire, lif
from eibench.nn.functional.recompute import made_again

__all__ = [
    "CurrentMoments",
    "InitStatistics",
    "bernoulli_statistics",
    "divisive_gain",
    "draw_weights_",
    "fire",
    "fold",
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
    "replace_zeros",
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
