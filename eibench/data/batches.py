"""Batches of a split, and the normalization of their channels.

Order and augmentation depend on seed and epoch alone, so all methods see the same batches. A batch
is the input of the first layer: float32 images on the device of the labels, augmented in training,
normalized if requested. Normalization follows augmentation, so padding is black like any other
black pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from eibench.data.augment import Draws
from eibench.data.base import Split, as_float, in_order, select_batches
from eibench.data.stream import images_per_chunk

CHUNK = 1024
"""Maximal number of images summed at once."""
LEAST = 1e-12
"""Ratio of variance to mean square below which the variance is rounding error."""
Change = Callable[[Tensor, int], Tensor]
"""A change of the images of a batch, which is given with its number."""
Part = Callable[[Tensor], Tensor]
"""From the numbers of a batch's images [B] to those that this process holds."""
RECORDING = 5
"""Number of dimensions of a batch of recordings; a batch of images has one less."""


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation per channel [C, 1, 1], float32."""

    mean: Tensor
    deviation: Tensor

    def apply(self, images: Tensor) -> Tensor:
        """Normalize images [..., C, H, W]."""
        return (images - self.mean) / self.deviation


def normalization(split: Split) -> Normalization:
    """Return the normalization of the images of `split`; a constant channel is only centred."""
    mean, deviation = moments(split)
    deviation = torch.where(deviation > 0, deviation, 1.0)
    shaped = [x.float()[:, None, None] for x in (mean, deviation)]
    return Normalization(*shaped)


def moments(split: Split) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation per channel [C], float64, of the images of `split`.

    Sums of 8-bit images are integers, so they do not depend on whether images are streamed.
    """
    exact = torch.int64 if split.images.dtype == torch.uint8 else torch.float64
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for images in in_order(split.images, min(CHUNK, images_per_chunk(split.images))):
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
    part: Part | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled images [B, C, H, W] and labels [B]; the last batch may be smaller.

    Images are float32, in [0, 1] unless normalized; `draws` augment them. Of each batch only its
    `part` is read.
    """
    device, index = split.labels.device, torch.randperm(len(split), generator=order)
    batches = _parts(index.to(device), batch_size, part)
    draws = draws and draws.to(device)
    held = isinstance(split.images, Tensor)
    stored = select_batches(split.images, batches if held else _parts(index, batch_size, part))
    for chosen, images in zip(batches, stored, strict=True):
        floats = draws.apply(images, chosen, split.unit) if draws else as_float(images, split.unit)
        yield _normalized(floats, normalization), split.labels[chosen]


def evaluation_batches(
    split: Split,
    batch_size: int,
    normalization: Normalization | None = None,
    change: Change | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images and labels in the order of the split, without augmentation; `change` is applied
    to images before they are normalized."""
    batches = in_order(split.images, batch_size), split.labels.split(batch_size)
    for i, (images, labels) in enumerate(zip(*batches, strict=True)):
        floats = as_float(images, split.unit)
        yield _normalized(floats if change is None else change(floats, i), normalization), labels


def evaluation_parts(
    split: Split, batch_size: int, normalization: Normalization | None, part: Part
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the `part` of each batch of `evaluation_batches`, where it is not empty."""
    index = torch.arange(len(split))
    batches = [chosen for chosen in _parts(index, batch_size, part) if len(chosen)]
    stored = select_batches(split.images, batches)
    for chosen, images in zip(batches, stored, strict=True):
        yield _normalized(as_float(images, split.unit), normalization), split.labels[chosen]


def _parts(index: Tensor, batch_size: int, part: Part | None) -> Sequence[Tensor]:
    """Return the part of each batch of `index`."""
    batches: Sequence[Tensor] = index.split(batch_size)
    return batches if part is None else [part(batch) for batch in batches]


def over_time(images: Tensor, timesteps: int) -> Tensor:
    """Return the network's input [T, B, C, H, W], without a copy.

    An image [B, C, H, W] is repeated at each of T steps (direct coding). The frames of recordings
    [B, T, C, H, W] are the steps.
    """
    if images.dim() == RECORDING:
        return images.transpose(0, 1)
    return images.expand(timesteps, *images.shape)


def _normalized(images: Tensor, normalization: Normalization | None) -> Tensor:
    return images if normalization is None else normalization.apply(images)
