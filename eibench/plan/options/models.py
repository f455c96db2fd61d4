"""Options of architectures."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from eibench.plan.options.base import LARGEST, Choice, Count


class ModelOptions(Choice):
    """Options of an architecture."""

    sums_currents: ClassVar[bool] = False
    """Whether currents of several branches are added before a neuron."""


class PlainOptions(ModelOptions):
    """A chain of 3x3 convolutions of one width, with average pooling between stages."""

    name = "plain"
    depth: Count = 8
    width: Count = 32
    pools: int = Field(2, ge=0, le=LARGEST)

    @model_validator(mode="after")
    def _a_layer_for_each_pool(self) -> Self:
        if self.pools > self.depth:
            raise ValueError(f"pools ({self.pools}) cannot exceed depth ({self.depth})")
        return self


class VggOptions(ModelOptions):
    """VGG of the E-I paper: 3x3 convolutions, five 2x2 average poolings, one readout layer."""

    name = "vgg"
    depth: Literal[8, 11, 16, 19] = 8
