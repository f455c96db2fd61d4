"""The E-I circuit and its neurons as one function: from the drive to spikes.

Currents and membrane potentials exist for a few samples at a time, over all steps, and are computed
again on the way back; of a layer the drive alone is kept. The equations are those of `ei_fused` and
`lif`, piece by piece. A drive that is the same at every step, as of a static image, is given for
one step; its current drives all of them, and their gradients are added up. On a GPU with Triton
`triton_ei_lif` takes the place of what is here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eibench.nn.functional.lif import Neuron, fire_over_time, lif_backward
from eibench.nn.kernels import precision
from eibench.nn.kernels.dispatch import use_triton
from eibench.nn.kernels.ei_fused import (
    GradientSums,
    Parts,
    Piece,
    Weights,
    channels_last,
    current_of,
    piece_of,
)
from eibench.nn.kernels.layout import pieces, rows

PIECE = 2**19
"""Numbers of a piece for each thread, over all steps: an operation has a T-th of them."""


class Size(NamedTuple):
    """How many time steps and samples."""

    steps: int
    batch: int


class _EILIF(torch.autograd.Function):
    """`ei_lif` with its backward pass by hand."""

    @staticmethod
    def forward(
        ctx: Any, drive: Tensor, size: Size, parts: Parts, neuron: Neuron, *parameters: Tensor
    ) -> Tensor:
        ctx.save_for_backward(drive, *parameters)
        ctx.about = size, parts, neuron
        way = _ChunkedDrive(drive, size, parts, Weights(*parameters))
        out = channels_last(drive, size.steps * size.batch, way.neurons, drive.dtype)
        into = rows(out)
        for span in way.spans():
            current, u = way.charging(way.through(span))
            fire_over_time(current, u, way.at_each_step(into, span), neuron)
        return out

    @staticmethod
    @precision.backward
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        drive, *parameters = ctx.saved_tensors
        size, parts, neuron = ctx.about
        way = _ChunkedDrive(drive, size, parts, Weights(*parameters))
        sums = GradientSums(way.weights, parts)
        grad_drive = channels_last(drive, len(drive), drive.shape[1], drive.dtype)
        arriving, leaving = rows(grads[0]), rows(grad_drive)
        for span in way.spans():
            through = way.through(span)
            current, u = way.charging(through)
            fire_over_time(current, u, [torch.empty_like(u[0])] * size.steps, neuron)
            grad = [part.to(u[0].dtype) for part in way.at_each_step(arriving, span)]
            grad_u = [torch.empty_like(part) for part in u]
            lif_backward(grad, u, grad_u, neuron)
            for later in grad_u[len(through) :]:  # of equal steps
                grad_u[0] += later
            out = way.at_each_step(leaving, span)
            for piece, part, into in zip(through, grad_u, out, strict=False):
                sums.add(piece, part, into)
        return grad_drive, None, None, None, *sums.parameters()


class _ChunkedDrive:
    """A layer's `drive` [T * B, C, ...], or [B, C, ...] of T equal steps, a span at a time."""

    def __init__(self, drive: Tensor, size: Size, parts: Parts, weights: Weights) -> None:
        self.drive, self.size, self.parts, self.weights = drive, size, parts, weights
        self.rows, self.neurons = rows(drive), len(weights.bias)
        self.positions = drive[0, 0].numel() if len(drive) else 1

    def spans(self) -> Iterator[slice]:
        """Ranges of samples."""
        wide = self.size.steps * self.positions * self.neurons
        return pieces(self.drive[: self.size.batch], 0, max(1, PIECE // wide))

    def at_each_step(self, every: Tensor, span: slice) -> list[Tensor]:
        """The rows of a span's samples among `every` row of all, for each step that there is."""
        step = self.size.batch * self.positions
        start, stop = span.start * self.positions, span.stop * self.positions
        return [every[t + start : t + stop] for t in range(0, len(every), step)]

    def through(self, span: slice) -> list[Piece]:
        """The circuit up to its quotient, for each step of the drive."""
        return [
            piece_of(part, self.weights, self.parts, self.positions)
            for part in self.at_each_step(self.rows, span)
        ]

    def charging(self, through: list[Piece]) -> tuple[list[Tensor], list[Tensor]]:
        """The current of each of T steps, and where its potentials may be written: over it, but
        for a current that serves several steps."""
        current = [current_of(piece, self.weights) for piece in through]
        equal = self.size.steps - len(current)
        u = [*current, *(torch.empty_like(current[0]) for _ in range(equal))]
        return [*current, *[current[0]] * equal], u


def ei_lif(drive: Tensor, size: Size, parts: Parts, neuron: Neuron, *parameters: Tensor) -> Tensor:
    """Spikes [T, B, n_E, ...] of the neurons that the circuit's current drives.

    Args:
        drive: [T * B, n_E + n_I, ...], or [B, ...] where all steps are equal; see `ei_fold`.
        size: T and B.
        parts: which circuit it is.
        neuron: the neuron's constants.
        parameters: W_EI, g_I, g_E and b_E, as for `ei_current`.

    Returns:
        Spikes, 0 or 1, in the dtype of the drive, channels side by side in memory.
    """
    function: Any = _EILIF
    if use_triton(drive):
        from eibench.nn.kernels import triton_ei_lif

        function = triton_ei_lif.EILIF
    with precision.autocast_disabled(drive):
        out = function.apply(drive, size, parts, neuron, *parameters)
    spikes: Tensor = out.unflatten(0, size)
    return spikes
