"""Batches of a split: order and augmentation depend on seed and epoch alone, so methods share them.

A batch is what the first layer sees: uint8 or float32 images of memory or of files, brought to the
device of the labels, augmented in training, as float32, normalized where that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from eibench.data.augment import Draws
from eibench.data.base import Split, as_float, in_order, picked
from eibench.data.stream import images_within

CHUNK = 1024
"""Images that are summed at once, at most."""
LEAST = 1e-12
"""Variance over mean square that is no more than rounding."""
RECORDING = 5
"""Dimensions of a batch of recordings; a batch of images has one less."""


@dataclass(frozen=True)
class Normalization:
    """Mean and deviation of each channel [C, 1, 1], float32, of images as float32."""

    mean: Tensor
    deviation: Tensor

    def apply(self, images: Tensor) -> Tensor:
        """Images [..., C, H, W], normalized."""
        return (images - self.mean) / self.deviation


def normalization(split: Split) -> Normalization:
    """That of the images of `split`, on its device; a channel that never varies is only centred."""
    mean, deviation = moments(split)
    deviation = torch.where(deviation > 0, deviation, 1.0)
    shaped = [x.float()[:, None, None] for x in (mean, deviation)]
    return Normalization(*shaped)


def moments(split: Split) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel [C], float64, of the images of `split` as they are seen.

    Sums of 8-bit images are whole numbers, so they do not depend on where images are held.
    """
    exact = torch.int64 if split.images.dtype == torch.uint8 else torch.float64
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for images in in_order(split.images, min(CHUNK, images_within(split.images))):
        values = images.to(exact).movedim(-3, 0).flatten(1)
        count += values.shape[1]
        total, squares = (
            total.to(values) + values.sum(1),
            squares.to(values) + values.square().sum(1),
        )
    unit = split.unit if split.images.dtype == torch.uint8 else 1.0
    mean, power = total.double() / count, squares.double() / count
    variance = power - mean.square()
    deviation = torch.where(variance > LEAST * power, variance.sqrt(), 0.0)
    return mean / unit, deviation / unit


def training_batches(
    split: Split,
    batch_size: int,
    order: Generator,
    draws: Draws | None = None,
    normalization: Normalization | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images [B, C, H, W] and labels [B], shuffled; the last batch may be smaller.

    Images are float32, in [0, 1] unless normalized; `draws` augment them.
    """
    device, index = split.labels.device, torch.randperm(len(split), generator=order)
    batches = index.to(device).split(batch_size)
    draws = draws and draws.to(device)
    held = isinstance(split.images, Tensor)
    stored = picked(split.images, batches if held else index.split(batch_size))
    for chosen, images in zip(batches, stored, strict=True):
        floats = draws.apply(images, chosen, split.unit) if draws else as_float(images, split.unit)
        yield _normalized(floats, normalization), split.labels[chosen]


def evaluation_batches(
    split: Split, batch_size: int, normalization: Normalization | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels in the split's own order, never augmented."""
    batches = in_order(split.images, batch_size), split.labels.split(batch_size)
    for images, labels in zip(*batches, strict=True):
        yield _normalized(as_float(images, split.unit), normalization), labels


def over_time(images: Tensor, timesteps: int) -> Tensor:
    """The network's input [T, B, C, H, W] (no copy).

    An image [B, C, H, W] is the input at each of T steps (direct coding); the frames of recordings
    [B, T, C, H, W] follow one another.
    """
    if images.dim() == RECORDING:
        return images.transpose(0, 1)
    return images.expand(timesteps, *images.shape)


def _normalized(images: Tensor, normalization: Normalization | None) -> Tensor:
    return images if normalization is None else normalization.apply(images)
