"""`no_norm`: convolution with bias and nothing else, under one of four initialisations.

What is lost when normalisation is simply left out (`kaiming`, `xavier`), and how far weights drawn
for spiking neurons alone bring it back:

- `kaiming`: He et al. (ICCV 2015). `xavier`: Glorot and Bengio (AISTATS 2010), normal.
- `fluctuation`: Micheli et al. (arXiv 2410.00580, 2024), a current of unit variance.
- `spikeinit`: Shi and Yu (ICML 2026), a firing rate that reproduces itself. Derived for a hard
  reset; under a soft one the network fires more. Only the initialisation is taken from there: the
  learned affine map of the membrane (ASLIF) and the adaptive surrogate are left out, and the
  readout is that of every method.

The first layer sees an image, not spikes: for the last two its weights are rescaled by the second
moment of the first training batch. Both count all summed branches in the fan-in, and where spikes
of several neurons arrive added up, they take the second moment of the sum. SpikeInit's authors
moreover start the last synapse of a residual block nearly silent (1 % firing); here every layer
starts at the same rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from eibench.methods.base import Method, kaiming_conv, relay_
from eibench.nn import TimeDistributed, first_input
from eibench.nn.initializers import fluctuation_std, spikeinit_first_std, spikeinit_std


@dataclass(frozen=True, kw_only=True)
class NoNorm(Method):
    """No normalisation. `init`: how weights are drawn; `rate`: SpikeInit's target firing rate;
    `relay`: the strength of relays (`relay_`).

    Raises:
        ValueError: the initialisation does not exist for this neuron.
    """

    init: str
    rate: float
    relay: float

    def __post_init__(self) -> None:
        self._deviations(1)

    def _deviations(self, fan_in: int, summed: int = 1) -> tuple[float, float] | None:
        """Of weights on spikes (sums of `summed` trains), and on an image of unit second moment.

        None for torch's rules.
        """
        tau, threshold = self.lif["tau"], self.lif["threshold"]
        if self.init == "fluctuation":
            return fluctuation_std(fan_in, threshold, summed), fan_in**-0.5
        if self.init == "spikeinit":
            arguments = (fan_in, tau, threshold, self.rate)
            return spikeinit_std(*arguments, summed), spikeinit_first_std(*arguments)
        return None

    def conv(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        *,
        stride: int = 1,
        branches: int = 1,
        summed: int = 1,
    ) -> nn.Module:
        conv = kaiming_conv(c_in, c_out, kernel, stride=stride, bias=True)
        deviations = self._deviations(branches * c_in * kernel**2, summed)
        if deviations is not None:
            nn.init.normal_(conv.weight, std=deviations[0])
        elif self.init == "xavier":
            nn.init.xavier_normal_(conv.weight)
        relay_(conv.weight, self.relay)
        return TimeDistributed(conv)

    def prepare(self, model: nn.Module, batch: Tensor, generator: Generator) -> None:
        deviations = self._deviations(1)
        if deviations is None:
            return
        conv, image = first_input(model, batch, nn.Conv2d)
        power = image.square().mean().item()
        if not power > 0:
            raise ValueError(f"{self.init} needs a first batch that is not silent")
        with torch.no_grad():
            conv.weight.mul_(deviations[1] / deviations[0] * power**-0.5)
