"""A data set: images, labels, three splits, and a digest of what was loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from eibench.data.stream import StreamedImages
from eibench.errors import DataError

SPLIT_SEED = 20260101
"""Splits are the same for every method, seed and machine."""


@dataclass(frozen=True)
class Split:
    """Images [N, C, H, W] or recordings [N, T, C, H, W], and labels [N], int64.

    Values are float32, at least 0, or uint8; of the latter, `unit` stands for 1. Images that do not
    fit in memory are streamed from their files.
    """

    images: Tensor | StreamedImages
    labels: Tensor
    unit: float = 255.0

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray) -> Split:
        """The split of those numbered `index`."""
        chosen = torch.from_numpy(index)
        return Split(self.images[chosen], self.labels[chosen], self.unit)

    def to(self, device: torch.device) -> Split:
        """The same split on `device`."""
        return Split(self.images.to(device), self.labels.to(device), self.unit)


@dataclass(frozen=True)
class ImageData:
    """Train, validation and test split of a data set, and its class names."""

    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    """What a user should know of the files, such as how many were passed over."""

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def image(self) -> tuple[int, int, int]:
        """(C, H, W) of every image, or frame of a recording."""
        channels, height, width = self.train.images.shape[-3:]
        return channels, height, width

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all splits: equal digests mean equal images, labels and split.

        Of streamed images, names and sizes of the files and some of their bytes stand for the
        pixels: `files-` and a hash.
        """
        hasher = hashlib.sha256()
        for split in self.splits.values():
            images, labels = split.images, split.labels
            hasher.update(_bytes(images) if isinstance(images, Tensor) else images.fingerprint())
            hasher.update(_bytes(labels))
        digest = hasher.hexdigest()[:16]
        return digest if isinstance(self.train.images, Tensor) else f"files-{digest}"


DATASETS: dict[str, Callable[..., ImageData]] = {}
"""Loading functions by the name that suites use."""


def picked(images: Tensor | StreamedImages, batches: Sequence[Tensor]) -> Iterator[Tensor]:
    """The images of each index [B], as they are stored; of streamed ones, indices on the CPU."""
    if isinstance(images, Tensor):
        return (images[chosen] for chosen in batches)
    return images.batches(batches)


def in_order(images: Tensor | StreamedImages, batch_size: int) -> Iterator[Tensor]:
    """All images, as they are stored, in batches."""
    if isinstance(images, Tensor):
        return iter(images.split(batch_size))
    return images.batches(torch.arange(len(images)).split(batch_size))


def as_float(images: Tensor, unit: float = 255.0) -> Tensor:
    """Images as float32; 8-bit ones are divided by `unit`. Nothing is centred or scaled further:
    the E-I circuit needs activity that is not negative, and all methods see the same input."""
    return images.float().div_(unit) if images.dtype == torch.uint8 else images


def _bytes(tensor: Tensor) -> bytes:
    return tensor.cpu().contiguous().numpy().tobytes()


def stratified(labels: np.ndarray, held_out: int | float) -> tuple[np.ndarray, np.ndarray]:
    """Indices (kept, held out), class shares preserved, by the fixed `SPLIT_SEED`."""
    everything = np.arange(len(labels))
    kept, held = train_test_split(
        everything, test_size=held_out, random_state=SPLIT_SEED, stratify=labels
    )
    return np.sort(kept), np.sort(held)


def set_aside(labels: np.ndarray, share: float, where: object) -> tuple[np.ndarray, np.ndarray]:
    """Indices (training, validation) of the training images of `where`, by `stratified`.

    Raises:
        DataError: so small or large a share that a class would be left out.
    """
    try:
        return stratified(labels, share)
    except ValueError as error:
        raise DataError(f"{where}: cannot set {share:g} aside: {error}") from None
