"""`tdbn`: threshold-dependent batch norm (Zheng et al., AAAI 2021).

Joint statistics, scaled by alpha * threshold, so that the current handed to the neuron starts with
the threshold as its deviation; alpha is 1/sqrt(n) where n such currents are added.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from eibench.methods.base import Normalized
from eibench.nn import TDBatchNorm2d


@dataclass(frozen=True, kw_only=True)
class TDBN(Normalized):
    """Threshold-dependent batch norm."""

    def norm(self, channels: int, branches: int) -> nn.Module:
        return TDBatchNorm2d(channels, self.lif["threshold"], alpha=branches**-0.5)
