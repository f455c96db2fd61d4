"""Operations that keep an E-I circuit balanced while it learns; none of them is in the paper.

**Blanket inhibition and synaptic scaling.** Without division the circuit is one synapse, the net
synapse N = W_EE - W_EI W_IE. One more inhibitory cell, which hears all inputs alike and reaches
each excitatory neuron with the mean of its row, makes excitation and inhibition of every neuron
equal in sum; scaling then gives every row the same norm:

    N'  = N - beta mean(N)                   beta = 1: each row of N' sums to 0
    N'' = N' / |N'|                          rows of norm 1; g_E carries the scale

Means and norms are over the inputs of a neuron, its row. `balanced_rows` computes it, and gradients
flow through both. N'' is the kernel of weight standardization (Qiao et al. 2019), reached by
inhibition. With beta = 1 adding a constant to a row of W_EE changes nothing but the strength of the
blanket inhibition, so Dale's law costs nothing: `raise_rows_` lifts a row whose weakest synapse has
become negative, in place of cutting it off at zero.

Blanket inhibition is what dense, unselective interneurons give (Fino, Packer and Yuste, The
Neuroscientist 2013). Inhibitory plasticity keeps it equal to excitation (Vogels et al., Science
2011), and synapses scale together (Turrigiano, Cell 2008).

**The common mode of gradients.**

With weights that are not negative the mean of I_EE is several of its standard deviations: for
E-I Init's weights, with m, q and V the mean, the second moment and the variance of the activity,

    mean(I_EE) / std(I_EE) = m sqrt(d / (q + V))        5 at d = 288 and spikes of probability 0.16

A change of all of a neuron's weights together (the common, or mean, mode: their mean over the
neuron's inputs, all of a row) therefore moves its current by whole deviations, and says next to
nothing about the input. The balance with inhibition is a matter of this mode alone.

`scale_mean` acts on the gradient, `rescale_rows_` on the weights after a step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from eibench.nn.autograd import tracing, with_gradient_of

NEAR = 100
"""Row sums this many units of rounding (eps) apart count as equal: a sum of some thousand numbers
is not exact, and what is right already has to stay as it is, to the bit."""


LEAST = 1e-8
"""Added to the square of a row's norm, so that a row of equal weights gives zeros."""


def balanced_rows(net: Tensor, blanket: float = 1.0, scaling: bool = True) -> Tensor:
    """Return `net` [n, ...] less `blanket` times the mean of each row, of norm 1 with `scaling`."""
    rows = net.flatten(1)
    inputs = rows.shape[1]
    if blanket == 1 and scaling:
        standard = torch.nn.functional.layer_norm(rows, (inputs,), eps=LEAST / inputs)
        return (standard * inputs**-0.5).view_as(net)
    if blanket:
        rows = rows - blanket * rows.mean(1, keepdim=True)
    if scaling:
        rows = rows * torch.rsqrt(rows.square().sum(1, keepdim=True) + LEAST)
    return rows.view_as(net)


@torch.no_grad()
def raise_rows_(weight: Tensor) -> None:
    """Add to each row of `weight` [n, ...] what makes its least entry 0, where that is negative."""
    least = weight.flatten(1).amin(1).clamp_max_(0)
    weight.sub_(least.view(-1, *[1] * (weight.dim() - 1)))


class _ScaleMean(torch.autograd.Function):
    """Identity forward; backward, the mean of each row is multiplied by a constant."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        return torch.sub(grad, row_means(grad), alpha=1 - ctx.factor), None


def scale_mean(weight: Tensor, factor: float) -> Tensor:
    """Return `weight` [n, ...] with the common mode of its gradient G multiplied by `factor`.

        G - (1 - factor) mean(G)        the mean over each row, that is over a neuron's inputs

    Linear, so that it commutes with any other factor on the gradient, such as 1/d of E-I Prop.
    A row of one entry is nothing but its mean: under `factor` 0 it does not learn.

    What comes after the gradient comes after this too. Clipping and momentum keep a centred
    gradient centred. AdamW does not: it divides each entry by a size of its own. Weight decay
    shrinks all weights of a neuron, its means with them, and W_EI W_IE twice where W_EE shrinks
    once. Dale's law puts entries at zero that a step left below, and so pushes means up.
    `rescale_rows_` takes all three back.
    """
    if tracing():
        return with_gradient_of(weight, weight - (1 - factor) * row_means(weight))
    out = _ScaleMean.apply(weight, factor)
    assert isinstance(out, Tensor)
    return out


def row_means(weight: Tensor) -> Tensor:
    """Return the means over all but the first axis of `weight` [n, ...], to broadcast."""
    return weight.mean(dim=tuple(range(1, weight.dim())), keepdim=True)


def row_sums(weight: Tensor) -> Tensor:
    """Return the sums [n] over all but the first axis of `weight` [n, ...]."""
    return weight.flatten(1).sum(1)


def rescale_rows_(weight: Tensor, total: Tensor) -> None:
    """Multiply each row of `weight` [n, ...], >= 0, so that it sums to `total`: synaptic scaling.

    A row that sums to zero stays, as does one whose sum is `total` but for rounding: done twice is
    done once. No step waits for a device.
    """
    factor = total / row_sums(weight)
    right = (factor - 1).abs() <= NEAR * torch.finfo(weight.dtype).eps
    factor = torch.where(right | ~factor.isfinite(), 1.0, factor)
    weight.mul_(factor.view(-1, *[1] * (weight.dim() - 1)))
