"""The E-I circuit behind the synapse as one autograd function, worked through in small pieces.

It takes what one product with the stacked weights W_EE and W_IE gives, the drive D = [I_EE, z_I],
to the integrated current, and keeps D alone for the way back: inhibition is cheap to compute again
and dear to keep. With A = W_EI, G = A . g_I, net = I_EE - A s_I, q = net / S and d the gradient of
I, the straight-through backward pass is

    n = g_E d / S                    gradient of I_EE; that of I_sub is -n
    m = -n q                         gradient of I_div
    dz_I = (m G - n A) . [z_I > 0]
    dA = K_m . g_I - K_n             K_n = sum n s_I^T, K_m = sum m s_I^T
    dg_I = sum_e (K_m . A)           dg_E = sum d q,   db_E = sum d

with sums over samples and positions. Channels of a position stand side by side (`rows`), so every
product is one of matrices.

Subtraction may be folded into the synapse: with W_EE - A W_IE in place of W_EE, D holds net in
place of I_EE, and the terms -n A and -K_n above come out of the folded weights by themselves. That
holds where the rectifier is idle, z_I > 0, which is nearly everywhere. Where it is not, the
rectifier's part is put right: net lacks A min(z_I, 0), dz_I is [z_I <= 0] . n A, and dA lacks
sum n min(z_I, 0)^T.

Values and gradients are those of `integrate` over `inhibit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from eibench.nn.functional.layout import PIECE, pieces, rows
from eibench.nn.functional.precision import as_it_came

Stabilizer = Callable[[Tensor], Tensor]


class Parts(NamedTuple):
    """Which circuit it is."""

    subtractive: bool
    folded: bool
    """Whether subtraction is in the synapse already."""
    stabilizer: Stabilizer


class Weights(NamedTuple):
    """What a circuit has beside its synapses."""

    sub: Tensor
    """A [n_E, n_I]."""
    div: Tensor
    """G = A . g_I [n_E, n_I]."""
    gain_e: Tensor
    bias: Tensor


class Piece(NamedTuple):
    """A few samples on their way through the circuit, in rows [positions, channels]."""

    place: slice
    """Their rows among all."""
    s_i: Tensor
    stable: Tensor
    quotient: Tensor
    below: Tensor | None
    """min(z_I, 0) of a folded circuit; None where the rectifier is idle throughout."""


class _Inhibited(torch.autograd.Function):
    """`inhibited` with its backward pass by hand; see the module."""

    @staticmethod
    def forward(
        ctx: Any,
        drive: Tensor,
        weight_ei: Tensor,
        gain_i: Tensor,
        gain_e: Tensor,
        bias: Tensor,
        parts: Parts,
    ) -> Tensor:
        weights = Weights(weight_ei, weight_ei * gain_i, gain_e, bias)
        out = _channels_last(drive, len(gain_e), bias.dtype)
        into = rows(out)
        for piece in _pieces(drive, weights, parts):
            torch.addcmul(bias, piece.quotient, gain_e, out=into[piece.place])
        ctx.save_for_backward(drive, weight_ei, gain_i, gain_e, bias)
        ctx.parts = parts
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        drive, weight_ei, gain_i, gain_e, bias = ctx.saved_tensors
        weights = Weights(weight_ei, weight_ei * gain_i, gain_e, bias)
        sums = _Sums(weights, ctx.parts)
        grad_drive = _channels_last(drive, drive.shape[1], drive.dtype)
        arriving, leaving = rows(grads[0]), rows(grad_drive)
        for piece in _pieces(drive, weights, ctx.parts):
            sums.add(piece, arriving[piece.place], leaving[piece.place])
        grad_ei = sums.outer_div * gain_i + sums.outer_sub
        grad_gain_i = (sums.outer_div * weight_ei).sum(0)
        return grad_drive, grad_ei, grad_gain_i, sums.gain_e, sums.bias, None


class _Sums:
    """The gradients of the parameters, gathered from one piece after another."""

    def __init__(self, weights: Weights, parts: Parts) -> None:
        self.weights, self.parts = weights, parts
        self.outer_sub, self.outer_div = (torch.zeros_like(weights.div) for _ in range(2))
        self.gain_e, self.bias = torch.zeros_like(weights.gain_e), torch.zeros_like(weights.bias)

    def add(self, piece: Piece, grad: Tensor, grad_drive: Tensor) -> None:
        """Add a piece whose current has gradient `grad`; writes the gradient of its drive."""
        sub, div, gain_e, _ = self.weights
        n_e = len(gain_e)
        grad = grad.to(gain_e.dtype)
        self.bias += grad.sum(0)
        self.gain_e += (grad * piece.quotient).sum(0)
        net = (grad * gain_e).div_(piece.stable)
        divisor = piece.quotient.mul_(net).neg_()
        self.outer_div.addmm_(divisor.t(), piece.s_i)
        cells = divisor @ div
        if self.parts.subtractive and not self.parts.folded:
            self.outer_sub.addmm_(net.t(), piece.s_i, alpha=-1)
            cells.addmm_(net, sub, alpha=-1)
        cells = torch.ops.aten.threshold_backward(cells, piece.s_i, 0.0)
        if piece.below is not None:
            self.outer_sub.addmm_(net.t(), piece.below)
            cells.addcmul_(net @ sub, (piece.s_i == 0).to(net.dtype))
        grad_drive[:, :n_e], grad_drive[:, n_e:] = net, cells


def _pieces(drive: Tensor, weights: Weights, parts: Parts) -> Iterator[Piece]:
    """The circuit up to its quotient, a few whole samples of `drive` [N, n_E + n_I, ...] a time."""
    n_e = len(weights.gain_e)
    positions = drive[0, 0].numel() if len(drive) else 1
    for samples in pieces(drive, 0, max(1, PIECE // (positions * n_e))):
        part = rows(drive[samples]).to(weights.div.dtype)
        i_ee, z_i = part[:, :n_e], part[:, n_e:]
        s_i = z_i.clamp_min(0)
        below = None
        net = i_ee
        if parts.subtractive and not parts.folded:
            net = torch.addmm(i_ee, s_i, weights.sub.t(), alpha=-1)
        elif parts.folded and not z_i.amin() > 0:
            below = z_i.clamp_max(0)
            net = torch.addmm(i_ee, below, weights.sub.t())
        divisor = s_i @ weights.div.t()
        stable = parts.stabilizer(divisor.view(-1, positions * n_e)).view(divisor.shape)
        place = slice(samples.start * positions, samples.stop * positions)
        yield Piece(place, s_i, stable, net / stable, below)


def _channels_last(like: Tensor, channels: int, dtype: torch.dtype) -> Tensor:
    """An empty [N, channels, ...] for `like` [N, C, ...], channels side by side in memory."""
    shape = (like.shape[0], *like.shape[2:], channels)
    return torch.empty(shape, dtype=dtype, device=like.device).movedim(-1, 1)


def worth_folding(x: Tensor, out_positions: int, fan_in: int) -> bool:
    """Whether folding saves work: three products of weights for four over the activity.

    Not on a GPU, where finding the places at which the rectifier acts would wait for the device.
    """
    return x.device.type == "cpu" and 3 * fan_in < 4 * out_positions


def fold(weight_ee: Tensor, weight_ie: Tensor, weight_ei: Tensor) -> Tensor:
    """W_EE - W_EI W_IE, of the shape of W_EE [n_E, ...]; W_IE is [n_I, ...]."""
    with as_it_came(weight_ee):
        folded = torch.addmm(weight_ee.flatten(1), weight_ei, weight_ie.flatten(1), alpha=-1)
    return folded.view(weight_ee.shape)


def inhibited(
    drive: Tensor,
    weight_ei: Tensor,
    gain_i: Tensor,
    gain_e: Tensor,
    bias: Tensor,
    stabilizer: Stabilizer,
    subtractive: bool = True,
    folded: bool = False,
) -> Tensor:
    """The integrated current [N, n_E, ...] of `drive` [N, n_E + n_I, ...] (section 2).

    Args:
        drive: W_EE * x and W_IE * x, one behind the other; rectifying the latter gives s_I.
        weight_ei: W_EI [n_E, n_I].
        gain_i: g_I [n_I].
        gain_e: g_E [n_E].
        bias: b_E [n_E].
        stabilizer: S on [N, ...], going forward, each sample alone; going backward S is the
            identity.
        subtractive: whether there is subtractive inhibition.
        folded: whether the drive was made with `fold` in place of W_EE.

    Returns:
        I, in the dtype of the parameters, its channels side by side in memory (channels_last).
    """
    parts = Parts(subtractive, folded, stabilizer)
    with as_it_came(drive):
        out = _Inhibited.apply(drive, weight_ei, gain_i, gain_e, bias, parts)
    assert isinstance(out, Tensor)
    return out
