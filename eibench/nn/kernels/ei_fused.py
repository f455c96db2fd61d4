"""The E-I circuit behind the synapse as one autograd function, worked through in small pieces.

It takes the drive D = [I_EE, z_I] of `ei_fold` to the integrated current, and keeps D alone for the
way back: inhibition is cheap to compute again and dear to keep. With A = W_EI, G = A . g_I,
raw = I_EE - A s_I, net = g_E raw and d the gradient of I = net / S + b_E, the straight-through
backward pass is

    n = d / S                              gradient of net; g_E n is that of I_EE
    m = -n net / S                         gradient of I_div
    ds_I = m G - g_E n A                   and of z_I = s_I under Dale's law
    dA = K_m . g_I - K_n                   K_n = sum g_E n s_I^T, K_m = sum m s_I^T
    dg_I = sum_e (K_m . A)                 dg_E = sum n raw,   db_E = sum d

with sums over samples and positions. Channels of a position stand side by side (`rows`), so every
product is one of matrices.

Of a folded drive net is there already, and the terms in n come out of the folded weights by
themselves. Without Dale's law, where nothing is folded, s_I = max(0, z_I) and dz_I is ds_I where
z_I > 0, else 0.

Where all activity of a piece is silent, so is its current but for b_E, and it sends nothing back.

Values and gradients are those of `integrate` over `inhibit`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eibench.nn.functional.ei import Stabilization
from eibench.nn.kernels import precision
from eibench.nn.kernels.layout import PIECE, pieces, rows

threshold_backward = torch.ops.aten.threshold_backward.grad_input
TINY = 1e-30
"""A divisor that is known to be above this is not looked at for zeros."""


class Parts(NamedTuple):
    """Which circuit it is."""

    subtractive: bool
    folded: bool
    """Whether gain and subtraction are in the synapse already."""
    rectified: bool
    """Whether the inhibitory cells have a rectifier: without Dale's law."""
    stabilize: Stabilization
    """S; it leaves positive divisors as they are, but for the leak."""


@dataclass
class Weights:
    """What a circuit has beside its synapses."""

    sub: Tensor
    """A [n_E, n_I]."""
    gain_i: Tensor
    gain_e: Tensor
    bias: Tensor

    def __post_init__(self) -> None:
        self.div = self.sub * self.gain_i
        self.least = 0.0
        """What each I_div is at least when every s_I is 1; 0 where that is not known."""
        if self.div.device.type == "cpu" and self.div.numel() and self.div.amin() >= 0:
            self.least = self.div.amax(1).amin().item()


class Piece(NamedTuple):
    """A few samples on their way through the circuit, in rows [positions, channels]."""

    s_i: Tensor
    stable: Tensor
    net: Tensor
    raw: Tensor | None
    """net without the gain; None of a folded circuit."""
    silent: bool = False
    """Known to have no current but b_E and to send nothing back: S is infinite throughout."""


def piece_of(part: Tensor, weights: Weights, parts: Parts, positions: int) -> Piece:
    """The circuit up to its quotient, for whole samples of `positions` rows [P, n_E + n_I] each."""
    n_e = len(weights.gain_e)
    part = part.to(weights.div.dtype)
    net, z_i = part[:, :n_e], part[:, n_e:]
    s_i = z_i.clamp_min(0) if parts.rectified else z_i
    readable = s_i.device.type == "cpu" and s_i.numel() > 0
    least = s_i.amin().item() if readable else 0.0
    raw = None
    if not parts.folded:
        raw = torch.addmm(net, s_i, weights.sub.t(), alpha=-1) if parts.subtractive else net
        net = raw * weights.gain_e
    if readable and least == 0 and parts.stabilize.adaptive and s_i.amax() == 0:
        return Piece(s_i, net.new_full((), torch.inf), net, raw, silent=True)
    divisor = s_i @ weights.div.t()
    if least * weights.least > TINY:
        divisor = divisor.add_(parts.stabilize.leak) if parts.stabilize.leak else divisor
    else:
        samples = divisor.view(-1, positions * n_e)
        divisor = parts.stabilize(samples).view(divisor.shape)
    return Piece(s_i, divisor, net, raw)


def current_of(piece: Piece, weights: Weights, out: Tensor | None = None) -> Tensor:
    """I [P, n_E] of a piece."""
    return torch.addcdiv(weights.bias, piece.net, piece.stable, out=out)


class GradientSums:
    """The gradients of the parameters, gathered from one piece after another."""

    def __init__(self, weights: Weights, parts: Parts) -> None:
        self.weights, self.parts = weights, parts
        self.minus_div = -weights.div
        self.outer_sub, self.outer_div = (torch.zeros_like(weights.div) for _ in range(2))
        self.gain_e, self.bias = torch.zeros_like(weights.gain_e), torch.zeros_like(weights.bias)

    def add(self, piece: Piece, grad: Tensor, grad_drive: Tensor) -> None:
        """Add a piece whose current has gradient `grad`; writes the gradient of its drive."""
        n_e = len(self.bias)
        self.bias += grad.sum(0)
        if piece.silent:
            grad_drive.zero_()
            return
        of_net, of_cells = grad_drive[:, :n_e], grad_drive[:, n_e:]
        if grad_drive.dtype != grad.dtype:  # what is narrower gets the result alone
            of_net, of_cells = torch.empty_like(grad), torch.empty_like(piece.s_i)
        torch.div(grad, piece.stable, out=of_net)
        against = (piece.net * of_net).div_(piece.stable)  # of I_div, but for the sign
        self.outer_div.addmm_(against.t(), piece.s_i, alpha=-1)
        torch.mm(against, self.minus_div, out=of_cells)
        if piece.raw is not None:
            self._plain(piece, piece.raw, of_net, of_cells)
        if self.parts.rectified:
            threshold_backward(of_cells, piece.s_i, 0.0, grad_input=of_cells)
        if grad_drive.dtype != grad.dtype:
            grad_drive[:, :n_e], grad_drive[:, n_e:] = of_net, of_cells

    def _plain(self, piece: Piece, raw: Tensor, net: Tensor, cells: Tensor) -> None:
        """Gain and subtraction where they are not folded: from the gradient of net to I_EE's."""
        self.gain_e += (net * raw).sum(0)
        net.mul_(self.weights.gain_e)
        if self.parts.subtractive:
            self.outer_sub.addmm_(net.t(), piece.s_i, alpha=-1)
            cells.addmm_(net, self.weights.sub, alpha=-1)

    def parameters(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The gradients of W_EI, g_I, g_E and b_E."""
        grad_ei = self.outer_div * self.weights.gain_i + self.outer_sub
        grad_gain_i = (self.outer_div * self.weights.sub).sum(0)
        return grad_ei, grad_gain_i, self.gain_e, self.bias


class _EICurrent(torch.autograd.Function):
    """`ei_current` with its backward pass by hand; see the module."""

    @staticmethod
    def forward(ctx: Any, drive: Tensor, parts: Parts, *parameters: Tensor) -> Tensor:
        weights = Weights(*parameters)
        out = channels_last(drive, len(drive), len(weights.bias), weights.bias.dtype)
        leaving = rows(out)
        for place, piece in _pieces(drive, weights, parts):
            current_of(piece, weights, leaving[place])
        ctx.save_for_backward(drive, *parameters)
        ctx.parts = parts
        return out

    @staticmethod
    @precision.backward
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        drive, *parameters = ctx.saved_tensors
        weights = Weights(*parameters)
        sums = GradientSums(weights, ctx.parts)
        grad_drive = channels_last(drive, len(drive), drive.shape[1], drive.dtype)
        arriving, leaving = rows(grads[0]), rows(grad_drive)
        for place, piece in _pieces(drive, weights, ctx.parts):
            sums.add(piece, arriving[place].to(weights.bias.dtype), leaving[place])
        return grad_drive, None, *sums.parameters()


def _pieces(drive: Tensor, weights: Weights, parts: Parts) -> Iterator[tuple[slice, Piece]]:
    """The pieces of `drive` [N, n_E + n_I, ...], a few whole samples each, and their rows."""
    positions = drive[0, 0].numel() if len(drive) else 1
    every = rows(drive)
    for samples in pieces(drive, 0, max(1, PIECE // (positions * len(weights.bias)))):
        place = slice(samples.start * positions, samples.stop * positions)
        yield place, piece_of(every[place], weights, parts, positions)


def channels_last(like: Tensor, samples: int, channels: int, dtype: torch.dtype) -> Tensor:
    """An empty [samples, channels, ...] for `like` [N, C, ...], channels side by side in memory; no
    view of another, so that it may be changed in place."""
    size = like.shape[2:]
    inner = [channels * math.prod(size[i + 1 :]) for i in range(len(size))]
    strides = (channels * math.prod(size), 1, *inner)
    return torch.empty_strided((samples, channels, *size), strides, dtype=dtype, device=like.device)


def ei_current(
    drive: Tensor,
    parts: Parts,
    weight_ei: Tensor,
    gain_i: Tensor,
    gain_e: Tensor,
    bias: Tensor,
) -> Tensor:
    """The integrated current [N, n_E, ...] of `drive` [N, n_E + n_I, ...] (section 2).

    Args:
        drive: the product of the stacked synapses with the activity; see `ei_fold`.
        parts: which circuit it is. S acts on each sample alone; going backward it is the identity.
        weight_ei: W_EI [n_E, n_I].
        gain_i: g_I [n_I].
        gain_e: g_E [n_E].
        bias: b_E [n_E].

    Returns:
        I, in the dtype of the parameters, its channels side by side in memory (channels_last).
    """
    with precision.autocast_disabled(drive):
        out = _EICurrent.apply(drive, parts, weight_ei, gain_i, gain_e, bias)
    assert isinstance(out, Tensor)
    return out
