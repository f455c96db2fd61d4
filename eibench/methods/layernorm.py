"""`layernorm`: layer norm over channels and space of each sample at each step (Ba et al., 2016).

Group norm with a single group: a scale and a shift for each channel.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from eibench.methods.base import Normalized
from eibench.nn import GroupNorm2d


@dataclass(frozen=True, kw_only=True)
class LayerNorm(Normalized):
    """Layer norm."""

    def norm(self, channels: int, branches: int) -> nn.Module:
        return GroupNorm2d(channels, 1, self.lif["threshold"])
