"""The E-I circuit behind the synapse as one autograd function, computed in small chunks.

It takes the drive D = [I_EE, z_I] of `ei_fold` to the integrated current, and keeps D alone for the
backward pass: inhibition is cheap to compute again and costly to keep. With A = W_EI, G = A . g_I,
raw = I_EE - A s_I, net = g_E raw and d the gradient of I = net / S + b_E, the straight-through
backward pass is

    n = d / S                              gradient of net; g_E n is that of I_EE
    m = -n net / S                         gradient of I_div
    ds_I = m G - g_E n A                   and of z_I = s_I under Dale's law
    dA = K_m . g_I - K_n                   K_n = sum g_E n s_I^T, K_m = sum m s_I^T
    dg_I = sum_e (K_m . A)                 dg_E = sum n raw,   db_E = sum d

with sums over samples and positions. Tensors are seen as rows [positions, channels], so that every
product is one of matrices.

In a folded drive the upper half is net itself, and the terms in n come out of the folded weights.
Without Dale's law, where nothing is folded, s_I = max(0, z_I) and dz_I is ds_I where z_I > 0, else
0. Where all activity of a chunk is silent, its current is b_E and it sends no gradient back.

Values and gradients are those of `functional.integrate` over `functional.inhibit`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eibench.nn import autograd
from eibench.nn.functional.ei import Stabilization
from eibench.nn.kernels.division import stabilize
from eibench.nn.kernels.layout import CHUNK, chunks, empty_channels_last, rows

threshold_backward = torch.ops.aten.threshold_backward.grad_input
TINY = 1e-30
"""A divisor that is known to be above this is not searched for zeros."""


class CircuitKind(NamedTuple):
    """The variant of the circuit."""

    subtractive: bool
    folded: bool
    """Gain and subtraction are in the synapse already."""
    rectified: bool
    """The inhibitory cells have a rectifier: without Dale's law."""
    stabilization: Stabilization
    """S; it leaves positive divisors as they are, but for the leak."""


class Drive(NamedTuple):
    """The product of a layer's stacked synapses with its activity, and the rest of the circuit."""

    values: Tensor
    """[I_EE, z_I]: [N, n_E + n_I, ...]; see `ei_fold`."""
    kind: CircuitKind
    parameters: tuple[Tensor, Tensor, Tensor, Tensor]
    """W_EI [n_E, n_I], g_I [n_I], g_E [n_E] and b_E [n_E]."""


def ei_current(drive: Drive) -> Tensor:
    """Return the integrated current I [N, n_E, ...], channels_last, in the parameters' dtype.

    S acts on each sample alone; going backward it is the identity.
    """
    with autograd.autocast_disabled(drive.values):
        out = _EICurrent.apply(drive.values, drive.kind, *drive.parameters)
    assert isinstance(out, Tensor)
    return out


class _EICurrent(torch.autograd.Function):
    """`ei_current` with its backward pass by hand; see the module."""

    @staticmethod
    def forward(ctx: Any, drive: Tensor, kind: CircuitKind, *parameters: Tensor) -> Tensor:
        weights = CircuitWeights(*parameters)
        out = empty_channels_last(drive, len(drive), len(weights.bias), weights.bias.dtype)
        out_rows = rows(out)
        for place, chunk in _chunks(drive, weights, kind):
            current_of(chunk, weights, out_rows[place])
        ctx.save_for_backward(drive, *parameters)
        ctx.kind = kind
        return out

    @staticmethod
    @autograd.backward
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        drive, *parameters = ctx.saved_tensors
        weights = CircuitWeights(*parameters)
        sums = GradientSums(weights, ctx.kind)
        grad_drive = empty_channels_last(drive, len(drive), drive.shape[1], drive.dtype)
        grad_rows, grad_drive_rows = rows(grads[0]), rows(grad_drive)
        for place, chunk in _chunks(drive, weights, ctx.kind):
            grad = grad_rows[place].to(weights.bias.dtype)
            sums.add(chunk, grad, grad_drive_rows[place])
        return grad_drive, None, *sums.parameters()


@dataclass
class CircuitWeights:
    """A circuit's parameters beside its synapses, and what follows from them."""

    sub: Tensor
    """A [n_E, n_I]."""
    gain_i: Tensor
    gain_e: Tensor
    bias: Tensor

    def __post_init__(self) -> None:
        self.div = self.sub * self.gain_i
        self.least = 0.0
        """Lower bound of every I_div when every s_I is 1; 0 where none is known."""
        if self.div.device.type == "cpu" and self.div.numel() and self.div.amin() >= 0:
            self.least = self.div.amax(1).amin().item()


class Chunk(NamedTuple):
    """A few samples on their way through the circuit, in rows [positions, channels]."""

    s_i: Tensor
    stable: Tensor
    """S(I_div)."""
    net: Tensor
    raw: Tensor | None
    """net without the gain; None in a folded circuit."""
    silent: bool = False
    """The current is known to be b_E and to send nothing back: S is infinite throughout."""


def chunk_of(drive: Tensor, weights: CircuitWeights, kind: CircuitKind, positions: int) -> Chunk:
    """Compute the circuit up to its quotient, for whole samples of `positions` rows each.

    Args:
        drive: rows [P, n_E + n_I].
        weights: the parameters.
        kind: the variant.
        positions: rows of a sample.
    """
    n_e = len(weights.gain_e)
    drive = drive.to(weights.div.dtype)
    net, z_i = drive[:, :n_e], drive[:, n_e:]
    s_i = z_i.clamp_min(0) if kind.rectified else z_i
    readable = s_i.device.type == "cpu" and s_i.numel() > 0
    least = s_i.amin().item() if readable else 0.0
    # Subtraction and gain.
    raw = None
    if not kind.folded:
        raw = torch.addmm(net, s_i, weights.sub.t(), alpha=-1) if kind.subtractive else net
        net = raw * weights.gain_e
    # A silent chunk has an infinite divisor.
    rule = kind.stabilization
    if readable and least == 0 and rule.adaptive and s_i.amax() == 0:
        return Chunk(s_i, net.new_full((), torch.inf), net, raw, silent=True)
    # Division; where every divisor is known to be positive S has only the leak to add.
    divisor = s_i @ weights.div.t()
    if least * weights.least > TINY:
        divisor = divisor.add_(rule.leak) if rule.leak else divisor
    else:
        divisor = stabilize(divisor.view(-1, positions * n_e), rule).view(divisor.shape)
    return Chunk(s_i, divisor, net, raw)


def current_of(chunk: Chunk, weights: CircuitWeights, out: Tensor | None = None) -> Tensor:
    """Return I [P, n_E] of a chunk, written to `out` where that is given."""
    return torch.addcdiv(weights.bias, chunk.net, chunk.stable, out=out)


class GradientSums:
    """The gradients of the parameters, summed over chunks."""

    def __init__(self, weights: CircuitWeights, kind: CircuitKind) -> None:
        self.weights, self.kind = weights, kind
        self.minus_div = -weights.div
        self.outer_sub, self.outer_div = (torch.zeros_like(weights.div) for _ in range(2))
        self.gain_e, self.bias = torch.zeros_like(weights.gain_e), torch.zeros_like(weights.bias)

    def add(self, chunk: Chunk, grad: Tensor, grad_drive: Tensor) -> None:
        """Add a chunk whose current has gradient `grad`; write the gradient of its drive."""
        n_e = len(self.bias)
        self.bias += grad.sum(0)
        if chunk.silent:
            grad_drive.zero_()
            return
        grad_net, grad_cells = grad_drive[:, :n_e], grad_drive[:, n_e:]
        if grad_drive.dtype != grad.dtype:  # compute in full precision, round the result alone
            grad_net, grad_cells = torch.empty_like(grad), torch.empty_like(chunk.s_i)
        # Quotient: n, and -m.
        torch.div(grad, chunk.stable, out=grad_net)
        minus_m = (chunk.net * grad_net).div_(chunk.stable)
        # Divisive inhibition: K_m and m G.
        self.outer_div.addmm_(minus_m.t(), chunk.s_i, alpha=-1)
        torch.mm(minus_m, self.minus_div, out=grad_cells)
        # Gain and subtraction, unless they are in the synapse.
        if chunk.raw is not None:
            self._add_unfolded(chunk, chunk.raw, grad_net, grad_cells)
        if self.kind.rectified:
            threshold_backward(grad_cells, chunk.s_i, 0.0, grad_input=grad_cells)
        if grad_drive.dtype != grad.dtype:
            grad_drive[:, :n_e], grad_drive[:, n_e:] = grad_net, grad_cells

    def _add_unfolded(self, chunk: Chunk, raw: Tensor, grad_net: Tensor, cells: Tensor) -> None:
        """Turn the gradient of net into that of I_EE; add subtraction's share to that of cells."""
        self.gain_e += (grad_net * raw).sum(0)
        grad_net.mul_(self.weights.gain_e)
        if self.kind.subtractive:
            self.outer_sub.addmm_(grad_net.t(), chunk.s_i, alpha=-1)
            cells.addmm_(grad_net, self.weights.sub, alpha=-1)

    def parameters(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the gradients of W_EI, g_I, g_E and b_E."""
        grad_ei = self.outer_div * self.weights.gain_i + self.outer_sub
        grad_gain_i = (self.outer_div * self.weights.sub).sum(0)
        return grad_ei, grad_gain_i, self.gain_e, self.bias


def _chunks(
    drive: Tensor, weights: CircuitWeights, kind: CircuitKind
) -> Iterator[tuple[slice, Chunk]]:
    """Yield the chunks of `drive` [N, n_E + n_I, ...], a few whole samples each, and their rows."""
    positions = drive[0, 0].numel() if len(drive) else 1
    drive_rows = rows(drive)
    for samples in chunks(drive, 0, max(1, CHUNK // (positions * len(weights.bias)))):
        place = slice(samples.start * positions, samples.stop * positions)
        yield place, chunk_of(drive_rows[place], weights, kind, positions)
