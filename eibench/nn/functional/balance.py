"""Operations that keep an E-I circuit balanced while it learns; none of them is in the paper.

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
