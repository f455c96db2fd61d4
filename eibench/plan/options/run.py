"""Options that all methods share: neuron, training, input and probe."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from eibench.limits import LARGEST
from eibench.plan.options.base import Count, Options

KEEP = "keep"
"""Option of training that determines what is written, and no number."""


class NeuronOptions(Options):
    """Spiking neuron that all methods share."""

    tau: float = Field(2.0, ge=1)
    threshold: float = Field(1.0, gt=0)
    reset: Literal["soft", "hard"] = "soft"
    surrogate: Literal["sigmoid", "atan"] = "sigmoid"
    detach_reset: bool = True


class TrainOptions(Options):
    """Training of a network."""

    epochs: Count = 30
    batch_size: Count = 64
    accumulate: Count = 1
    """Pieces of a batch whose gradients are added up before a step."""
    init_batch_size: int | None = Field(None, ge=1, le=LARGEST)
    """Number of images for data-dependent initialisation; null: batch_size."""
    optimizer: Literal["sgd", "adamw", "muon", "eg"] = "sgd"
    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    weight_decay_on: Literal["matrices", "all"] = "matrices"
    """Matrices and kernels only, or all parameters, with gains, biases and scales of norms."""
    clip_norm: float | None = Field(1.0, gt=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: int = Field(0, ge=0, le=LARGEST)
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of convolutions and matrix products; membrane and divisors are always fp32."""

    keep: Literal["none", "best", "last"] = "none"
    """Weights to keep: of the best epoch by validation, or of the last; no part of the identity."""

    def changed(self) -> dict[str, Any]:
        return {key: value for key, value in super().changed().items() if key != KEEP}

    @model_validator(mode="after")
    def _pieces_have_images(self) -> Self:
        if self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate ({self.accumulate}) must be at most batch_size ({self.batch_size})"
            )
        return self

    @model_validator(mode="after")
    def _warmup_ends(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs ({self.warmup_epochs}) must be below epochs ({self.epochs})"
            )
        return self


class InputOptions(Options):
    """Normalization and augmentation of the input, the same under every method."""

    normalize: bool = False
    """Mean 0 and deviation 1 of each channel over the training split; E-I circuits refuse it."""
    crop: int = Field(0, ge=0, le=LARGEST)
    """Maximal random shift of training images in pixels; zeros move in."""
    flip: bool = False
    """Mirror training images left to right with probability 1/2."""
    rotate: float = Field(0.0, ge=0, le=180)
    """Maximal random rotation of training images in degrees; zeros move in."""
    roll: int = Field(0, ge=0, le=LARGEST)
    """Maximal random cyclic shift of training images in pixels."""
    cutout: int = Field(0, ge=0, le=LARGEST)
    """Side of a random square of training images that is set to zero."""
    resized_crop: float | None = Field(None, gt=0, le=1)
    """Minimal share of the area in a random crop, which is resized to the image."""
    one_of: bool = False
    """Apply one of `roll`, `rotate` and `cutout` to each training image, at random."""
    brightness: float = Field(0.0, ge=0, le=10)
    """Maximal change of a random factor on training images, which are clipped to [0, 1]."""
    contrast: float = Field(0.0, ge=0, le=10)
    """The same for the difference to the image's mean grey."""
    saturation: float = Field(0.0, ge=0, le=10)
    """The same for the difference to each pixel's grey."""
    hue: float = Field(0.0, ge=0, le=0.5)
    """Maximal random change of hue, as a share of the circle."""
    erase: float = Field(0.0, ge=0, le=1)
    """Probability that a random rectangle is set to one random grey."""
    erase_area: float = Field(0.4, ge=0.02, le=1)
    """Maximal share of the area that is erased; the minimum is 0.02."""
    drop_frames: float = Field(0.0, ge=0, lt=1)
    """Maximal share of consecutive frames of a recording that are set to zero."""

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> Self:
        if self.one_of and sum(map(bool, (self.roll, self.rotate, self.cutout))) < 2:
            raise ValueError("one_of needs two or all of roll, rotate and cutout to choose from")
        usual = type(self).model_fields["erase_area"].default
        if self.erase_area != usual and not self.erase:
            raise ValueError(f"erase_area ({self.erase_area}) has no effect while erase is 0")
        return self


class ProbeOptions(Options):
    """Time of a probe's measurement; only in suites of `kind: probe`."""

    steps: int = Field(0, ge=0, le=LARGEST)
    """Optimizer steps before the measurement."""
