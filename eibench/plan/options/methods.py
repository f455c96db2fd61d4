"""Options of methods, but for the E-I circuit's."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from eibench.plan.options.base import Choice, Count
from eibench.plan.options.models import ModelOptions
from eibench.plan.options.run import NeuronOptions

Relay = Annotated[float, Field(ge=0, le=100)]
"""The strength of one synapse of each neuron, from the channel of its own number."""


class MethodOptions(Choice):
    """Options of a method: what stands between a synapse and its neuron."""

    refuses_negative_input: ClassVar[str] = ""
    """Why images with values below zero cannot be used; empty where they can."""

    def same_as(self, model: ModelOptions, neuron: NeuronOptions, timesteps: int) -> MethodOptions:
        """The simplest method that computes the same in this network; itself where none does."""
        return self


class BatchNormOptions(MethodOptions):
    """Batch norm with statistics over time, batch and space jointly, or at each step."""

    name = "batchnorm"
    stats: Literal["joint", "per_step"] = "joint"
    init: Literal["kaiming", "torch"] = "kaiming"
    relay: Relay = 0.0

    def same_as(self, model: ModelOptions, neuron: NeuronOptions, timesteps: int) -> MethodOptions:
        return BatchNormOptions(init=self.init, relay=self.relay) if timesteps == 1 else self


class TDBNOptions(MethodOptions):
    """Threshold-dependent batch norm: joint statistics, scaled by alpha times the threshold."""

    name = "tdbn"

    def same_as(self, model: ModelOptions, neuron: NeuronOptions, timesteps: int) -> MethodOptions:
        plain = neuron.threshold == 1 and not model.sums_currents
        return BatchNormOptions() if plain else self


class BNTTOptions(MethodOptions):
    """Batch norm through time: own statistics and scale at each step, no shift."""

    name = "bntt"


class TEBNOptions(MethodOptions):
    """Temporal effective batch norm: joint statistics, a learned factor at each step."""

    name = "tebn"


class TABOptions(MethodOptions):
    """Temporal accumulated batch norm: statistics of all steps so far."""

    name = "tab"


class MPBNOptions(MethodOptions):
    """Membrane potential batch norm: joint batch norm, and another before a neuron fires."""

    name = "mpbn"


class GroupNormOptions(MethodOptions):
    """Group norm of each sample at each step; `groups` need not divide the channels."""

    name = "groupnorm"
    groups: Count = 8

    def same_as(self, model: ModelOptions, neuron: NeuronOptions, timesteps: int) -> MethodOptions:
        return LayerNormOptions() if self.groups == 1 else self


class LayerNormOptions(MethodOptions):
    """Layer norm over channels and space of each sample at each step."""

    name = "layernorm"


class NoNormOptions(MethodOptions):
    """No normalisation: convolution with bias, under one of four initialisations."""

    name = "no_norm"
    init: Literal["kaiming", "xavier", "fluctuation", "spikeinit"] = "kaiming"
    rate: Annotated[float, Field(ge=0.05, lt=0.5)] = 0.1
    relay: Relay = 0.0

    @model_validator(mode="after")
    def _rate_is_used(self) -> Self:
        if self.init != "spikeinit" and self.rate != type(self).model_fields["rate"].default:
            raise ValueError(
                f"rate ({self.rate}) is the target of init spikeinit, and init is {self.init}"
            )
        return self


class WeightStandardizationOptions(MethodOptions):
    """Standardised kernels with a gain for spikes, no statistics of activity (IS-SNN)."""

    name = "weight_standardization"


class WTAOptions(NoNormOptions):
    """Competition: a share of the channels wins at each position and step; no normalisation."""

    name = "wta"
    share: float = Field(0.25, gt=0, le=1)

    def same_as(self, model: ModelOptions, neuron: NeuronOptions, timesteps: int) -> MethodOptions:
        if self.share < 1:
            return self
        return NoNormOptions(init=self.init, rate=self.rate, relay=self.relay)
