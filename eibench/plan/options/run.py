"""Options of what all methods share: the neuron, training, the input, probing."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from eibench.plan.options.base import LARGEST, Count, Options


class NeuronOptions(Options):
    """The spiking neuron that all methods share."""

    tau: float = Field(2.0, ge=1)
    threshold: float = Field(1.0, gt=0)
    reset: Literal["soft", "hard"] = "soft"
    surrogate: Literal["sigmoid", "atan"] = "sigmoid"
    detach_reset: bool = True


class TrainOptions(Options):
    """How a network is trained."""

    epochs: Count = 30
    batch_size: Count = 64
    init_batch_size: int | None = Field(None, ge=1, le=LARGEST)
    """Images that data-dependent initialisation sees, the first of training; null: batch_size."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    weight_decay_on: Literal["matrices", "all"] = "matrices"
    """Matrices and kernels alone, or every parameter: gains, biases, normalizers' scales too."""
    clip_norm: float | None = Field(1.0, gt=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: int = Field(0, ge=0, le=LARGEST)
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of convolutions and matrix products; membrane potentials and divisors are always fp32."""

    @model_validator(mode="after")
    def _warmup_ends(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs ({self.warmup_epochs}) must be below epochs ({self.epochs})"
            )
        return self


class InputOptions(Options):
    """What is done to images between the data set and the network, under every method alike."""

    normalize: bool = False
    """Mean 0 and deviation 1 of each channel over the training split; E-I circuits refuse it."""
    crop: int = Field(0, ge=0, le=LARGEST)
    """Random shift of training images by up to so many pixels, zeros moving in."""
    flip: bool = False
    """Mirrors a training image left to right, every other one at random."""
    rotate: float = Field(0.0, ge=0, le=180)
    """Random rotation of training images by up to so many degrees, zeros moving in."""
    roll: int = Field(0, ge=0, le=LARGEST)
    """Random shift of training images by up to so many pixels, what leaves coming back opposite."""
    cutout: int = Field(0, ge=0, le=LARGEST)
    """Side of a square of training images that is set to zero, at a random place."""
    resized_crop: float | None = Field(None, gt=0, le=1)
    """Least share of a training image's area in a random crop, which is resized to the image."""
    one_of: bool = False
    """One of `roll`, `rotate` and `cutout` for each training image, at random, in place of all."""
    brightness: float = Field(0.0, ge=0, le=10)
    """Training images are multiplied by up to 1 plus or minus so much, and clipped to [0, 1]."""
    contrast: float = Field(0.0, ge=0, le=10)
    """The same of the difference to the image's mean grey."""
    saturation: float = Field(0.0, ge=0, le=10)
    """The same of the difference to each pixel's grey."""
    hue: float = Field(0.0, ge=0, le=0.5)
    """Random turn of training images' hue by up to so much of the circle."""
    erase: float = Field(0.0, ge=0, le=1)
    """Probability that a random rectangle of a training image is set to one random grey."""
    erase_area: float = Field(0.4, ge=0.02, le=1)
    """Largest share of the area that is erased; the least is 0.02."""
    drop_frames: float = Field(0.0, ge=0, lt=1)
    """Largest share of a training recording's frames in a row that is set to zero."""

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> Self:
        if self.one_of and sum(map(bool, (self.roll, self.rotate, self.cutout))) < 2:
            raise ValueError("one_of needs two or all of roll, rotate and cutout to choose from")
        usual = type(self).model_fields["erase_area"].default
        if self.erase_area != usual and not self.erase:
            raise ValueError(f"erase_area ({self.erase_area}) has no effect while erase is 0")
        return self


class ProbeOptions(Options):
    """When an untrained network is measured; a suite of `kind: probe` alone has it."""

    steps: int = Field(0, ge=0, le=LARGEST)
    """Optimizer steps before the measurement."""
