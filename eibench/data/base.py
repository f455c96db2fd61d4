"""Data sets in memory or on disk: images, labels, three splits, and a digest of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from eibench.data.stream import StreamedImages
from eibench.errors import DataError

SPLIT_SEED = 20260101
"""Seed of all splits; the same for every method, seed and machine."""


@dataclass(frozen=True)
class Split:
    """Images [N, C, H, W] or recordings [N, T, C, H, W], and labels [N], int64.

    Values are non-negative float32, or uint8 in which `unit` represents 1. Images that do not fit
    into memory are streamed from their files.
    """

    images: Tensor | StreamedImages
    labels: Tensor
    unit: float = 255.0

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray) -> Split:
        """Return the split restricted to `index`."""
        chosen = torch.from_numpy(index)
        return Split(self.images[chosen], self.labels[chosen], self.unit)

    def to(self, device: torch.device) -> Split:
        """Return the split on `device`."""
        return Split(self.images.to(device), self.labels.to(device), self.unit)


@dataclass(frozen=True)
class ImageData:
    """Training, validation and test split of a data set, and its class names."""

    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    """Remarks for the user, such as the number of skipped files."""

    @property
    def splits(self) -> dict[str, Split]:
        """Return the three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def image(self) -> tuple[int, int, int]:
        """Return (C, H, W) of an image, or of a frame of a recording."""
        channels, height, width = self.train.images.shape[-3:]
        return channels, height, width

    @cached_property
    def digest(self) -> str:
        """Return a SHA-256 over all splits: equal digests mean equal images, labels and splits.

        Streamed images are represented by the names, sizes and some bytes of their files; the
        digest then begins with `files-`.
        """
        hasher = hashlib.sha256()
        for split in self.splits.values():
            images, labels = split.images, split.labels
            hasher.update(_bytes(images) if isinstance(images, Tensor) else images.fingerprint())
            hasher.update(_bytes(labels))
        digest = hasher.hexdigest()[:16]
        return digest if isinstance(self.train.images, Tensor) else f"files-{digest}"


def select_batches(images: Tensor | StreamedImages, batches: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield the stored images of each index [B]; indices of streamed images are on the CPU."""
    if isinstance(images, Tensor):
        return (images[chosen] for chosen in batches)
    return images.batches(batches)


def in_order(images: Tensor | StreamedImages, batch_size: int) -> Iterator[Tensor]:
    """Yield all images, as stored, in batches."""
    if isinstance(images, Tensor):
        return iter(images.split(batch_size))
    return images.batches(torch.arange(len(images)).split(batch_size))


def as_float(images: Tensor, unit: float = 255.0) -> Tensor:
    """Return images as float32; 8-bit images are divided by `unit`.

    Images are not centred or scaled further: the E-I circuit needs non-negative activity, and all
    methods receive the same input.
    """
    return images.float().div_(unit) if images.dtype == torch.uint8 else images


def _bytes(tensor: Tensor) -> bytes:
    return tensor.cpu().contiguous().numpy().tobytes()


def stratified(labels: np.ndarray, held_out: int | float) -> tuple[np.ndarray, np.ndarray]:
    """Split stratified by class under `SPLIT_SEED`; return the indices (kept, held out)."""
    from sklearn.model_selection import train_test_split  # seconds, which not every command needs

    everything = np.arange(len(labels))
    kept, held = train_test_split(
        everything, test_size=held_out, random_state=SPLIT_SEED, stratify=labels
    )
    return np.sort(kept), np.sort(held)


def split_validation(
    labels: np.ndarray, share: float, where: object
) -> tuple[np.ndarray, np.ndarray]:
    """Return stratified indices (training, validation) of the training images of `where`.

    Raises:
        DataError: `share` is so small or large that a class would be missing from a part.
    """
    try:
        return stratified(labels, share)
    except ValueError as error:
        raise DataError(f"{where}: cannot set {share:g} aside: {error}") from None
