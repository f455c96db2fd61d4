"""`wta`: lateral inhibition as competitive learning has it, k winners take all over the channels.

Convolution with bias, initialised as for `no_norm`, no normalisation. At each position and step
the largest currents go on to their neurons, the others' are set to zero. Competition stands before
the neuron, after all summed branches; initialisations made for spiking neurons do not reckon with
it. Source: Maass (Neural Computation, 2000); see `eibench.nn.KWinners`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from eibench.methods.no_norm import NoNorm
from eibench.nn import LIF, KWinners


@dataclass(frozen=True, kw_only=True)
class WTA(NoNorm):
    """k winners take all. `share`: the share of the channels that win."""

    share: float

    def neuron(self, channels: int) -> nn.Module:
        return nn.Sequential(KWinners(channels, self.share), LIF(**self.lif))
