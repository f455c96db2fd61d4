"""`wta`: lateral inhibition as competitive learning has it, k winners take all over the channels.

Convolution with bias, Kaiming normal initialisation, no normalisation. At each position and step
the largest currents go on to their neurons, the others' are set to zero. Competition stands before
the neuron, after all summed branches. Source: Maass (Neural Computation, 2000); see
`eibench.nn.KWinners`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from eibench.methods.base import Method, kaiming_conv
from eibench.nn import LIF, KWinners, TimeDistributed


@dataclass(frozen=True, kw_only=True)
class WTA(Method):
    """k winners take all. `share`: the share of the channels that win."""

    share: float

    def conv(
        self, c_in: int, c_out: int, kernel: int, *, stride: int = 1, branches: int = 1
    ) -> nn.Module:
        return TimeDistributed(kaiming_conv(c_in, c_out, kernel, stride=stride, bias=True))

    def neuron(self, channels: int) -> nn.Module:
        return nn.Sequential(KWinners(channels, self.share), LIF(**self.lif))
