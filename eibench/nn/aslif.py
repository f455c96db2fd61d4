"""`ASLIF`: SpikeInit's neuron, an affine map of the membrane and an adaptive surrogate."""

from __future__ import annotations

from statistics import NormalDist

import torch
from torch import Tensor, nn

from eibench.nn import functional as F
from eibench.nn.checks import require_maps
from eibench.nn.neurons import LIF

RAREST = NormalDist().inv_cdf(0.99)
"""Deviations up to the threshold of a membrane that fires with a probability of 0.01."""


class ASLIF(LIF):
    """LIF with a learned affine map of the membrane: current [T, B, C, H, W] to spikes.

        u[t] = k v[t-1] + I[t]                               charge
        s[t] = 1 if gamma u[t] + beta >= threshold           fire; gamma, beta [C] start at 1 and 0
        v[t] = u[t] (1 - s[t])                               reset of the raw potential

    Backward, the derivative of a spike at a distance x from the threshold is a exp(-2 a |x|). In
    training the sharpness a follows the membrane of each sample and channel,

        a = sharpness * deviation / max(std(u), threshold / 2.326)

    over time and positions (unbiased). It is `sharpness` in evaluation, and for maps of one
    position, which dense layers have.

    Source: Shi and Yu, "SpikeInit" (ICML 2026).

    Args:
        num_features: channels C.
        sharpness: a for a membrane of that `deviation`.
        deviation: std(u) that the initialisation intends.
        tau: as for `LIF`.
        threshold: as for `LIF`.
        reset: `hard`, as there, or `soft`.
        detach_reset: as for `LIF`.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        num_features: int,
        sharpness: float,
        deviation: float,
        tau: float = 2.0,
        threshold: float = 1.0,
        reset: str = "hard",
        detach_reset: bool = True,
    ) -> None:
        super().__init__(tau, threshold, reset, detach_reset=detach_reset)
        for name, value in (("sharpness", sharpness), ("deviation", deviation)):
            if not value > 0:
                raise ValueError(f"{name} must be above 0, not {value}")
        self.sharpness, self.deviation = sharpness, deviation
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))

    def forward(self, current: Tensor) -> Tensor:
        require_maps(self, current)
        sharpness: Tensor | float = self.sharpness
        if self.training and current.shape[3:].numel() > 1:
            with torch.no_grad():
                sharpness = self._adapted(self._run(current, self.sharpness)[0])
        return self._run(current, sharpness)[1].to(current.dtype)

    def _adapted(self, membrane: Tensor) -> Tensor:
        """Return a [B, C, 1, 1] for membranes u [T, B, C, H, W]."""
        threshold = torch.as_tensor(self.threshold, dtype=membrane.dtype).mean()  # of all neurons
        spread = membrane.std((0, 3, 4)).clamp(min=threshold / RAREST)
        return (self.sharpness * self.deviation / spread)[:, :, None, None]

    def _run(self, current: Tensor, sharpness: Tensor | float) -> tuple[Tensor, Tensor]:
        """Return u and s, each [T, B, C, H, W]."""
        gamma, beta = self.weight[:, None, None], self.bias[:, None, None]
        v = torch.zeros_like(current[0], dtype=torch.promote_types(current.dtype, torch.float32))
        membrane, spikes = [], []
        for step in current:
            u = (1 - 1 / self.tau) * v + step
            s = F.fire_exponential(gamma * u + beta - self.threshold, sharpness)
            reset = s.detach() if self.detach_reset else s
            v = u * (1 - reset) if self.reset == "hard" else u - self.threshold * reset
            membrane.append(u)
            spikes.append(s)
        return torch.stack(membrane), torch.stack(spikes)

    def extra_repr(self) -> str:
        return (
            f"{len(self.weight)}, sharpness={self.sharpness:.4g}, deviation={self.deviation:.4g}, "
            f"tau={self.tau}, threshold={self.threshold}, reset={self.reset!r}, "
            f"detach_reset={self.detach_reset}"
        )
