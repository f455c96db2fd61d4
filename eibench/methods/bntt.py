"""`bntt`: batch norm through time (Kim and Panda, Frontiers in Neuroscience 2021).

After every convolution; a scale for each step and channel, no shift. Deviation: the authors code
the input as Poisson spikes over 25 steps and more; here it is the comparison's direct coding, and
a step's statistics come from few steps of little noise.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from eibench.methods.base import Normalized
from eibench.nn import BNTT2d


@dataclass(frozen=True, kw_only=True)
class BNTT(Normalized):
    """Batch norm through time."""

    def norm(self, channels: int, branches: int) -> nn.Module:
        return BNTT2d(channels, self.timesteps)
