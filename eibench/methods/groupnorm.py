"""`groupnorm`: group norm of each sample at each step (Wu and He, ECCV 2018).

After every convolution. Needs no batch and no later step. Its scale starts at the neuron's
threshold, so that the current has the threshold as its deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from eibench.methods.base import Normalized
from eibench.nn import GroupNorm2d


@dataclass(frozen=True, kw_only=True)
class GroupNorm(Normalized):
    """Group norm. `groups`: how many, or the largest smaller number that divides the channels."""

    groups: int

    def norm(self, channels: int, branches: int) -> nn.Module:
        return GroupNorm2d(channels, self.groups, self.lif["threshold"])
