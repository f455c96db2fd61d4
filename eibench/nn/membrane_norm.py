"""`MPBNLIF`: a neuron that normalises its membrane potential before it decides to fire.

    u[t] = k v[t-1] + I[t]                  charge
    s[t] = 1 if BN(u[t]) >= threshold       fire, on the normalised potential
    v[t] = u[t] - threshold s[t]            reset of the raw potential (hard: v = u (1 - s))

One batch norm serves all steps: statistics of each step alone in training, one set of running
statistics, updated T times per pass, in evaluation.

Source: Guo et al., "Membrane Potential Batch Normalization for Spiking Neural Networks" (ICCV
2023). The authors fire at half the threshold, with a tanh surrogate and a hard reset; here
threshold, surrogate and reset are those of the comparison's neuron.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from eibench.nn.checks import require_maps
from eibench.nn.functional.lif import fire
from eibench.nn.lif import LIF


class MPBNLIF(LIF):
    """LIF with batch norm of the membrane: current [T, B, C, H, W] to spikes of that shape.

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
            s = fire(self.norm(u) - self.threshold, self.surrogate)
            spikes.append(s)
            reset = s.detach() if self.detach_reset else s
            v = u * (1 - reset) if self.reset == "hard" else u - self.threshold * reset
        return torch.stack(spikes).to(current.dtype)
