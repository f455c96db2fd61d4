"""The E-I circuit: excitation, subtractive and divisive inhibition, and its backward pass.

Activity x >= 0 drives excitatory synapses (W_EE) and fast inhibitory cells (W_IE), which act on
the excitatory neurons by subtraction and by division:

    I_EE  = W_EE * x                           s_I   = W_IE * x
    I_sub = W_EI s_I                           I_div = W_EI (g_I . s_I)
    I     = g_E . (I_EE - I_sub) / S(I_div) + b_E

`*` is a convolution or a matrix product; W_EI mixes channels at every position. Shapes, with
N = T * B samples (the circuit has no memory, so time is one more batch axis):

    x [N, C, ...]      W_EE [n_E, C, ...]      W_IE [n_I, C, ...]      W_EI [n_E, n_I]
    g_I [n_I]          g_E, b_E [n_E]          I_EE, I_sub, I_div, I [N, n_E, ...]

The inhibitory cells are linear, and so is their derivative: 1 everywhere, at s_I = 0 too. Under
Dale's law s_I >= 0 without a rectifier. Only without Dale's law is there one, s_I = max(0, W_IE *
x), with slope 0 at and below zero.

E-I Prop changes three things in the backward pass. S replaces exact zeros by the sample's smallest
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

from eibench.nn.autograd import autocast_disabled, tracing, with_gradient_of

# --- Inhibitory currents -------------------------------------------------------------------------


def mix_channels(x: Tensor, weight: Tensor) -> Tensor:
    """Return `weight` [M, C] applied to the channels of `x` [N, C, ...] at every position.

    It is computed in the precision of `weight`, under autocast too.
    """
    with autocast_disabled(x):
        x = x.to(weight.dtype)
        if x.dim() == 2:
            return torch.nn.functional.linear(x, weight)
        return torch.nn.functional.conv2d(x, weight[:, :, None, None])


def inhibit(s_i: Tensor, weight_ei: Tensor, gain_i: Tensor) -> tuple[Tensor, Tensor]:
    """Return I_sub = W_EI s_I and I_div = W_EI (g_I . s_I) of inhibitory activity [N, n_I, ...].

    It is one product with both matrices stacked, since both read the same activity.
    """
    both = torch.cat([weight_ei, weight_ei * gain_i])
    subtractive, divisive = mix_channels(s_i, both).chunk(2, dim=1)
    return subtractive, divisive


# --- Integrated current --------------------------------------------------------------------------


class Stabilization(NamedTuple):
    """The rule S that keeps I_div away from zero: a value in place of exact zeros, then a leak."""

    adaptive: bool = True
    """Zeros become the sample's smallest positive I_div, as in the paper."""
    epsilon: float = 0.0
    """The value of zeros otherwise; 0 leaves them as they are."""
    leak: float = 0.0
    """Added to every divisor."""


PAPER = Stabilization()


def stabilize(i_div: Tensor, rule: Stabilization = PAPER) -> Tensor:
    """Return S(I_div) for divisors [N, ...], each of the N samples by itself.

    In a sample without a positive entry zeros become infinite: its current is the bias, and it
    sends no gradient back but the bias's.
    """
    if rule.adaptive:
        positive = torch.where(i_div > 0, i_div, torch.inf)
        smallest = positive.flatten(1).amin(dim=1).view(-1, *[1] * (i_div.dim() - 1))
        i_div = torch.where(i_div == 0, smallest, i_div)
    elif rule.epsilon:
        i_div = torch.where(i_div == 0, rule.epsilon, i_div)
    return i_div + rule.leak if rule.leak else i_div


def per_channel(parameter: Tensor, like: Tensor) -> Tensor:
    """Return `parameter` [C] in a shape that broadcasts over `like` [N, C, ...]."""
    return parameter.view(-1, *[1] * (like.dim() - 2))


def scale_shift(x: Tensor, gain_e: Tensor, bias: Tensor) -> Tensor:
    """Return g_E . x + b_E for currents `x` [N, n_E, ...]: the circuit without division."""
    return torch.addcmul(per_channel(bias, x), x, per_channel(gain_e, x))


def integrate(
    i_ee: Tensor,
    i_sub: Tensor | None,
    i_div: Tensor,
    gain_e: Tensor,
    bias: Tensor,
    rule: Stabilization = PAPER,
    straight_through: bool = True,
) -> Tensor:
    """Return I = g_E . (I_EE - I_sub) / S(I_div) + b_E for currents [N, n_E, ...].

    Without subtractive inhibition `i_sub` is None. With `straight_through` S is the identity going
    backward; otherwise it has its own derivative.
    """
    if straight_through:
        stable = with_gradient_of(stabilize(i_div.detach(), rule), i_div)
    else:
        stable = stabilize(i_div, rule)
    net = i_ee if i_sub is None else i_ee - i_sub
    return scale_shift(net / stable, gain_e, bias)


# --- Gradient scaling ----------------------------------------------------------------------------


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
    """Return `x`, of any shape, with its gradient multiplied by `factor` (1/d for W_EI)."""
    if tracing():
        return with_gradient_of(x, x * factor)
    out = _ScaleGradient.apply(x, factor)
    assert isinstance(out, Tensor)
    return out
