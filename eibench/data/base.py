"""A data set in memory: images, labels, three splits, and a digest of what was loaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

SPLIT_SEED = 20260101
"""Splits are the same for every method, seed and machine."""


class DataError(Exception):
    """A data set that is absent or damaged; the message says which file and what to do."""


@dataclass(frozen=True)
class Split:
    """Images [N, C, H, W] or recordings [N, T, C, H, W], and labels [N], int64.

    Values are float32, at least 0, or uint8; of the latter, `unit` stands for 1.
    """

    images: Tensor
    labels: Tensor
    unit: float = 255.0

    def __len__(self) -> int:
        return len(self.labels)

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

    @property
    def image(self) -> tuple[int, int, int]:
        """(C, H, W) of every image, or frame of a recording."""
        channels, height, width = self.train.images.shape[-3:]
        return channels, height, width

    @property
    def digest(self) -> str:
        """SHA-256 over all splits: equal digests mean equal images, labels and split."""
        hasher = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            for tensor in (split.images, split.labels):
                hasher.update(tensor.cpu().contiguous().numpy().tobytes())
        return hasher.hexdigest()[:16]


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
