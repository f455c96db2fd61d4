"""Surrogate derivatives of the spike: what stands for dH(x)/dx in the backward pass.

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

import torch
from torch import Tensor

SIGMOID_ALPHA = 4.0
ATAN_ALPHA = 2.0


def sigmoid(x: Tensor) -> Tensor:
    """Derivative of a sigmoid of slope 4 at `x` (any shape, in units of the threshold's axis)."""
    s = (x * SIGMOID_ALPHA).sigmoid_()
    return (s - s * s).mul_(SIGMOID_ALPHA)


def atan(x: Tensor) -> Tensor:
    """Derivative of a scaled arctangent at `x` (any shape); heavier tails than `sigmoid`."""
    scaled = x * (math.pi / 2 * ATAN_ALPHA)
    return (scaled * scaled).add_(1.0).reciprocal_().mul_(ATAN_ALPHA / 2)


DERIVATIVES: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": sigmoid, "atan": atan}


INTEGRALS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": lambda x: (x * SIGMOID_ALPHA).sigmoid(),
    "atan": lambda x: (x * (math.pi / 2 * ATAN_ALPHA)).atan() / math.pi,
}
"""Functions whose derivatives these are."""


def _pull_sigmoid(grad: Tensor, u: Tensor, threshold: float, out: Tensor) -> None:
    offset = torch.full((), -SIGMOID_ALPHA * threshold, dtype=u.dtype, device=u.device)
    s = torch.add(offset, u, alpha=SIGMOID_ALPHA).sigmoid_()
    torch.ops.aten.sigmoid_backward.grad_input(grad, s, grad_input=out)
    out.mul_(SIGMOID_ALPHA)


def _pull_atan(grad: Tensor, u: Tensor, threshold: float, out: Tensor) -> None:
    torch.mul(grad, atan(u - threshold), out=out)


PULLBACKS: dict[str, Callable[[Tensor, Tensor, float, Tensor], None]] = {
    "sigmoid": _pull_sigmoid,
    "atan": _pull_atan,
}
"""`grad` of spikes times the derivative at potentials `u`, written to `out`, in few passes."""
