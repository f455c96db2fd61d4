"""Blanket inhibition and synaptic scaling: an E-I circuit that stays balanced while it learns.

Without division the circuit is one synapse, the net synapse N = W_EE - W_EI W_IE. One more
inhibitory cell, which hears all inputs alike and reaches each excitatory neuron with the mean of
its row, makes excitation and inhibition of every neuron equal in sum; scaling then gives every row
the same norm:

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
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 1e-8
"""Added to the square of a row's norm, so that a row of equal weights gives zeros."""


def balanced_rows(net: Tensor, blanket: float = 1.0, scaling: bool = True) -> Tensor:
    """Return `net` [n, ...] less `blanket` times the mean of each row, of norm 1 with `scaling`."""
    rows = net.flatten(1)
    inputs = rows.shape[1]
    if blanket == 1 and scaling:
        size: float = inputs**-0.5
        standard = torch.nn.functional.layer_norm(rows, (inputs,), eps=LEAST / inputs)
        return (standard * size).view_as(net)
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
