"""The leaky integrate-and-fire neuron over time as one autograd function.

The equations are those of `functional.lif`. The backward pass runs the same recursion from the last
step to the first, with ds/du = the surrogate derivative h(u - theta):

    dL/du[t] = dL/ds[t] * h  +  dL/dv[t] * dv/du,        dL/dI[t] = dL/du[t],
    dL/dv[t-1] = k * dL/du[t]

where dv/du = 1 (soft) or 1 - s (hard) when the reset is detached; otherwise the reset's own path
-theta * h (soft) or -u * h (hard) is added. Only u is kept for the backward pass: s and h follow
from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from eibench.nn import functional as F
from eibench.nn.autograd import tracing
from eibench.nn.functional import surrogate as surrogates
from eibench.nn.functional.lif import LIFParameters
from eibench.nn.kernels.dispatch import use_triton
from eibench.nn.kernels.layout import CHUNK, TimeMajor, chunks

Steps = Tensor | Sequence[Tensor]
"""Tensors [...] of one shape, one for each time step."""


def lif(current: Tensor, neuron: LIFParameters) -> Tensor:
    """Return the spikes, 0 or 1, of neurons driven by `current` [T, B, ...], in its dtype.

    Raises:
        ValueError: there is no time step.
    """
    if not (current.dim() and len(current)):
        raise ValueError(f"expected a current [T, ...] of at least one step, got {current.shape}")
    if tracing():
        return F.lif(current, neuron)
    out = _LIF.apply(current, neuron)
    assert isinstance(out, Tensor)
    return out


class _LIF(torch.autograd.Function):
    """`lif` with its backward pass by hand; see the module for the equations.

    All steps of a chunk of neurons are done before the next chunk, so that the membrane is still in
    the cache when the next step reads it. It is float32 at least, whatever the current is.
    """

    @staticmethod
    def forward(ctx: Any, current: Tensor, neuron: LIFParameters) -> Tensor:
        ctx.layout = TimeMajor(current)
        flat = ctx.layout.flatten(current)
        out: Tensor = ctx.layout.empty(flat.dtype, flat.device)
        spikes = ctx.layout.flatten(out)
        # Potentials u [T, M] are kept where a backward pass needs them, else those of one chunk.
        spans = list(chunks(flat, 1, CHUNK))
        kept = ctx.needs_input_grad[0] or use_triton(flat)
        width = flat.shape[1] if kept or not spans else spans[0].stop
        dtype = torch.promote_types(flat.dtype, torch.float32)
        u = torch.empty((len(flat), width), dtype=dtype, device=flat.device)
        if use_triton(flat):
            from eibench.nn.kernels import triton_lif

            triton_lif.lif_forward(flat, u, spikes, neuron)
        else:
            for span in spans:
                charged = u[:, span] if kept else u[:, : span.stop - span.start]
                lif_forward(flat[:, span], charged, spikes[:, span], neuron)
        ctx.save_for_backward(u)
        ctx.neuron = neuron
        return out  # no view: it may be changed in place

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (u,) = ctx.saved_tensors
        flat = ctx.layout.flatten(grads[0])
        grad_u = torch.empty(flat.shape, dtype=u.dtype, device=u.device)
        if use_triton(u):
            from eibench.nn.kernels import triton_lif

            triton_lif.lif_backward(flat, u, grad_u, ctx.neuron)
        else:
            for span in chunks(u, 1, CHUNK):
                grad_spikes = flat[:, span].to(u.dtype)
                lif_backward(grad_spikes, u[:, span], grad_u[:, span], ctx.neuron)
        return ctx.layout.restore(grad_u).to(grads[0].dtype), None


def lif_forward(current: Steps, u: Steps, spikes: Steps, neuron: LIFParameters) -> None:
    """Fill `u` and `spikes` from `current`."""
    v: Tensor | None = None
    for step, charged, spike in zip(current, u, spikes, strict=True):
        if v is None:
            charged.copy_(step)
        else:
            torch.add(step, v, alpha=neuron.decay, out=charged)
        torch.ge(charged, neuron.threshold, out=spike)
        if neuron.hard:
            v = charged * (1 - spike)
        else:
            v = torch.sub(charged, spike, alpha=neuron.threshold)


def lif_backward(grad: Steps, u: Steps, grad_u: Steps, neuron: LIFParameters) -> None:
    """Fill `grad_u` from the gradient of the spikes and `u`, last step first."""
    later: Tensor | None = None
    for grad_spike, charged, out in reversed(list(zip(grad, u, grad_u, strict=True))):
        SURROGATE_BACKWARD[neuron.surrogate](grad_spike, charged, neuron.threshold, out)
        if later is not None:
            if neuron.detach_reset and not neuron.hard:
                out.add_(later, alpha=neuron.decay)
            else:
                out.addcmul_(later, _reset_slope(charged, neuron), value=neuron.decay)
        later = out


def _reset_slope(u: Tensor, neuron: LIFParameters) -> Tensor:
    """Return dv/du at potentials `u`."""
    kept = (u < neuron.threshold).to(u.dtype) if neuron.hard else torch.ones_like(u)
    if neuron.detach_reset:
        return kept
    bump = surrogates.DERIVATIVES[neuron.surrogate](u - neuron.threshold)
    return kept - (u if neuron.hard else neuron.threshold) * bump


def _sigmoid_backward(grad: Tensor, u: Tensor, threshold: float, out: Tensor) -> None:
    alpha = surrogates.SIGMOID_ALPHA
    offset = torch.full((), -alpha * threshold, dtype=u.dtype, device=u.device)
    s = torch.add(offset, u, alpha=alpha).sigmoid_()
    torch.ops.aten.sigmoid_backward.grad_input(grad, s, grad_input=out)
    out.mul_(alpha)


def _atan_backward(grad: Tensor, u: Tensor, threshold: float, out: Tensor) -> None:
    torch.mul(grad, surrogates.atan(u - threshold), out=out)


SURROGATE_BACKWARD: dict[str, Callable[[Tensor, Tensor, float, Tensor], None]] = {
    "sigmoid": _sigmoid_backward,
    "atan": _atan_backward,
}
"""Functions that write `grad` of spikes times the derivative at potentials `u` to `out`."""
