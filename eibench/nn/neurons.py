"""Neurons over time: `LIF`, its variants, and k-winners-take-all before it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from eibench.nn import functional as F
from eibench.nn.checks import one_of, require_channels, require_maps
from eibench.nn.functional.lif import RESETS
from eibench.nn.functional.surrogate import DERIVATIVES
from eibench.nn.kernels.lif import lif


class LIF(nn.Module):
    """Leaky integrate-and-fire neurons: current [T, B, ...] to spikes of the same shape.

    They have no parameters and keep no state between calls: the membrane starts at zero each time.
    The equations are in `functional.lif`.

    Args:
        tau: membrane time constant in time steps, at least 1 (1 keeps no memory).
        threshold: firing threshold, above 0; a neuron exactly at it fires.
        reset: `soft` subtracts the threshold after a spike, `hard` sets the potential to zero.
        surrogate: derivative of the spike in the backward pass, `sigmoid` or `atan`.
        detach_reset: whether the reset passes no gradient.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        tau: float = 2.0,
        threshold: float = 1.0,
        reset: str = "soft",
        surrogate: str = "sigmoid",
        detach_reset: bool = True,
    ) -> None:
        super().__init__()
        if not tau >= 1:
            raise ValueError(f"tau must be at least 1 time step, not {tau}")
        if not threshold > 0:
            raise ValueError(f"threshold must be above 0, not {threshold}")
        one_of("reset", reset, RESETS)
        one_of("surrogate", surrogate, tuple(DERIVATIVES))
        self.tau = float(tau)
        self.threshold = float(threshold)
        self.reset, self.surrogate, self.detach_reset = reset, surrogate, detach_reset

    @property
    def constants(self) -> F.LIFParameters:
        """Return its options as the equations have them."""
        options = (self.tau, self.threshold, self.reset, self.surrogate, self.detach_reset)
        return F.LIFParameters.from_options(*options)

    def forward(self, current: Tensor) -> Tensor:
        return lif(current, self.constants)

    def extra_repr(self) -> str:
        return (
            f"tau={self.tau}, threshold={self.threshold}, reset={self.reset!r}, "
            f"surrogate={self.surrogate!r}, detach_reset={self.detach_reset}"
        )


class MPBNLIF(LIF):
    """LIF with batch norm of the membrane: current [T, B, C, H, W] to spikes of that shape.

        u[t] = k v[t-1] + I[t]                  charge
        s[t] = 1 if BN(u[t]) >= threshold       fire, on the normalised potential
        v[t] = u[t] - threshold s[t]            reset of the raw potential (hard: v = u (1 - s))

    One batch norm serves all steps: statistics of each step alone in training, one set of running
    statistics, updated T times per pass, in evaluation.

    Source: Guo et al., "Membrane Potential Batch Normalization for Spiking Neural Networks" (ICCV
    2023). The authors fire at half the threshold, with a tanh surrogate and a hard reset; here
    threshold, surrogate and reset are those of the comparison's neuron.

    Args:
        num_features: channels C.
        options: as for `LIF`.
    """

    def __init__(self, num_features: int, **options: Any) -> None:
        super().__init__(**options)
        self.norm = nn.BatchNorm2d(num_features)

    def forward(self, current: Tensor) -> Tensor:
        require_maps(self, current)
        spikes = []
        v = torch.zeros_like(current[0], dtype=torch.promote_types(current.dtype, torch.float32))
        for step in current:
            u = (1 - 1 / self.tau) * v + step
            s = F.fire(self.norm(u) - self.threshold, self.surrogate)
            spikes.append(s)
            reset = s.detach() if self.detach_reset else s
            v = u * (1 - reset) if self.reset == "hard" else u - self.threshold * reset
        return torch.stack(spikes).to(current.dtype)


class KWinners(nn.Module):
    """Keep the k largest currents of the channels at each position and step, set others to zero.

    Current [T, B, C, H, W] to the same shape, k = max(1, round(share * C)); halves are rounded to
    the even number. Among equal currents torch's `topk` chooses, so that exactly k win. Winners
    pass their gradient, losers none. A winner's current may be negative.

    Args:
        num_features: channels C.
        share: share of the channels that win, above 0 and at most 1.

    Sources: Majani, Erlanson and Abu-Mostafa, "On the K-Winners-Take-All Network" (NIPS 1988);
    Maass, "On the Computational Power of Winner-Take-All" (Neural Computation, 2000).
    """

    def __init__(self, num_features: int, share: float) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, not {share}")
        self.num_features = num_features
        self.winners = max(1, round(share * num_features))

    def forward(self, current: Tensor) -> Tensor:
        require_channels(self, current, self.num_features)
        best = current.topk(self.winners, dim=2, sorted=False).indices
        wins = torch.zeros_like(current, dtype=torch.uint8).scatter_(2, best, 1)
        return current.masked_fill(wins == 0, 0)

    def extra_repr(self) -> str:
        return f"winners={self.winners}"
