"""`tebn`: temporal effective batch norm (Duan et al., NeurIPS 2022).

After every convolution. Deviation: the authors' convolutions have a bias, which the normalisation
removes again; here they have none.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from eibench.methods.base import Normalized
from eibench.nn import TEBatchNorm2d


@dataclass(frozen=True, kw_only=True)
class TEBN(Normalized):
    """Temporal effective batch norm."""

    def norm(self, channels: int, branches: int) -> nn.Module:
        return TEBatchNorm2d(channels, self.timesteps)
