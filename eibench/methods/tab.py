"""`tab`: temporal accumulated batch norm (Jiang et al., ICLR 2024).

After every convolution. Deviation: the authors' neuron forgets less (decay 0.9) and resets hard;
here it is the comparison's neuron.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from eibench.methods.base import Normalized
from eibench.nn import TAB2d


@dataclass(frozen=True, kw_only=True)
class TAB(Normalized):
    """Temporal accumulated batch norm."""

    def norm(self, channels: int, branches: int) -> nn.Module:
        return TAB2d(channels, self.timesteps)
