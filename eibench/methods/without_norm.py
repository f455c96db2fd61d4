"""`no_norm`, convolution with bias under one of four initialisations, and `wta`, with competition.

What is lost when normalisation is simply left out (`kaiming`, `xavier`), and how far weights drawn
for spiking neurons alone bring it back:

- `kaiming`: He et al. (ICCV 2015). `xavier`: Glorot and Bengio (AISTATS 2010), normal.
- `fluctuation`: Micheli et al. (arXiv 2410.00580, 2024), a current of unit variance.
- `spikeinit`: Shi and Yu (ICML 2026), a firing rate that reproduces itself. Derived for a hard
  reset; under a soft one the network fires more. Only the initialisation is taken from there; the
  method `spikeinit` has its neuron as well.

The first layer sees an image, not spikes: for the last two its weights are rescaled by the second
moment of the first training batch. Both count all summed branches in the fan-in, and where spikes
of several neurons arrive added up, they take the second moment of the sum. SpikeInit's authors
moreover start the last synapse of a residual block nearly silent (1 % firing); here every layer
starts at the same rate.

`wta` is lateral inhibition as competitive learning has it: at each position and step the largest
currents of all channels go on to their neurons, the others' are set to zero. Competition stands
before the neuron, after all summed branches; initialisations made for spiking neurons do not
reckon with it. Source: Maass (Neural Computation, 2000); see `eibench.nn.KWinners`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from eibench.methods.base import Method, Relay, add_relay_, kaiming_conv
from eibench.plan.options import METHODS, MethodOptions, ModelOptions, NeuronOptions

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn


Rate = Annotated[float, Field(ge=0.05, lt=0.5)]
"""SpikeInit's target firing rate."""


class NoNormOptions(MethodOptions):
    """No normalisation: convolution with bias, under one of four initialisations."""

    name = "no_norm"
    init: Literal["kaiming", "xavier", "fluctuation", "spikeinit"] = "kaiming"
    rate: Rate = 0.1
    relay: Relay = 0.0

    @model_validator(mode="after")
    def _rate_is_used(self) -> Self:
        if self.init != "spikeinit" and "rate" in self.changed():
            raise ValueError(
                f"rate ({self.rate}) is the target of init spikeinit, and init is {self.init}"
            )
        return self


@METHODS.register(NoNormOptions)
@dataclass(frozen=True, kw_only=True)
class NoNorm(Method):
    """No normalisation.

    Raises:
        ValueError: the initialisation does not exist for this neuron.
    """

    options: NoNormOptions
    bias: bool = True

    def __post_init__(self) -> None:
        self._deviations(1)

    def _deviations(self, fan_in: int, summed: int = 1) -> tuple[float, float] | None:
        """Return the deviations of weights on spikes and on an image of unit second moment.

        The spikes are sums of `summed` trains. None where torch draws the weights.
        """
        from eibench.methods.initializers import fluctuation_std, spikeinit_first_std, spikeinit_std

        tau, threshold = self.lif["tau"], self.lif["threshold"]
        if self.options.init == "fluctuation":
            return fluctuation_std(fan_in, threshold, summed), fan_in**-0.5
        if self.options.init == "spikeinit":
            arguments = (fan_in, tau, threshold, self.options.rate)
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
        from torch import nn

        from eibench.nn import TimeDistributed

        conv = kaiming_conv(c_in, c_out, kernel, stride=stride, bias=self.bias)
        deviations = self._deviations(branches * c_in * kernel**2, summed)
        if deviations is not None:
            nn.init.normal_(conv.weight, std=deviations[0])
        elif self.options.init == "xavier":
            nn.init.xavier_normal_(conv.weight)
        add_relay_(conv.weight, self.options.relay)
        return TimeDistributed(conv)

    def prepare(self, model: nn.Module, batch: Tensor, generator: Generator) -> None:
        from torch import nn, no_grad

        from eibench.nn import first_input

        deviations = self._deviations(1)
        if deviations is None:
            return
        conv, image = first_input(model, batch, nn.Conv2d)
        power = image.square().mean().item()
        if not power > 0:
            raise ValueError(f"{self.options.init} needs a first batch that is not silent")
        with no_grad():
            conv.weight.mul_(deviations[1] / deviations[0] * power**-0.5)


class WTAOptions(NoNormOptions):
    """Competition: a share of the channels wins at each position and step; no normalisation."""

    name = "wta"
    share: float = Field(0.25, gt=0, le=1)
    """The share of the channels that win."""

    def same_as(self, model: ModelOptions, neuron: NeuronOptions, timesteps: int) -> MethodOptions:
        if self.share < 1:
            return self
        return NoNormOptions(init=self.init, rate=self.rate, relay=self.relay)


@METHODS.register(WTAOptions)
@dataclass(frozen=True, kw_only=True)
class WTA(NoNorm):
    """k winners take all."""

    options: WTAOptions

    def neuron(self, channels: int) -> nn.Module:
        from torch import nn

        from eibench.nn import KWinners

        return nn.Sequential(KWinners(channels, self.options.share), super().neuron(channels))
