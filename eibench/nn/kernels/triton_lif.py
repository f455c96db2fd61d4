"""The neuron over time and the circuit's S as Triton kernels: one pass over memory each.

A program of the neuron's kernels takes some neurons through all steps with their membrane in
registers: forward it reads the current and writes potentials and spikes, backward it reads the
spikes' gradient and the potentials and writes the current's gradient. S takes a pass for the
smallest positive divisor of each sample and one to put it in the place of zeros. Nothing waits for
the device. Importing this needs Triton; `dispatch` decides when it is used.

The equations are those of `functional.lif` and `functional.ei`.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from eibench.nn.functional.lif import LIFParameters

BLOCK = 1024
"""Numbers of a program at a time."""
ATAN = "atan"


@triton.jit
def fire_and_reset(charged, threshold, HARD: tl.constexpr):
    """Return spikes and the potentials v that they leave of `charged` ones."""
    spike = (charged >= threshold).to(charged.dtype)
    return spike, charged * (1 - spike) if HARD else charged - threshold * spike


@triton.jit
def step_backward(
    grad_spike, charged, later, threshold, decay,
    HARD: tl.constexpr, DETACH: tl.constexpr, ATAN: tl.constexpr,
):  # fmt: skip
    """Return dL/du[t] from dL/ds[t], u[t] and `later`, which is dL/du[t+1]."""
    x = charged - threshold
    if ATAN:
        bump = 1 / (1 + (3.141592653589793 * x) * (3.141592653589793 * x))
    else:
        small = tl.exp(-4 * tl.abs(x))
        bump = 4 * small / ((1 + small) * (1 + small))
    slope = (charged < threshold).to(x.dtype) if HARD else 1.0
    if not DETACH:
        slope = slope - (charged * bump if HARD else threshold * bump)
    return grad_spike * bump + decay * later * slope


@triton.jit
def _lif_forward_kernel(
    current, u, spikes, size, step, decay, threshold,
    T: tl.constexpr, HARD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    v = tl.zeros([BLOCK], dtype=u.dtype.element_ty)
    for t in range(T):
        charged = decay * v + tl.load(current + t * step + place, mask=inside, other=0.0)
        spike, v = fire_and_reset(charged, threshold, HARD)
        tl.store(u + t * size + place, charged, mask=inside)
        tl.store(spikes + t * size + place, spike, mask=inside)


@triton.jit
def _lif_backward_kernel(
    grad, u, out, size, step, decay, threshold,
    T: tl.constexpr, HARD: tl.constexpr, DETACH: tl.constexpr, ATAN: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    later = tl.zeros([BLOCK], dtype=u.dtype.element_ty)
    for back in range(T):
        t = T - 1 - back
        charged = tl.load(u + t * size + place, mask=inside, other=0.0)
        grad_spike = tl.load(grad + t * step + place, mask=inside, other=0.0)
        later = step_backward(grad_spike, charged, later, threshold, decay, HARD, DETACH, ATAN)
        tl.store(out + t * size + place, later, mask=inside)


@triton.jit
def _smallest_positive_kernel(divisor, smallest, size, BLOCK: tl.constexpr):
    sample = tl.program_id(0).to(tl.int64)
    least = tl.full([BLOCK], float("inf"), dtype=divisor.dtype.element_ty)
    for start in range(0, size, BLOCK):
        place = start + tl.arange(0, BLOCK)
        value = tl.load(divisor + sample * size + place, mask=place < size, other=0.0)
        least = tl.minimum(least, tl.where(value > 0, value, float("inf")))
    tl.store(smallest + sample, tl.min(least, axis=0))


@triton.jit
def _replace_zeros_kernel(divisor, smallest, out, size, BLOCK: tl.constexpr):
    sample = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(divisor + sample * size + place, mask=place < size, other=0.0)
    value = tl.where(value == 0, tl.load(smallest + sample), value)
    tl.store(out + sample * size + place, value, mask=place < size)


def lif_forward(current: Tensor, u: Tensor, spikes: Tensor, neuron: LIFParameters) -> None:
    """Fill `u` and `spikes` [T, M], contiguous, from `current` [T, M], whose steps may repeat."""
    steps, size = u.shape
    current = _contiguous_rows(current)
    if size:
        _lif_forward_kernel[_blocks(size)](
            current, u, spikes, size, current.stride(0), neuron.decay, neuron.threshold,
            T=steps, HARD=neuron.hard, BLOCK=BLOCK,
        )  # fmt: skip


def lif_backward(grad: Tensor, u: Tensor, out: Tensor, neuron: LIFParameters) -> None:
    """Fill `out` [T, M] with the current's gradient, from that of the spikes and from `u`."""
    steps, size = u.shape
    grad = _contiguous_rows(grad)
    if size:
        _lif_backward_kernel[_blocks(size)](
            grad, u, out, size, grad.stride(0), neuron.decay, neuron.threshold,
            T=steps, HARD=neuron.hard, DETACH=neuron.detach_reset,
            ATAN=neuron.surrogate == ATAN, BLOCK=BLOCK,
        )  # fmt: skip


def stabilize(divisor: Tensor) -> Tensor:
    """Return `functional.stabilize` of `divisor` [N, ...], without a backward pass."""
    divisor = divisor.contiguous()
    samples = len(divisor)
    size = divisor.numel() // max(samples, 1)
    out = torch.empty_like(divisor)
    if size and samples:
        smallest = divisor.new_empty(samples)
        _smallest_positive_kernel[(samples,)](divisor, smallest, size, BLOCK=BLOCK)
        _replace_zeros_kernel[(samples, *_blocks(size))](divisor, smallest, out, size, BLOCK=BLOCK)
    return out


def _contiguous_rows(x: Tensor) -> Tensor:
    """Return `x` [T, M] with contiguous rows; those of one repeated number are not."""
    return x if x.stride(1) == 1 else x.contiguous()


def _blocks(size: int) -> tuple[int]:
    return (triton.cdiv(size, BLOCK),)
