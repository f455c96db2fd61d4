"""`ei_lif` with Triton kernels: divide, stabilise and fire over all steps in one pass over memory.

Forward: products of matrices give both inhibitory currents. A kernel reads them and the excitation
once and writes the spikes. S takes a pass of its own before, for the smallest positive divisor of
each sample. Nothing but the drive is kept.

Backward: the products are computed again. A kernel runs the steps forward for the potentials, which
it writes to a scratch tensor, and back for the gradients of the three currents, which overwrite
them. Products of matrices give the rest. Nothing waits for the device. The drive is not folded.

The equations are those of `ei_circuit` and `lif`. Importing this needs Triton.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from eibench.nn import autograd
from eibench.nn.functional.lif import LIFParameters
from eibench.nn.kernels.ei_circuit import CircuitKind
from eibench.nn.kernels.layout import empty_channels_last, rows
from eibench.nn.kernels.triton_lif import ATAN, fire_and_reset, step_backward

ROWS, CHANNELS = 32, 64
"""Positions and channels of a program at a time."""


@triton.jit
def _smallest_positive_kernel(
    both, least, positions, n_e, width, offset, ROWS: tl.constexpr, CHANNELS: tl.constexpr
):
    """Write the smallest positive I_div of each sample, infinity where there is none."""
    sample = tl.program_id(0).to(tl.int64)
    found = tl.full([ROWS, CHANNELS], float("inf"), dtype=both.dtype.element_ty)
    for row in range(0, positions, ROWS):
        for channel in range(0, n_e, CHANNELS):
            r, c = row + tl.arange(0, ROWS), channel + tl.arange(0, CHANNELS)
            inside = (r < positions)[:, None] & (c < n_e)[None, :]
            place = (sample * positions + r)[:, None] * width + offset + c[None, :]
            value = tl.load(both + place, mask=inside, other=0.0)
            found = tl.minimum(found, tl.where(value > 0, value, float("inf")))
    tl.store(least + sample, tl.min(tl.min(found, axis=1), axis=0))


@triton.jit
def _currents(
    drive, both, least, row, c, rows_in, inside, n_e, n_all, width, positions, epsilon, leak,
    SUB: tl.constexpr, ADAPTIVE: tl.constexpr,
):  # fmt: skip
    """Return I_EE - I_sub and S(I_div) of a tile."""
    place = row[:, None] * width + c[None, :]
    raw = tl.load(drive + row[:, None] * n_all + c[None, :], mask=inside, other=0.0)
    raw = raw.to(both.dtype.element_ty)
    if SUB:
        raw -= tl.load(both + place, mask=inside, other=0.0)
        place += n_e
    divisor = tl.load(both + place, mask=inside, other=1.0)
    if ADAPTIVE:
        stand_in = tl.load(least + row // positions, mask=rows_in, other=1.0)
        divisor = tl.where(divisor == 0, stand_in[:, None], divisor)
    else:
        divisor = tl.where(divisor == 0, epsilon, divisor)
    return raw, divisor + leak


@triton.jit
def _forward_kernel(
    drive, both, least, gain, bias, spikes,
    size, n_e, n_all, width, positions, epsilon, leak, decay, threshold,
    T: tl.constexpr, ONCE: tl.constexpr, SUB: tl.constexpr, ADAPTIVE: tl.constexpr,
    HARD: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    r = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    rows_in = r < size
    inside = rows_in[:, None] & (c < n_e)[None, :]
    g = tl.load(gain + c, mask=c < n_e, other=0.0)[None, :]
    b = tl.load(bias + c, mask=c < n_e, other=0.0)[None, :]
    v = tl.zeros([ROWS, CHANNELS], dtype=both.dtype.element_ty)
    for t in range(T):
        row = r if ONCE else r + t * size
        raw, stable = _currents(
            drive, both, least, row, c, rows_in, inside, n_e, n_all, width, positions,
            epsilon, leak, SUB, ADAPTIVE,
        )  # fmt: skip
        charged = decay * v + g * raw / stable + b
        spike, v = fire_and_reset(charged, threshold, HARD)
        tl.store(spikes + (r + t * size)[:, None] * n_e + c[None, :], spike, mask=inside)


@triton.jit
def _currents_backward(
    drive, both, least, grad_drive, row, c, rows_in, inside, g, d,
    n_e, n_all, width, positions, epsilon, leak,
    SUB: tl.constexpr, ADAPTIVE: tl.constexpr,
):  # fmt: skip
    """Turn the gradient `d` of a tile's current into those of I_EE, I_sub and I_div; the last two
    overwrite these currents. Return the tile's part of the gradient of g_E."""
    raw, stable = _currents(
        drive, both, least, row, c, rows_in, inside, n_e, n_all, width, positions,
        epsilon, leak, SUB, ADAPTIVE,
    )  # fmt: skip
    net = d / stable
    place = row[:, None] * width + c[None, :]
    tl.store(grad_drive + row[:, None] * n_all + c[None, :], g * net, mask=inside)
    if SUB:
        tl.store(both + place, -g * net, mask=inside)
        place += n_e
    tl.store(both + place, -net * g * raw / stable, mask=inside)
    return tl.where(inside, net * raw, 0.0)


@triton.jit
def _backward_kernel(
    grad, drive, both, least, gain, bias, u, grad_drive, grad_gain, grad_bias,
    size, n_e, n_all, width, positions, epsilon, leak, decay, threshold,
    T: tl.constexpr, ONCE: tl.constexpr, SUB: tl.constexpr, ADAPTIVE: tl.constexpr,
    HARD: tl.constexpr, DETACH: tl.constexpr, ATAN: tl.constexpr,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    r = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    rows_in = r < size
    inside = rows_in[:, None] & (c < n_e)[None, :]
    g = tl.load(gain + c, mask=c < n_e, other=0.0)[None, :]
    b = tl.load(bias + c, mask=c < n_e, other=0.0)[None, :]
    v = tl.zeros([ROWS, CHANNELS], dtype=both.dtype.element_ty)
    for t in range(T):
        row = r if ONCE else r + t * size
        raw, stable = _currents(
            drive, both, least, row, c, rows_in, inside, n_e, n_all, width, positions,
            epsilon, leak, SUB, ADAPTIVE,
        )  # fmt: skip
        charged = decay * v + g * raw / stable + b
        tl.store(u + (r + t * size)[:, None] * n_e + c[None, :], charged, mask=inside)
        _, v = fire_and_reset(charged, threshold, HARD)
    later = tl.zeros([ROWS, CHANNELS], dtype=both.dtype.element_ty)
    total = tl.zeros([ROWS, CHANNELS], dtype=both.dtype.element_ty)
    of_g = tl.zeros([ROWS, CHANNELS], dtype=both.dtype.element_ty)
    for back in range(T):
        place = (r + (T - 1 - back) * size)[:, None] * n_e + c[None, :]
        charged = tl.load(u + place, mask=inside, other=0.0)
        grad_spike = tl.load(grad + place, mask=inside, other=0.0)
        later = step_backward(grad_spike, charged, later, threshold, decay, HARD, DETACH, ATAN)
        total += later
        if not ONCE:
            of_g += _currents_backward(
                drive, both, least, grad_drive, r + (T - 1 - back) * size, c, rows_in, inside, g,
                later, n_e, n_all, width, positions, epsilon, leak, SUB, ADAPTIVE,
            )  # fmt: skip
    if ONCE:
        of_g += _currents_backward(
            drive, both, least, grad_drive, r, c, rows_in, inside, g,
            total, n_e, n_all, width, positions, epsilon, leak, SUB, ADAPTIVE,
        )  # fmt: skip
    sums = tl.program_id(0).to(tl.int64) * n_e + c
    tl.store(grad_gain + sums, tl.sum(of_g, axis=0), mask=c < n_e)
    tl.store(grad_bias + sums, tl.sum(total, axis=0), mask=c < n_e)


class _KernelInputs:
    """A layer's tensors as the kernels take them: the drive in rows, both inhibitory currents."""

    def __init__(
        self,
        drive: Tensor,
        size: tuple[int, int],
        kind: CircuitKind,
        parameters: tuple[Tensor, ...],
    ) -> None:
        self.weight_ei, self.gain_i, self.gain_e, self.bias = parameters
        n_e = len(self.bias)
        self.drive, self.kind = rows(drive), kind
        self.steps, batch = size
        self.positions = drive[0, 0].numel()
        self.rows = batch * self.positions
        self.s_i = self.drive[:, n_e:].to(self.bias.dtype)
        if kind.rectified:
            self.s_i = self.s_i.clamp_min(0)
        div = self.weight_ei * self.gain_i
        self.weights = torch.cat([self.weight_ei, div]) if kind.subtractive else div
        self.both = self.s_i @ self.weights.t()
        self.least = self.both.new_empty(len(drive))
        sizes = (n_e, self.both.shape[1])
        if kind.stabilization.adaptive:
            _smallest_positive_kernel[(len(drive),)](
                self.both, self.least, self.positions, *sizes, sizes[1] - n_e,
                ROWS=ROWS, CHANNELS=CHANNELS,
            )  # fmt: skip
        self.grid = (triton.cdiv(self.rows, ROWS), triton.cdiv(n_e, CHANNELS))

    def call(
        self, kernel: Any, tensors: tuple[Tensor, ...], neuron: LIFParameters, **flags: bool
    ) -> None:
        """Run `kernel` on `tensors` with the layer's sizes and constants."""
        n_all, rule = self.drive.shape[1], self.kind.stabilization
        sizes = (self.rows, len(self.bias), n_all, self.both.shape[1], self.positions)
        constants = (rule.epsilon, rule.leak, neuron.decay, neuron.threshold)
        kernel[self.grid](
            *tensors, *sizes, *constants, T=self.steps, ONCE=len(self.drive) == self.rows,
            SUB=self.kind.subtractive, ADAPTIVE=rule.adaptive, HARD=neuron.hard,
            ROWS=ROWS, CHANNELS=CHANNELS, **flags,
        )  # fmt: skip

    def inputs(self) -> tuple[Tensor, ...]:
        """Return the tensors that both kernels read."""
        return self.drive, self.both, self.least, self.gain_e, self.bias

    def parameter_gradients(self) -> tuple[Tensor, Tensor]:
        """Return the gradients of W_EI and g_I; `both` holds those of the inhibitory currents."""
        outer = self.both.t() @ self.s_i
        divisive = outer[-len(self.bias) :]
        grad_ei = divisive * self.gain_i
        if self.kind.subtractive:
            grad_ei = grad_ei + outer[: len(self.bias)]
        return grad_ei, (divisive * self.weight_ei).sum(0)


class EILIF(torch.autograd.Function):
    """The function that `ei_lif` applies where Triton computes."""

    @staticmethod
    def forward(
        ctx: Any,
        drive: Tensor,
        size: tuple[int, int],
        kind: CircuitKind,
        neuron: LIFParameters,
        *parameters: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(drive, *parameters)
        ctx.constants = size, kind, neuron
        steps, batch = size
        spikes = empty_channels_last(drive, steps * batch, len(parameters[-1]), drive.dtype)
        if spikes.numel():
            layer = _KernelInputs(drive, size, kind, parameters)
            layer.call(_forward_kernel, (*layer.inputs(), rows(spikes)), neuron)
        return spikes

    @staticmethod
    @autograd.backward
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        drive, *parameters = ctx.saved_tensors
        size, kind, neuron = ctx.constants
        if not grads[0].numel():
            return (torch.zeros_like(drive), None, None, None, *map(torch.zeros_like, parameters))
        layer = _KernelInputs(drive, size, kind, tuple(parameters))
        grad_spikes = rows(grads[0]).contiguous()
        u = torch.empty(grad_spikes.shape, dtype=layer.both.dtype, device=drive.device)
        grad_drive = empty_channels_last(drive, len(drive), drive.shape[1], drive.dtype)
        grad_rows = rows(grad_drive)
        grad_gain, grad_bias = (u.new_empty(layer.grid[0], u.shape[1]) for _ in range(2))
        layer.call(
            _backward_kernel,
            (grad_spikes, *layer.inputs(), u, grad_rows, grad_gain, grad_bias),
            neuron,
            DETACH=neuron.detach_reset,
            ATAN=neuron.surrogate == ATAN,
        )
        grad_cells = layer.both @ layer.weights
        grad_rows[:, u.shape[1] :] = grad_cells * (layer.s_i > 0) if kind.rectified else grad_cells
        grads_e = grad_gain.sum(0), grad_bias.sum(0)
        return grad_drive, None, None, None, *layer.parameter_gradients(), *grads_e
