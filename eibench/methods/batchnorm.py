"""`batchnorm`: convolution, batch norm, neuron (Ioffe and Szegedy, ICML 2015).

`stats: joint` pools T, B, H and W, the baseline of the E-I paper; `per_step` normalises each time
step alone with one shared set of parameters and running statistics. `init: torch` draws weights as
`nn.Conv2d` does by itself, uniform within 1/sqrt(fan-in), in place of Kaiming's normal ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from eibench.methods.base import Normalized, relay_
from eibench.nn import BatchNorm2d, BatchNormPerStep2d

LAYERS: dict[str, type[nn.Module]] = {"joint": BatchNorm2d, "per_step": BatchNormPerStep2d}


@dataclass(frozen=True, kw_only=True)
class BatchNorm(Normalized):
    """Batch norm. `stats`: what the statistics are taken over, `joint` or `per_step`; `init`: how
    weights are drawn, `kaiming` or `torch`; `relay`: the strength of relays (`relay_`)."""

    stats: str
    init: str
    relay: float

    def norm(self, channels: int, branches: int) -> nn.Module:
        return LAYERS[self.stats](channels)

    def synapse(self, c_in: int, c_out: int, kernel: int, stride: int) -> nn.Conv2d:
        conv = super().synapse(c_in, c_out, kernel, stride)
        if self.init == "torch":
            conv.reset_parameters()
        relay_(conv.weight, self.relay)
        return conv
