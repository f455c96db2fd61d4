"""The E-I circuit and its neurons as one function: from the drive to spikes.

Currents and membrane potentials exist for a few samples at a time, over all steps, and are computed
again in the backward pass; of a layer the drive alone is kept. The equations are those of
`ei_circuit` and `lif`, chunk by chunk. A drive that is the same at every step, as of a static
image, is given for one step; its current drives all of them, and their gradients are added up. On a
GPU with Triton `triton_ei_lif` takes the place of this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eibench.nn import autograd
from eibench.nn.functional.lif import LIFParameters
from eibench.nn.kernels.dispatch import use_triton
from eibench.nn.kernels.ei_circuit import (
    Chunk,
    CircuitKind,
    CircuitWeights,
    Drive,
    GradientSums,
    chunk_of,
    current_of,
)
from eibench.nn.kernels.layout import chunks, empty_channels_last, rows
from eibench.nn.kernels.lif import lif_backward, lif_forward

CHUNK = 2**19
"""Numbers of a chunk for each thread, over all steps: an operation has a T-th of them."""


class Size(NamedTuple):
    """The number of time steps and samples."""

    steps: int
    batch: int


def ei_lif(drive: Drive, size: Size, neuron: LIFParameters) -> Tensor:
    """Return the spikes [T, B, n_E, ...], channels_last, of neurons that the circuit drives.

    Args:
        drive: values [T * B, n_E + n_I, ...], or [B, ...] where all steps are equal.
        size: T and B.
        neuron: the neuron's constants.

    Returns:
        Spikes, 0 or 1, in the dtype of the drive.
    """
    function: Any = _EILIF
    if use_triton(drive.values) and drive.parameters[-1].dtype.itemsize > 2:  # else too coarse
        from eibench.nn.kernels import triton_ei_lif

        function = triton_ei_lif.EILIF
    with autograd.autocast_disabled(drive.values):
        out = function.apply(drive.values, size, drive.kind, neuron, *drive.parameters)
    spikes: Tensor = out.unflatten(0, size)
    return spikes


class _EILIF(torch.autograd.Function):
    """`ei_lif` with its backward pass by hand."""

    @staticmethod
    def forward(
        ctx: Any,
        drive: Tensor,
        size: Size,
        kind: CircuitKind,
        neuron: LIFParameters,
        *parameters: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(drive, *parameters)
        ctx.constants = size, kind, neuron
        chunked = _ChunkedDrive(drive, size, kind, CircuitWeights(*parameters))
        out = empty_channels_last(drive, size.steps * size.batch, chunked.neurons, drive.dtype)
        spikes = rows(out)
        for span in chunked.spans():
            current, u = chunked.currents(chunked.circuit(span))
            lif_forward(current, u, chunked.by_step(spikes, span), neuron)
        return out

    @staticmethod
    @autograd.backward
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        drive, *parameters = ctx.saved_tensors
        size, kind, neuron = ctx.constants
        chunked = _ChunkedDrive(drive, size, kind, CircuitWeights(*parameters))
        sums = GradientSums(chunked.weights, kind)
        grad_drive = empty_channels_last(drive, len(drive), drive.shape[1], drive.dtype)
        grad_spikes, grad_rows = rows(grads[0]), rows(grad_drive)
        for span in chunked.spans():
            # Compute circuit and potentials u again; the spikes are not needed.
            circuit = chunked.circuit(span)
            current, u = chunked.currents(circuit)
            lif_forward(current, u, [torch.empty_like(u[0])] * size.steps, neuron)
            # Neurons: from the spikes' gradient to that of each step's current.
            grad = [part.to(u[0].dtype) for part in chunked.by_step(grad_spikes, span)]
            grad_u = [torch.empty_like(part) for part in u]
            lif_backward(grad, u, grad_u, neuron)
            for later in grad_u[len(circuit) :]:  # equal steps share one current
                grad_u[0] += later
            # Circuit: from the current's gradient to that of the drive and the parameters.
            out = chunked.by_step(grad_rows, span)
            for chunk, part, into in zip(circuit, grad_u, out, strict=False):
                sums.add(chunk, part.to(chunked.weights.bias.dtype), into)
        return grad_drive, None, None, None, *sums.parameters()


class _ChunkedDrive:
    """A layer's drive [T * B, C, ...], or [B, C, ...] of T equal steps, a few samples at a time."""

    def __init__(
        self, drive: Tensor, size: Size, kind: CircuitKind, weights: CircuitWeights
    ) -> None:
        self.drive, self.size, self.kind, self.weights = drive, size, kind, weights
        self.rows, self.neurons = rows(drive), len(weights.bias)
        self.positions = drive[0, 0].numel() if len(drive) else 1

    def spans(self) -> Iterator[slice]:
        """Yield ranges of samples."""
        width = self.size.steps * self.positions * self.neurons
        return chunks(self.drive[: self.size.batch], 0, max(1, CHUNK // width))

    def by_step(self, all_rows: Tensor, span: slice) -> list[Tensor]:
        """Return the rows of a span's samples in `all_rows`, for each step that there is."""
        step = self.size.batch * self.positions
        start, stop = span.start * self.positions, span.stop * self.positions
        return [all_rows[t + start : t + stop] for t in range(0, len(all_rows), step)]

    def circuit(self, span: slice) -> list[Chunk]:
        """Compute the circuit up to its quotient, for each step of the drive."""
        return [
            chunk_of(part, self.weights, self.kind, self.positions)
            for part in self.by_step(self.rows, span)
        ]

    def currents(self, circuit: list[Chunk]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the current of each of T steps, and tensors to write potentials to.

        Potentials overwrite their current, unless it serves several steps.
        """
        kind = torch.promote_types(self.weights.bias.dtype, torch.float32)  # small steps add up
        current = [current_of(chunk, self.weights).to(kind) for chunk in circuit]
        equal = self.size.steps - len(current)
        u = [*current, *(torch.empty_like(current[0]) for _ in range(equal))]
        return [*current, *[current[0]] * equal], u
