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

from typing import Any

import torch
from torch import Tensor

from eibench.nn.functional import surrogate as surrogates

RESETS = ("soft", "hard")


class _LIF(torch.autograd.Function):
    """`lif` with its hand-written backward pass; see the module for the equations."""

    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        decay: float,
        threshold: float,
        hard: bool,
        surrogate: str,
        detach_reset: bool,
    ) -> Tensor:
        u = torch.empty_like(current, memory_format=torch.contiguous_format)
        spikes = torch.empty_like(u)
        v: Tensor | None = None
        for t in range(current.shape[0]):
            if v is None:
                u[t].copy_(current[t])
            else:
                torch.add(current[t], v, alpha=decay, out=u[t])
            torch.ge(u[t], threshold, out=spikes[t])
            v = u[t] * (1 - spikes[t]) if hard else torch.sub(u[t], spikes[t], alpha=threshold)
        ctx.save_for_backward(u)
        ctx.constants = (decay, threshold, hard, surrogate, detach_reset)
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (u,) = ctx.saved_tensors
        decay, threshold, hard, surrogate, detach_reset = ctx.constants
        derivative = surrogates.DERIVATIVES[surrogate]
        grad_u = torch.empty_like(u)
        for t in reversed(range(len(u))):  # step by step, so that a step stays in the cache
            bump = derivative(u[t] - threshold)
            torch.mul(grads[0][t], bump, out=grad_u[t])
            if t + 1 == len(u):
                continue
            if hard:
                kept = (u[t] < threshold).to(u.dtype)
                kept = kept if detach_reset else kept - u[t] * bump
                grad_u[t].addcmul_(grad_u[t + 1], kept, value=decay)
            elif detach_reset:
                grad_u[t].add_(grad_u[t + 1], alpha=decay)
            else:
                kept = 1 - threshold * bump
                grad_u[t].addcmul_(grad_u[t + 1], kept, value=decay)
        return grad_u, None, None, None, None, None


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
    out = _Fire.apply(x, surrogate)
    assert isinstance(out, Tensor)
    return out


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

    Source: Liu, Ding and Yu (ICLR 2026), section 2; the membrane starts at zero at every call.
    """
    hard = reset == "hard"
    out = _LIF.apply(current, 1.0 - 1.0 / tau, threshold, hard, surrogate, detach_reset)
    assert isinstance(out, Tensor)
    return out
