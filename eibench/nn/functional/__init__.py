"""The equations, stateless and in torch's own operations, in the order of the paper.

    surrogate, lif   section 1: the excitatory neuron
    ei               sections 2 and 4: the circuit, and what its backward pass does differently
    ei_init          section 3: initialization from data
    balance          beyond the paper: blanket inhibition

`eibench.nn.kernels` computes the same faster.
"""

from eibench.nn.functional.balance import (
    balanced_rows,
    raise_rows_,
)
from eibench.nn.functional.ei import (
    Stabilization,
    inhibit,
    integrate,
    mix_channels,
    scale_gradient,
    scale_shift,
    stabilize,
)
from eibench.nn.functional.ei_init import (
    RECTIFIED_NORMAL,
    CurrentMoments,
    InitStatistics,
    add_identity_weight_,
    bernoulli_statistics,
    divisive_gain,
    draw_weights_,
    input_statistics,
    intended_current,
    law_moments,
    weight_scale,
)
from eibench.nn.functional.lif import LIFParameters, fire, fire_exponential, lif

__all__ = [
    "RECTIFIED_NORMAL",
    "CurrentMoments",
    "InitStatistics",
    "LIFParameters",
    "Stabilization",
    "add_identity_weight_",
    "balanced_rows",
    "bernoulli_statistics",
    "divisive_gain",
    "draw_weights_",
    "fire",
    "fire_exponential",
    "inhibit",
    "input_statistics",
    "integrate",
    "intended_current",
    "law_moments",
    "lif",
    "mix_channels",
    "raise_rows_",
    "scale_gradient",
    "scale_shift",
    "stabilize",
    "weight_scale",
]
