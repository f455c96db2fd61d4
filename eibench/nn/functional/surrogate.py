"""Surrogate derivatives of the spike, used for dH(x)/dx in the backward pass.

The spike is a step function H(x) of the distance x = u - threshold; its true derivative is zero
almost everywhere. A surrogate replaces it by a bump around x = 0:

    sigmoid (alpha = 4)   alpha * s * (1 - s),  s = 1 / (1 + exp(-alpha * x))       peak 1
    atan    (alpha = 2)   alpha / (2 * (1 + (pi/2 * alpha * x)**2))                 peak 1

Source: Neftci, Mostafa and Zenke (2019), "Surrogate gradient learning in spiking neural networks";
the widths are the defaults of Fang et al. (2021, 2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

SIGMOID_ALPHA = 4.0
ATAN_ALPHA = 2.0


def sigmoid(x: Tensor) -> Tensor:
    """Return the derivative of a sigmoid of slope 4 at `x`, of any shape."""
    s = (x * SIGMOID_ALPHA).sigmoid_()
    return (s - s * s).mul_(SIGMOID_ALPHA)


def atan(x: Tensor) -> Tensor:
    """Return the derivative of a scaled arctangent at `x`, with heavier tails than `sigmoid`."""
    scaled = x * (math.pi / 2 * ATAN_ALPHA)
    return (scaled * scaled).add_(1.0).reciprocal_().mul_(ATAN_ALPHA / 2)


DERIVATIVES: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": sigmoid, "atan": atan}

INTEGRALS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": lambda x: (x * SIGMOID_ALPHA).sigmoid(),
    "atan": lambda x: (x * (math.pi / 2 * ATAN_ALPHA)).atan() / math.pi,
}
"""Functions whose derivatives these are."""
