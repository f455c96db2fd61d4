"""Data sets in memory or on disk: images, labels, three splits, and a digest of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from eibench.data.stream import StreamedImages
from eibench.errors import DataError
from eibench.plan.options import DataShape

SPLIT_SEED = 20260101
"""Seed of fixed splits; the same for every method, seed and machine."""
NUMPY_SEEDS = 2**32
"""Number of seeds that numpy's `RandomState` accepts."""


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

    @property
    def shape(self) -> DataShape:
        """Return what a network must fit: the shape of an image, and the number of classes."""
        return DataShape(self.image, len(self.classes))

    def to(self, device: torch.device) -> ImageData:
        """Return the data set on `device`."""
        train, validation, test = (split.to(device) for split in self.splits.values())
        return replace(self, train=train, validation=validation, test=test)

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


def stratified(
    labels: np.ndarray, held_out: int | float, seed: int = SPLIT_SEED
) -> tuple[np.ndarray, np.ndarray]:
    """Split stratified by class under `seed`; return the sorted indices (kept, held out).

    Raises:
        ValueError: there are too few images for every class to be in both parts.
    """
    from sklearn.model_selection import train_test_split  # seconds, which not every command needs

    everything = np.arange(len(labels))
    try:
        kept, held = train_test_split(
            everything, test_size=held_out, random_state=seed % NUMPY_SEEDS, stratify=labels
        )
    except ValueError:
        raise ValueError(
            f"both parts need an image of each of the {len(np.unique(labels))} classes, and each"
            f" class two images at least; of {len(labels)} images that cannot be"
        ) from None
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


def redraw(data: ImageData, parts: Sequence[str], seed: int) -> ImageData:
    """Return `data` with the images of `parts` divided anew under `seed`, in the same sizes.

    `parts` begins with training, which receives the images that are left.

    Raises:
        DataError: a part is too small to hold every class, or parts are stored in unlike ways.
    """
    old = [data.splits[part] for part in parts]
    if len({_storage(split) for split in old}) > 1:
        raise DataError(f"{', '.join(parts)} are stored in unlike ways and cannot be redrawn")
    labels = torch.cat([split.labels for split in old]).numpy()
    left, new = np.arange(len(labels)), dict(data.splits)
    for part, split in reversed(list(zip(parts[1:], old[1:], strict=True))):
        try:
            kept, held = stratified(labels[left], len(split), seed)
        except ValueError as error:
            raise DataError(f"cannot draw {part} of {len(split)} images: {error}") from None
        new[part], left = _select(old, left[held]), left[kept]
    new[parts[0]] = _select(old, left)
    return ImageData(data.classes, **new, notes=data.notes)


def _storage(split: Split) -> tuple[object, ...]:
    """Return what splits must share for images to move between them."""
    return split.images.dtype, split.unit, getattr(split.images, "reader", None)


def _select(splits: Sequence[Split], index: np.ndarray) -> Split:
    """Return the images numbered by the sorted `index` [N] over the concatenated `splits`."""
    first, chosen = splits[0].images, torch.from_numpy(index)
    labels = torch.cat([split.labels for split in splits])[chosen]
    if isinstance(first, StreamedImages):
        files = torch.cat([s.images.index for s in splits if isinstance(s.images, StreamedImages)])
        return Split(StreamedImages(first.reader, files[chosen]), labels, splits[0].unit)
    images = first.new_empty(len(index), *first.shape[1:])
    starts = np.cumsum([0, *map(len, splits)])
    cuts = np.searchsorted(index, starts)
    for split, start, low, high in zip(splits, starts, cuts[:-1], cuts[1:], strict=False):
        assert isinstance(split.images, Tensor)
        inside = chosen[low:high] - int(start)  # copied in place: a data set may fill the memory
        torch.index_select(split.images, 0, inside, out=images[low:high])
    return Split(images, labels, splits[0].unit)
