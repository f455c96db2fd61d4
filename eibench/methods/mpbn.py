"""`mpbn`: membrane potential batch norm (Guo et al., ICCV 2023).

Joint batch norm after every convolution, and a second one on the membrane potential before the
neuron decides to fire; `eibench.nn.MPBNLIF` states the deviations.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from eibench.methods.base import Normalized
from eibench.nn import MPBNLIF, BatchNorm2d


@dataclass(frozen=True, kw_only=True)
class MPBN(Normalized):
    """Membrane potential batch norm."""

    def norm(self, channels: int, branches: int) -> nn.Module:
        return BatchNorm2d(channels)

    def neuron(self, channels: int) -> nn.Module:
        return MPBNLIF(channels, **self.lif)
