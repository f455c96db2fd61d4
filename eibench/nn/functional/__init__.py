"""Stateless equations on [T, B, ...]: what the modules of `eibench.nn` are thin wrappers of."""

from eibench.nn.functional.ei import (
    InitStatistics,
    divisive_gain,
    inhibit,
    input_statistics,
    integrate,
    mix_channels,
    scale_gradient,
    stabilize,
    weight_scale,
)
from eibench.nn.functional.lif import fire, lif

__all__ = [
    "InitStatistics",
    "divisive_gain",
    "fire",
    "inhibit",
    "input_statistics",
    "integrate",
    "lif",
    "mix_channels",
    "scale_gradient",
    "stabilize",
    "weight_scale",
]
