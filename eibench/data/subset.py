"""Stratified subsets of the parts that a data set comes in: `train_images` and `test_images`.

A subset depends on the labels and a fixed seed alone, so all methods, seeds and machines have the
same. The validation split is held out from it afterwards, and `splits: by_seed` divides it anew.
"""

from __future__ import annotations

import numpy as np

from eibench.data.base import NUMPY_SEEDS, SPLIT_SEED
from eibench.errors import DataError


def stratified_subset(labels: np.ndarray, count: int, seed: int = SPLIT_SEED) -> np.ndarray:
    """Return the sorted indices of `count` of the `labels` [N], stratified by class.

    Image r of a class of n, in a random order, has the priority (r + 1/2) / n, and the first of a
    class precedes all others; the `count` first are taken (Webster's method of apportionment). So
    classes keep their shares, none is empty, and a smaller subset lies within a larger one.
    """
    order = np.random.RandomState(seed % NUMPY_SEEDS).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    _, sizes = np.unique(labels, return_counts=True)
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    priority = np.where(rank == 0, 0.0, (rank + 0.5) / np.repeat(sizes, sizes))
    return np.sort(by_class[np.argsort(priority, kind="stable")[:count]])


def subset(labels: np.ndarray, count: int | None, option: str, where: object) -> np.ndarray:
    """Return the indices of the images that `option` asks for; of all if `count` is None.

    Raises:
        DataError: `where` has fewer images, or more classes than `count`.
    """
    if count is None:
        return np.arange(len(labels))
    if count > len(labels):
        raise DataError(f"{where}: data.{option} is {count}, but there are {len(labels)} images")
    if count < (classes := len(np.unique(labels))):
        raise DataError(
            f"{where}: data.{option} is {count}, but each of {classes} classes needs one"
        )
    return stratified_subset(labels, count)
