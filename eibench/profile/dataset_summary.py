"""Summary of a data set in numbers and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from eibench.data import DataError, ImageData, Split
from eibench.data.base import as_float, in_order, select_batches
from eibench.data.batches import RECORDING, moments
from eibench.data.stream import images_per_chunk
from eibench.errors import UserError
from eibench.execution.dataset_cache import load_checked
from eibench.plan.options import DataOptions

CHUNK = 1024
"""Images that are looked at together, at most."""


@dataclass(frozen=True)
class SplitSummary:
    """The size of a split and of its classes."""

    name: str
    count: int
    least: int
    most: int
    """Sizes of the smallest and of the largest class."""


@dataclass(frozen=True)
class DatasetSummary:
    """Shape, range, moments (of the training split) and samples of a data set."""

    image: tuple[int, int, int]
    frames: int | None
    """T of recordings, None of images."""
    classes: tuple[str, ...]
    parts: tuple[SplitSummary, ...]
    dtype: str
    low: float
    high: float
    """Largest value as stored."""
    unit: float | None
    """The stored value of 1; None where values are stored as they are."""
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    """For each channel, as a network sees it."""
    digest: str
    notes: tuple[str, ...]
    samples: dict[str, np.ndarray]
    """By class, images [K, C, H, W] or the frames of one recording."""


def summarize_dataset(
    options: DataOptions, timesteps: int, classes: int, pictures: int, seed: int = 0
) -> DatasetSummary:
    """Load a data set as runs of `seed` have it, and summarize it, with up to `pictures` samples
    of up to `classes` classes.

    Raises:
        UserError: it is absent or damaged.
    """
    data = load_checked(options, timesteps, seed)
    try:
        return _summary(data, classes, pictures)
    except DataError as error:  # in images that stay in their files
        raise UserError(f"data set {options.name}: {error}") from None


def _summary(data: ImageData, classes: int, pictures: int) -> DatasetSummary:
    images = data.train.images
    mean, deviation = (tuple(x.tolist()) for x in moments(data.train))
    ranges = [chunk.aminmax() for chunk in in_order(images, min(CHUNK, images_per_chunk(images)))]
    return DatasetSummary(
        image=data.image,
        frames=images.shape[1] if len(images.shape) == RECORDING else None,
        classes=data.classes,
        parts=tuple(_parts(data)),
        dtype=str(images.dtype).removeprefix("torch."),
        low=min(float(low) for low, _ in ranges),
        high=max(float(high) for _, high in ranges),
        unit=data.train.unit if images.dtype == torch.uint8 else None,
        mean=mean,
        deviation=deviation,
        digest=data.digest,
        notes=data.notes,
        samples=_samples(data, classes, pictures),
    )


def _parts(data: ImageData) -> Iterator[SplitSummary]:
    for name, split in data.splits.items():
        labels = split.labels
        sizes = torch.bincount(labels, minlength=len(data.classes))
        yield SplitSummary(name, len(labels), int(sizes.min()), int(sizes.max()))


def _samples(data: ImageData, classes: int, pictures: int) -> dict[str, np.ndarray]:
    """Return training samples of up to `classes` classes, evenly spread over all of them."""
    count = min(classes, len(data.classes))
    chosen = np.linspace(0, len(data.classes) - 1, count).round().astype(int)
    return {data.classes[i]: _sample(data.train, int(i), pictures).numpy() for i in chosen}


def _sample(split: Split, label: int, pictures: int) -> Tensor:
    """Return the first `pictures` images of a class, or the frames of its first recording."""
    found = (split.labels == label).nonzero().flatten()
    stored = next(select_batches(split.images, [found[:pictures]]))
    samples = as_float(stored, split.unit)
    return samples[0] if samples.dim() == RECORDING else samples
