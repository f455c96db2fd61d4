"""Batches of a split, in memory: the order depends on seed and epoch alone, so methods share it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from eibench.data.base import Split

RECORDING = 5
"""Dimensions of a batch of recordings; a batch of images has one less."""


def training_batches(
    split: Split, batch_size: int, order: Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images [B, C, H, W] in [0, 1] and labels [B], shuffled; the last batch may be smaller."""
    index = torch.randperm(len(split), generator=order).to(split.labels.device)
    for chosen in index.split(batch_size):
        yield as_float(split.images[chosen], split.unit), split.labels[chosen]


def evaluation_batches(split: Split, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels in the split's own order."""
    for images, labels in zip(
        split.images.split(batch_size), split.labels.split(batch_size), strict=True
    ):
        yield as_float(images, split.unit), labels


def as_float(images: Tensor, unit: float = 255.0) -> Tensor:
    """Images as float32; 8-bit ones are divided by `unit`. Nothing is centred or scaled further:
    the E-I circuit needs activity that is not negative, and all methods see the same input."""
    return images.float().div_(unit) if images.dtype == torch.uint8 else images


def over_time(images: Tensor, timesteps: int) -> Tensor:
    """The network's input [T, B, C, H, W] (no copy).

    An image [B, C, H, W] is the input at each of T steps (direct coding); the frames of recordings
    [B, T, C, H, W] follow one another.
    """
    if images.dim() == RECORDING:
        return images.transpose(0, 1)
    return images.expand(timesteps, *images.shape)
