"""Division by I_div: S without masks, and the straight-through quotient's gradient by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from eibench.nn import functional as F
from eibench.nn.autograd import tracing
from eibench.nn.functional.ei import PAPER, Stabilization, per_channel
from eibench.nn.kernels.dispatch import use_triton

BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers of the width of a float, by bytes."""


def stabilize(i_div: Tensor, rule: Stabilization = PAPER) -> Tensor:
    """Return `functional.stabilize` without a gradient, for divisors [N, ...].

    Where reading the result costs nothing (a CPU), a divisor without zeros is returned as it is.
    Elsewhere the same values come without a branch, so that no step waits for the device.
    """
    if rule.adaptive and use_triton(i_div):
        from eibench.nn.kernels import triton_lif

        i_div, rule = triton_lif.stabilize(i_div), rule._replace(adaptive=False, epsilon=0.0)
    elif rule.adaptive and i_div.device.type == "cpu" and i_div.numel():
        lowest = i_div.amin()
        if lowest >= 0:
            rule = rule._replace(adaptive=False, epsilon=0.0)
        if lowest == 0:
            i_div = torch.maximum(i_div, _smallest_positive(i_div))
    return F.stabilize(i_div, rule)


def _smallest_positive(i_div: Tensor) -> Tensor:
    """Return the smallest positive entry of each sample of `i_div` [N, ...] >= 0, to broadcast.

    Infinity stands for a sample without one. Floats >= 0 are ordered as their bits are. Less one
    and without the sign, a zero's bits are the largest of all: passes over integers, several times
    faster than those that choose by a mask.
    """
    kind = BITS[i_div.element_size()]
    infinity = torch.tensor(torch.inf, dtype=i_div.dtype).view(kind)
    bits = (i_div.view(kind) - 1).bitwise_and_(torch.iinfo(kind).max)
    smallest = bits.flatten(1).amin(dim=1).clamp_max_(infinity - 1) + 1
    return smallest.view(i_div.dtype).view(-1, *[1] * (i_div.dim() - 1))


class _Integrate(torch.autograd.Function):
    """The straight-through `integrate` with its backward pass by hand.

    With q = (I_EE - I_sub) / S and d the gradient of I:

        dI_EE = g_E d / S,  dI_sub = -dI_EE,  dI_div = -q dI_EE  (straight-through: dS/dI_div = 1)
        dg_E = sum d q,      db_E = sum d       (over samples and positions)
    """

    @staticmethod
    def forward(
        ctx: Any,
        i_ee: Tensor,
        i_sub: Tensor | None,
        i_div: Tensor,
        stable: Tensor,
        gain_e: Tensor,
        bias: Tensor,
    ) -> Tensor:
        quotient = i_ee / stable if i_sub is None else (i_ee - i_sub).div_(stable)
        ctx.subtracted = i_sub is not None
        ctx.save_for_backward(quotient, stable, gain_e)
        return torch.addcmul(per_channel(bias, i_ee), quotient, per_channel(gain_e, i_ee))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        quotient, stable, gain_e = ctx.saved_tensors
        (grad,) = grads
        others = [dim for dim in range(grad.dim()) if dim != 1]
        grad_ee = (grad * per_channel(gain_e, grad)).div_(stable)
        grad_sub = -grad_ee if ctx.subtracted else None
        grad_div = (grad_ee * quotient).neg_()
        grad_gain = (grad * quotient).sum(others)
        return grad_ee, grad_sub, grad_div, None, grad_gain, grad.sum(others)


def integrate(
    i_ee: Tensor,
    i_sub: Tensor | None,
    i_div: Tensor,
    gain_e: Tensor,
    bias: Tensor,
    rule: Stabilization = PAPER,
    straight_through: bool = True,
) -> Tensor:
    """Return the integrated current; arguments and values are those of `functional.integrate`."""
    if not straight_through or tracing():
        return F.integrate(i_ee, i_sub, i_div, gain_e, bias, rule, straight_through)
    with torch.no_grad():
        stable = stabilize(i_div, rule)
    out = _Integrate.apply(i_ee, i_sub, i_div, stable, gain_e, bias)
    assert isinstance(out, Tensor)
    return out
