"""Data sets outside a run: fetched, verified, and described in numbers and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eibench.data import SOURCES, DataError, ImageData, Split
from eibench.data.base import as_float, in_order, select_batches
from eibench.data.batches import RECORDING, moments
from eibench.data.sources import VARIABLE, acquire, data_folder, dataset_folder
from eibench.data.stream import images_per_chunk
from eibench.errors import UserError, pass_on
from eibench.plan.options import DataOptions
from eibench.plan.plugins import plugin_error
from eibench.training.build import load_data

__all__ = [
    "VARIABLE",
    "Description",
    "Part",
    "describe",
    "fetch",
    "is_fetched",
    "present",
    "verify",
]
CHUNK = 1024
"""Images that are looked at together, at most."""


@dataclass(frozen=True)
class Part:
    """A split in numbers."""

    name: str
    count: int
    least: int
    most: int
    """Of the classes, the size of the smallest and of the largest."""


@dataclass(frozen=True)
class Description:
    """What there is to say of a data set; mean and deviation are those of the training split."""

    image: tuple[int, int, int]
    frames: int | None
    """T of recordings, None of images."""
    classes: tuple[str, ...]
    parts: tuple[Part, ...]
    dtype: str
    low: float
    high: float
    """Of the values as they are stored."""
    unit: float | None
    """What stands for 1; None where values are stored as they are."""
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    """Of each channel, as a network sees it."""
    digest: str
    notes: tuple[str, ...]
    samples: dict[str, np.ndarray]
    """For the sheet, by class: images [K, C, H, W], or the frames of one recording."""


def present() -> tuple[Path, list[str]]:
    """The folder of fetched data sets, and which are there; whether they are whole is not asked."""
    folder = data_folder()
    return folder, [name for name in SOURCES if (folder / name).is_dir()]


def is_fetched(name: str) -> bool:
    """Whether `eibench data fetch` has something to get for the data set `name`."""
    return name in SOURCES


def fetch(name: str) -> tuple[Path, bool]:
    """The folder of the data set, and whether anything had to be fetched; raises `UserError`."""
    try:
        fetched = acquire(name, SOURCES[name])
        return dataset_folder(name), fetched
    except DataError as error:
        raise UserError(f"data set {name}: {error}") from None


def verify(options: DataOptions, timesteps: int) -> list[str]:
    """Problems of the files of a data set; one that is not fetched is loaded, which reads them.

    Raises:
        UserError: it is not there, or is not fetched and cannot be loaded.
    """
    source = SOURCES.get(options.name)
    try:
        if source is None:
            _read_all(_load(options, timesteps))
            return []
        return source.problems(dataset_folder(options.name))
    except DataError as error:
        raise UserError(f"data set {options.name}: {error}") from None


def describe(options: DataOptions, timesteps: int, classes: int, pictures: int) -> Description:
    """Load a data set and look at it; up to `pictures` samples of up to `classes` classes.

    Raises:
        UserError: it is absent or damaged.
    """
    data = _load(options, timesteps)
    try:
        return _described(data, classes, pictures)
    except DataError as error:  # in images that stay in their files
        raise UserError(f"data set {options.name}: {error}") from None


def _described(data: ImageData, classes: int, pictures: int) -> Description:
    images = data.train.images
    mean, deviation = (tuple(x.tolist()) for x in moments(data.train))
    ranges = [chunk.aminmax() for chunk in in_order(images, min(CHUNK, images_per_chunk(images)))]
    return Description(
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


def _load(options: DataOptions, timesteps: int) -> ImageData:
    """The data set; raises `UserError` for what its files, or a plugin, get wrong."""
    try:
        return load_data(options, timesteps)
    except UserError:
        raise
    except BaseException as error:
        pass_on(error)
        if words := plugin_error(error):
            raise UserError(f"{words}; `eibench check` tests a plugin alone") from None
        raise


def _read_all(data: ImageData) -> None:
    """Read the images that loading has left in their files."""
    for split in data.splits.values():
        if not isinstance(split.images, Tensor):
            for _ in in_order(split.images, images_per_chunk(split.images)):
                pass


def _parts(data: ImageData) -> Iterator[Part]:
    for name, split in data.splits.items():
        labels = split.labels
        sizes = torch.bincount(labels, minlength=len(data.classes))
        yield Part(name, len(labels), int(sizes.min()), int(sizes.max()))


def _samples(data: ImageData, classes: int, pictures: int) -> dict[str, np.ndarray]:
    """Training samples of up to `classes` classes, evenly spread over all of them."""
    count = min(classes, len(data.classes))
    chosen = np.linspace(0, len(data.classes) - 1, count).round().astype(int)
    return {data.classes[i]: _sample(data.train, int(i), pictures).numpy() for i in chosen}


def _sample(split: Split, label: int, pictures: int) -> Tensor:
    """The first `pictures` images of a class, or the frames of its first recording."""
    found = (split.labels == label).nonzero().flatten()
    stored = next(select_batches(split.images, [found[:pictures]]))
    samples = as_float(stored, split.unit)
    return samples[0] if samples.dim() == RECORDING else samples
