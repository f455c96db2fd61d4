"""The leaky integrate-and-fire neuron over time, as one autograd function.

For each step t, with membrane time constant tau, decay k = 1 - 1/tau, threshold theta:

    u[t] = k * v[t-1] + I[t]                    charge (the input is not decayed), v[-1] = 0
    s[t] = 1 if u[t] >= theta else 0            fire
    v[t] = u[t] - theta * s[t]                  soft reset      (hard reset: v = u * (1 - s))

The backward pass runs the same recursion from the last step to the first, with ds/du = the
surrogate h(u - theta):

    dL/du[t] = dL/ds[t] * h  +  dL/dv[t] * dv/du,        dL/dI[t] = dL/du[t],
    dL/dv[t-1] = k * dL/du[t]

where dv/du = 1 (soft) or 1 - s (hard) when the reset is detached, that is when s in v[t] counts as
a constant; otherwise the reset's own path -theta * h (soft) or -u * h (hard) is added. Only u is
kept for the backward pass: s and h follow from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from eibench.nn.functional import surrogate as surrogates
from eibench.nn.kernels.dispatch import use_triton
from eibench.nn.kernels.layout import PIECE, TimeMajor, pieces
from eibench.nn.tracing import backward_of, tracing

RESETS = ("soft", "hard")


class Neuron(NamedTuple):
    """The constants of a neuron."""

    decay: float
    threshold: float
    hard: bool
    surrogate: str
    detach_reset: bool

    @classmethod
    def of(
        cls, tau: float, threshold: float, reset: str, surrogate: str, detach_reset: bool
    ) -> Neuron:
        """From the options of `lif`."""
        return cls(1.0 - 1.0 / tau, threshold, reset == "hard", surrogate, detach_reset)


class _LIF(torch.autograd.Function):
    """`lif` with its hand-written backward pass; see the module for the equations.

    All steps of a piece of the neurons are done before the next piece, so that what a step hands
    to the next is still in the cache. The membrane is float32 at least, whatever the current is.
    """

    @staticmethod
    def forward(ctx: Any, current: Tensor, neuron: Neuron) -> Tensor:
        ctx.layout = TimeMajor(current)
        flat = ctx.layout.flatten(current)
        dtype = torch.promote_types(flat.dtype, torch.float32)
        out: Tensor = ctx.layout.empty(flat.dtype, flat.device)
        spikes = ctx.layout.flatten(out)
        spans = list(pieces(flat, 1, PIECE))
        kept = ctx.needs_input_grad[0] or use_triton(flat)
        width = flat.shape[1] if kept or not spans else spans[0].stop  # else those of one piece
        u = torch.empty((len(flat), width), dtype=dtype, device=flat.device)
        if use_triton(flat):
            from eibench.nn.kernels import triton_lif

            triton_lif.fire_over_time(flat, u, spikes, neuron)
            spans = []
        for piece in spans:
            charged = u[:, piece] if kept else u[:, : piece.stop - piece.start]
            fire_over_time(flat[:, piece], charged, spikes[:, piece], neuron)
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
            for piece in pieces(u, 1, PIECE):
                arriving = flat[:, piece].to(u.dtype)
                lif_backward(arriving, u[:, piece], grad_u[:, piece], ctx.neuron)
        return ctx.layout.restore(grad_u).to(grads[0].dtype), None


Steps = Tensor | Sequence[Tensor]
"""Tensors [...] of one shape, one for each time step."""


def fire_over_time(current: Steps, u: Steps, spikes: Steps, neuron: Neuron) -> None:
    """Fill `u` and `spikes` from `current`."""
    v: Tensor | None = None
    for now, charged, fired in zip(current, u, spikes, strict=True):
        if v is None:
            charged.copy_(now)
        else:
            torch.add(now, v, alpha=neuron.decay, out=charged)
        torch.ge(charged, neuron.threshold, out=fired)
        if neuron.hard:
            v = charged * (1 - fired)
        else:
            v = torch.sub(charged, fired, alpha=neuron.threshold)


def lif_backward(grad: Steps, u: Steps, grad_u: Steps, neuron: Neuron) -> None:
    """Fill `grad_u` from the gradient of the spikes and `u`, last step first."""
    later: Tensor | None = None
    for arriving, charged, out in reversed(list(zip(grad, u, grad_u, strict=True))):
        surrogates.PULLBACKS[neuron.surrogate](arriving, charged, neuron.threshold, out)
        if later is not None:
            if neuron.detach_reset and not neuron.hard:
                out.add_(later, alpha=neuron.decay)
            else:
                out.addcmul_(later, _reset_slope(charged, neuron), value=neuron.decay)
        later = out


def _reset_slope(u: Tensor, neuron: Neuron) -> Tensor:
    """dv/du at potentials `u`."""
    kept = (u < neuron.threshold).to(u.dtype) if neuron.hard else torch.ones_like(u)
    if neuron.detach_reset:
        return kept
    bump = surrogates.DERIVATIVES[neuron.surrogate](u - neuron.threshold)
    return kept - (u if neuron.hard else neuron.threshold) * bump


class _Fire(torch.autograd.Function):
    """`fire` with its surrogate derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, surrogate: str) -> Tensor:
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grads[0] * surrogates.DERIVATIVES[ctx.surrogate](x), None


def fire(x: Tensor, surrogate: str = "sigmoid") -> Tensor:
    """H(x): 1 where `x` (any shape), the distance from the threshold, is not negative, else 0."""
    if tracing():
        return backward_of((x >= 0).to(x.dtype), surrogates.INTEGRALS[surrogate](x))
    out = _Fire.apply(x, surrogate)
    assert isinstance(out, Tensor)
    return out


def _plain_lif(current: Tensor, neuron: Neuron) -> Tensor:
    """`lif` in torch's own operations."""
    spikes = []
    v: Tensor | None = None
    for now in current.to(torch.promote_types(current.dtype, torch.float32)):
        u = now if v is None else now + neuron.decay * v
        spike = fire(u - neuron.threshold, neuron.surrogate)
        spikes.append(spike)
        reset = spike.detach() if neuron.detach_reset else spike
        v = u * (1 - reset) if neuron.hard else u - neuron.threshold * reset
    return torch.stack(spikes).to(current.dtype)


def lif(
    current: Tensor,
    tau: float = 2.0,
    threshold: float = 1.0,
    reset: str = "soft",
    surrogate: str = "sigmoid",
    detach_reset: bool = True,
) -> Tensor:
    """Spikes of leaky integrate-and-fire neurons driven by `current`.

    Args:
        current: integrated input current [T, B, ...], in units of the threshold.
        tau: membrane time constant in time steps, at least 1 (1 keeps no memory).
        threshold: firing threshold; a neuron at the threshold fires.
        reset: `soft` subtracts the threshold after a spike, `hard` sets the potential to zero.
        surrogate: derivative of the spike in the backward pass, `sigmoid` or `atan`.
        detach_reset: whether the reset passes no gradient.

    Returns:
        Spikes, 0 or 1, of the shape and dtype of `current`.

    Raises:
        ValueError: there is no time step.

    Source: Liu, Ding and Yu (ICLR 2026), section 2; the membrane starts at zero at every call.
    """
    if not (current.dim() and len(current)):
        raise ValueError(f"expected a current [T, ...] of at least one step, got {current.shape}")
    neuron = Neuron.of(tau, threshold, reset, surrogate, detach_reset)
    if tracing():
        return _plain_lif(current, neuron)
    out = _LIF.apply(current, neuron)
    assert isinstance(out, Tensor)
    return out
