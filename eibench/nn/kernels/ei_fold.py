"""The synapses of an E-I layer as one matrix, its linear part folded in where that is cheaper.

The drive is the product with the stacked weights, D = W * x. Plain, W is W_EE above W_IE and
D = [I_EE, z_I]. Folded, gain and subtraction are in the synapse already,

    W = [g_E (W_EE - A W_IE); W_IE]             A = W_EI, D = [g_E (I_EE - A z_I), z_I]

which is the circuit where its cells are linear, under Dale's law. With Q the gradient of the upper
half and P its product with W_IE over a neuron's inputs, the gradients are

    dW_EE = g_E Q        dW_IE = (that of the lower half) - (g_E A)^T Q
    dA = -g_E P          dg_E = sum_inputs Q W_EE - sum_i A P          P = Q W_IE^T

Without division nobody reads z_I, and the upper half is the whole layer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from eibench.nn import autograd
from eibench.nn.kernels.dispatch import use_triton


class _FoldWeights(torch.autograd.Function):
    """`fold_weights` with its backward pass by hand, which keeps nothing but the weights."""

    @staticmethod
    def forward(
        ctx: Any,
        cells: bool,
        weight_ee: Tensor,
        weight_ie: Tensor,
        weight_ei: Tensor,
        gain_e: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(weight_ee, weight_ie, weight_ei, gain_e)
        n_e, n_i = len(weight_ee), len(weight_ie) if cells else 0
        out = weight_ee.new_empty(n_e + n_i, *weight_ee.shape[1:])
        upper, gain = out[:n_e].flatten(1), gain_e.unsqueeze(1)
        torch.mul(weight_ee.flatten(1), gain, out=upper)
        upper.addmm_(weight_ei * gain, weight_ie.flatten(1), alpha=-1)
        out[n_e:] = weight_ie[:n_i]
        return out

    @staticmethod
    @autograd.backward
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weight_ee, weight_ie, weight_ei, gain_e = ctx.saved_tensors
        n_e, gain = len(weight_ee), gain_e.unsqueeze(1)
        upper, lower = grads[0][:n_e].flatten(1), grads[0][n_e:].flatten(1)
        product = upper @ weight_ie.flatten(1).t()
        grad_gain = (upper * weight_ee.flatten(1)).sum(1) - (weight_ei * product).sum(1)
        gained = (weight_ei * gain).t()
        grad_ie = torch.addmm(lower, gained, upper, alpha=-1) if len(lower) else -gained @ upper
        grad_ee = upper * gain
        return (
            None,
            grad_ee.view(weight_ee.shape),
            grad_ie.view(weight_ie.shape),
            product.mul_(gain).neg_(),
            grad_gain,
        )


def fold_weights(
    weight_ee: Tensor, weight_ie: Tensor, weight_ei: Tensor, gain_e: Tensor, cells: bool = True
) -> Tensor:
    """Return the folded W [n_E + n_I, ...]; without the inhibitory `cells` its upper half alone.

    W_EE is [n_E, ...], W_IE [n_I, ...], W_EI [n_E, n_I] and g_E [n_E].
    """
    with autograd.autocast_disabled(weight_ee):
        if autograd.tracing():
            gain = gain_e.view(-1, *[1] * (weight_ee.dim() - 1))
            inhibition = (weight_ei @ weight_ie.flatten(1)).view_as(weight_ee)
            upper = gain * (weight_ee - inhibition)
            return torch.cat([upper, weight_ie]) if cells else upper
        out = _FoldWeights.apply(cells, weight_ee, weight_ie, weight_ei, gain_e)
    assert isinstance(out, Tensor)
    return out


def worth_folding(x: Tensor, out_positions: int, fan_in: int) -> bool:
    """Return whether folding saves work: four products of weights for four over the activity.

    Measured on CPUs alone; Triton's kernels subtract as they read.
    """
    return x.device.type == "cpu" and not use_triton(x) and fan_in < out_positions
