"""The leaky integrate-and-fire neuron over time.

For each step t, with membrane time constant tau, decay k = 1 - 1/tau, threshold theta:

    u[t] = k * v[t-1] + I[t]                    charge (the input is not decayed), v[-1] = 0
    s[t] = 1 if u[t] >= theta else 0            fire
    v[t] = u[t] - theta * s[t]                  soft reset      (hard reset: v = u * (1 - s))

Backward, ds/du is a surrogate derivative h(u - theta). The reset is detached by default: s in v[t]
counts as a constant. `eibench.nn.kernels.lif` computes the same in fewer passes over memory.

Source: Liu, Ding and Yu (ICLR 2026), section 2; the membrane starts at zero at every call.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from eibench.nn.autograd import tracing, with_gradient_of
from eibench.nn.functional import surrogate as surrogates

RESETS = ("soft", "hard")


class LIFParameters(NamedTuple):
    """The constants of a neuron."""

    decay: float
    """k, the share of the membrane potential that is left after a step."""
    threshold: float
    """theta."""
    hard: bool
    """A spike resets the potential to zero; else it subtracts theta."""
    surrogate: str
    """Surrogate derivative, `sigmoid` or `atan`."""
    detach_reset: bool
    """The reset passes no gradient."""

    @classmethod
    def from_options(
        cls,
        tau: float = 2.0,
        threshold: float = 1.0,
        reset: str = "soft",
        surrogate: str = "sigmoid",
        detach_reset: bool = True,
    ) -> LIFParameters:
        """Return the constants for the arguments of `eibench.nn.LIF`."""
        return cls(1.0 - 1.0 / tau, threshold, reset == "hard", surrogate, detach_reset)


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
    """Return H(x): 1 where `x`, the distance from the threshold, is not negative, else 0."""
    if tracing():
        return with_gradient_of((x >= 0).to(x.dtype), surrogates.INTEGRALS[surrogate](x))
    out = _Fire.apply(x, surrogate)
    assert isinstance(out, Tensor)
    return out


def fire_exponential(x: Tensor, sharpness: Tensor | float) -> Tensor:
    """Return H(x), whose derivative going backward is a exp(-2 a |x|), a being the `sharpness`."""
    fires = x >= 0
    if not (x.requires_grad or tracing()):
        return fires.to(x.dtype)
    below = (2 * sharpness * torch.where(fires, 0.0, x)).exp() / 2
    above = 1 - (-2 * sharpness * torch.where(fires, x, 0.0)).exp() / 2
    return with_gradient_of(fires.to(x.dtype), torch.where(fires, above, below))


def lif(current: Tensor, neuron: LIFParameters) -> Tensor:
    """Return the spikes of neurons driven by `current` [T, B, ...], in its shape and dtype.

    The membrane is float32 at least, whatever the current is.
    """
    spikes = []
    v: Tensor | None = None
    for step in current.to(torch.promote_types(current.dtype, torch.float32)):
        u = step if v is None else step + neuron.decay * v
        spike = fire(u - neuron.threshold, neuron.surrogate)
        spikes.append(spike)
        reset = spike.detach() if neuron.detach_reset else spike
        v = u * (1 - reset) if neuron.hard else u - neuron.threshold * reset
    return torch.stack(spikes).to(current.dtype)
