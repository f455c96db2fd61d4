"""Mean 0 and deviation 1 of each channel, over the training split as it is before augmentation.

It comes after augmentation: zeros that moved in are zeros of the raw image, black like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from eibench.data.base import Split, images_within, in_order

CHUNK = 1024
"""Images that are summed at once, at most."""
LEAST = 1e-12
"""Variance over mean square that is no more than rounding."""


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
