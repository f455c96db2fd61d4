"""Methods of a normalising layer behind each convolution: batch norms, group and layer norm.

`eibench.nn` states what each layer computes. Each method uses the neuron of the comparison and
sees the image at every step (direct coding); where its authors do otherwise, its docstring says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from eibench.methods.base import Normalized, Relay, add_relay_
from eibench.plan.options import METHODS, Count, MethodOptions, ModelOptions, NeuronOptions

if TYPE_CHECKING:
    from torch import nn


class BatchNormOptions(MethodOptions):
    """Batch norm with statistics over time, batch and space jointly, or at each step."""

    name = "batchnorm"
    stats: Literal["joint", "per_step"] = "joint"
    init: Literal["kaiming", "torch"] = "kaiming"
    scale: Annotated[float, Field(gt=0)] = 1.0
    """The deviation of each neuron's current at the start."""
    shift: float = 0.0
    """Its mean."""
    relay: Relay = 0.0

    def same_as(self, model: ModelOptions, neuron: NeuronOptions, timesteps: int) -> MethodOptions:
        return self.model_copy(update={"stats": "joint"}) if timesteps == 1 else self


@METHODS.register(BatchNormOptions)
@dataclass(frozen=True, kw_only=True)
class BatchNorm(Normalized):
    """Batch norm (Ioffe and Szegedy, ICML 2015).

    `stats: joint` pools T, B, H and W, the baseline of the E-I paper; `per_step` normalises each
    time step alone with one shared set of parameters and running statistics. `init: torch` draws
    weights as `nn.Conv2d` does by itself, uniform within 1/sqrt(fan-in), not Kaiming normal.
    gamma starts at `scale` and beta at `shift`, the control of the E-I circuit's `calibration`.
    """

    options: BatchNormOptions

    def norm(self, channels: int, branches: int) -> nn.Module:
        from torch import nn

        from eibench.nn import BatchNorm2d, BatchNormPerStep2d

        joint = self.options.stats == "joint"
        norm = BatchNorm2d(channels) if joint else BatchNormPerStep2d(channels)
        nn.init.constant_(norm.weight, self.options.scale)
        nn.init.constant_(norm.bias, self.options.shift)
        return norm

    def synapse(self, c_in: int, c_out: int, kernel: int, stride: int) -> nn.Conv2d:
        conv = super().synapse(c_in, c_out, kernel, stride)
        if self.options.init == "torch":
            conv.reset_parameters()
        add_relay_(conv.weight, self.options.relay)
        return conv


class TDBNOptions(MethodOptions):
    """Threshold-dependent batch norm: joint statistics, scaled by alpha times the threshold."""

    name = "tdbn"

    def same_as(self, model: ModelOptions, neuron: NeuronOptions, timesteps: int) -> MethodOptions:
        plain = neuron.threshold == 1 and not model.sums_currents
        return BatchNormOptions() if plain else self


@METHODS.register(TDBNOptions)
class TDBN(Normalized):
    """Threshold-dependent batch norm (Zheng et al., AAAI 2021).

    The current starts with the threshold as its deviation; alpha is 1/sqrt(n) where n such
    currents are added.
    """

    def norm(self, channels: int, branches: int) -> nn.Module:
        from eibench.nn import TDBatchNorm2d

        return TDBatchNorm2d(channels, self.lif["threshold"], alpha=branches**-0.5)


class BNTTOptions(MethodOptions):
    """Batch norm through time: own statistics and scale at each step, no shift."""

    name = "bntt"


@METHODS.register(BNTTOptions)
class BNTT(Normalized):
    """Batch norm through time (Kim and Panda, Frontiers in Neuroscience 2021).

    Deviation: the authors code the input as Poisson spikes over 25 steps and more; here a step's
    statistics come from few steps of little noise.
    """

    def norm(self, channels: int, branches: int) -> nn.Module:
        from eibench.nn import BNTT2d

        return BNTT2d(channels, self.timesteps)


class TEBNOptions(MethodOptions):
    """Temporal effective batch norm: joint statistics, a learned factor at each step."""

    name = "tebn"


@METHODS.register(TEBNOptions)
class TEBN(Normalized):
    """Temporal effective batch norm (Duan et al., NeurIPS 2022).

    Deviation: the authors' convolutions have a bias, which the normalisation removes again; here
    they have none.
    """

    def norm(self, channels: int, branches: int) -> nn.Module:
        from eibench.nn import TEBatchNorm2d

        return TEBatchNorm2d(channels, self.timesteps)


class TABOptions(MethodOptions):
    """Temporal accumulated batch norm: statistics of all steps so far."""

    name = "tab"


@METHODS.register(TABOptions)
class TAB(Normalized):
    """Temporal accumulated batch norm (Jiang et al., ICLR 2024).

    Deviation: the authors' neuron forgets less (decay 0.9) and resets hard.
    """

    def norm(self, channels: int, branches: int) -> nn.Module:
        from eibench.nn import TAB2d

        return TAB2d(channels, self.timesteps)


class MPBNOptions(MethodOptions):
    """Membrane potential batch norm: joint batch norm, and another before a neuron fires."""

    name = "mpbn"


@METHODS.register(MPBNOptions)
class MPBN(Normalized):
    """Membrane potential batch norm (Guo et al., ICCV 2023).

    The second batch norm acts on the membrane potential; `MPBNLIF` states the deviations.
    """

    def norm(self, channels: int, branches: int) -> nn.Module:
        from eibench.nn import BatchNorm2d

        return BatchNorm2d(channels)

    def neuron(self, channels: int) -> nn.Module:
        from eibench.nn import MPBNLIF

        return MPBNLIF(channels, **self.lif)


class GroupNormOptions(MethodOptions):
    """Group norm of each sample at each step; `groups` need not divide the channels."""

    name = "groupnorm"
    groups: Count = 8
    """Number of groups, or the largest smaller number that divides the channels."""

    def same_as(self, model: ModelOptions, neuron: NeuronOptions, timesteps: int) -> MethodOptions:
        return LayerNormOptions() if self.groups == 1 else self


@METHODS.register(GroupNormOptions)
@dataclass(frozen=True, kw_only=True)
class GroupNorm(Normalized):
    """Group norm (Wu and He, ECCV 2018), which needs no batch and no later step.

    Its scale starts at the neuron's threshold, the deviation that the current then has.
    """

    options: GroupNormOptions

    def norm(self, channels: int, branches: int) -> nn.Module:
        from eibench.nn import GroupNorm2d

        return GroupNorm2d(channels, self.options.groups, self.lif["threshold"])


class LayerNormOptions(MethodOptions):
    """Layer norm over channels and space of each sample at each step."""

    name = "layernorm"


@METHODS.register(LayerNormOptions)
class LayerNorm(Normalized):
    """Layer norm (Ba et al., 2016): group norm of one group, a scale and a shift per channel."""

    def norm(self, channels: int, branches: int) -> nn.Module:
        from eibench.nn import GroupNorm2d

        return GroupNorm2d(channels, 1, self.lif["threshold"])
