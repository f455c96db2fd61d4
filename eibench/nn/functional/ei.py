"""The E-I circuit: excitation, subtractive and divisive inhibition, and its backward pass.

Activity x >= 0 drives excitatory synapses (W_EE) and fast inhibitory cells (W_IE), which act on
the excitatory neurons by subtraction and by division:

    I_EE  = W_EE * x                           s_I   = W_IE * x
    I_sub = W_EI s_I                           I_div = W_EI (g_I . s_I)
    I     = g_E . (I_EE - I_sub) / S(I_div) + b_E

`*` is a convolution or a matrix product; W_EI mixes channels at every position. Activity here is
[N, C, ...] with N = T * B samples: the circuit has no memory, so time is one more batch axis.

The inhibitory cells are linear, and so is their derivative: 1 everywhere, at s_I = 0 too. Under
Dale's law s_I >= 0 without a rectifier. Only without Dale's law is there one, s_I = max(0, W_IE *
x), with slope 0 at and below zero.

E-I Prop changes three things on the way back. S replaces exact zeros by the sample's smallest
positive divisor going forward and is the identity going backward (straight-through). The
quotient's derivative is taken at the stabilised value. The total gradient of W_EI is scaled by
1/d, d being the fan-in.

Source: Liu, Ding and Yu, "Training Deep Normalization-Free Spiking Neural Networks with Lateral
Inhibition" (ICLR 2026, arXiv 2509.23253).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from eibench.nn.kernels.dispatch import use_triton
from eibench.nn.kernels.precision import autocast_disabled
from eibench.nn.tracing import backward_of, tracing


class _ScaleGradient(torch.autograd.Function):
    """Identity forward, multiplication by a constant backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.factor, None


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """`x` itself, of any shape, whose gradient is multiplied by `factor`."""
    if tracing():
        return backward_of(x, x * factor)
    out = _ScaleGradient.apply(x, factor)
    assert isinstance(out, Tensor)
    return out


def stabilize(divisor: Tensor) -> Tensor:
    """S going forward: exact zeros of `divisor` [N, C, ...] become the sample's smallest positive.

    In a sample without a positive entry they become infinite: its current is the bias, and it sends
    no gradient back but the bias's. Where reading the result costs nothing (a CPU), a divisor
    without zeros is returned as it is; elsewhere the same values come without a branch, so that no
    step waits for the device.
    """
    learns = torch.is_grad_enabled() and divisor.requires_grad
    if not learns and not tracing() and use_triton(divisor):
        from eibench.nn.kernels import triton_lif

        return triton_lif.stabilize(divisor)
    if divisor.device.type == "cpu" and divisor.numel() and not tracing():
        lowest = divisor.amin()
        if lowest > 0:
            return divisor
        if lowest == 0 and not learns:
            return torch.maximum(divisor, _smallest_positive(divisor))
    positive = torch.where(divisor > 0, divisor, torch.inf)
    smallest = positive.flatten(1).amin(dim=1).view(-1, *[1] * (divisor.dim() - 1))
    return torch.where(divisor == 0, smallest, divisor)


BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers of the width of a float, by bytes."""


def _smallest_positive(divisor: Tensor) -> Tensor:
    """The smallest positive entry of each sample of `divisor` [N, ...] >= 0; infinity where there
    is none. In a shape that broadcasts.

    Floats >= 0 are ordered as their bits are. Less one and without the sign, a zero's are the
    largest of all: passes over integers, several times faster than those that choose by a mask.
    """
    kind = BITS[divisor.element_size()]
    infinity = torch.tensor(torch.inf, dtype=divisor.dtype).view(kind)
    bits = (divisor.view(kind) - 1).bitwise_and_(torch.iinfo(kind).max)
    smallest = bits.flatten(1).amin(dim=1).clamp_max_(infinity - 1) + 1
    return smallest.view(divisor.dtype).view(-1, *[1] * (divisor.dim() - 1))


def inhibit(s_i: Tensor, weight_ei: Tensor, gain_i: Tensor) -> tuple[Tensor, Tensor]:
    """I_sub and I_div, each [N, n_E, ...], of inhibitory activity `s_i` [N, n_I, ...].

    One product with both matrices stacked, since both read the same activity.
    """
    both = torch.cat([weight_ei, weight_ei * gain_i])
    mixed = mix_channels(s_i, both)
    subtractive, divisive = mixed.chunk(2, dim=1)
    return subtractive, divisive


def mix_channels(x: Tensor, weight: Tensor) -> Tensor:
    """`weight` [M, C] applied to the channels of `x` [N, C, ...] at every position.

    In the precision of `weight`, under autocast too.
    """
    with autocast_disabled(x):
        x = x.to(weight.dtype)
        if x.dim() == 2:
            return torch.nn.functional.linear(x, weight)
        return torch.nn.functional.conv2d(x, weight[:, :, None, None])


class Stabilization(NamedTuple):
    """S, which keeps I_div away from zero: what stands in the place of exact zeros, then a leak."""

    adaptive: bool = True
    """Whether it is the sample's smallest positive I_div, see `stabilize`."""
    epsilon: float = 0.0
    """Otherwise what it is; 0 leaves zeros as they are."""
    leak: float = 0.0
    """Added to every divisor."""

    def __call__(self, divisor: Tensor) -> Tensor:
        """S(`divisor`) [N, ...], going forward."""
        if self.adaptive:
            divisor = stabilize(divisor)
        elif self.epsilon:
            divisor = torch.where(divisor == 0, self.epsilon, divisor)
        return divisor + self.leak if self.leak else divisor


PAPER = Stabilization()


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
        return torch.addcmul(_per_channel(bias, i_ee), quotient, _per_channel(gain_e, i_ee))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        quotient, stable, gain_e = ctx.saved_tensors
        (grad,) = grads
        others = [dim for dim in range(grad.dim()) if dim != 1]
        grad_ee = (grad * _per_channel(gain_e, grad)).div_(stable)
        grad_sub = -grad_ee if ctx.subtracted else None
        grad_div = (grad_ee * quotient).neg_()
        grad_gain = (grad * quotient).sum(others)
        return grad_ee, grad_sub, grad_div, None, grad_gain, grad.sum(others)


def _per_channel(parameter: Tensor, like: Tensor) -> Tensor:
    """`parameter` [C] in a shape that broadcasts over `like` [N, C, ...]."""
    return parameter.view(-1, *[1] * (like.dim() - 2))


def scale_shift(x: Tensor, gain_e: Tensor, bias: Tensor) -> Tensor:
    """g_E . x + b_E for currents `x` [N, n_E, ...]: the circuit without division."""
    return torch.addcmul(_per_channel(bias, x), x, _per_channel(gain_e, x))


def integrate(
    i_ee: Tensor,
    i_sub: Tensor | None,
    i_div: Tensor,
    gain_e: Tensor,
    bias: Tensor,
    stabilizer: Stabilization = PAPER,
    straight_through: bool = True,
) -> Tensor:
    """I = g_E . (I_EE - I_sub) / S(I_div) + b_E for currents [N, n_E, ...] (section 2).

    `i_sub` may be None, where there is no subtractive inhibition. `stabilizer` is S going forward;
    unless `straight_through`, its own derivative is taken going backward.
    """
    if not straight_through or tracing():
        net = i_ee if i_sub is None else i_ee - i_sub
        if straight_through:
            stable = stabilizer(i_div.detach())
            return scale_shift(net / backward_of(stable, i_div), gain_e, bias)
        return scale_shift(net / stabilizer(i_div), gain_e, bias)
    with torch.no_grad():
        stable = stabilizer(i_div)
    out = _Integrate.apply(i_ee, i_sub, i_div, stable, gain_e, bias)
    assert isinstance(out, Tensor)
    return out
