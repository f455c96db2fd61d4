"""`digits`: scikit-learn's copy of the UCI optical digits, 1797 grey images of 8x8.

Split, stratified and fixed: 1167 for training, 270 for validation, 360 for test.
Source: Alpaydin and Kaynak (1998), UCI Machine Learning Repository, the test part.
"""

from __future__ import annotations

import numpy as np
import torch

from eibench.data.base import ImageData, Split, stratified
from eibench.data.sources import dataset
from eibench.plan.options.data import DigitsOptions

TEST, VALIDATION = 360, 270


@dataset(DigitsOptions)
def digits() -> ImageData:
    """Load the digits, scaled from 0..16 to [0, 1]."""
    from sklearn.datasets import load_digits  # seconds, which not every command needs

    raw, labels = load_digits(return_X_y=True)
    images = (raw.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    rest, test = stratified(labels, TEST)
    kept, held = stratified(labels[rest], VALIDATION)
    splits = [
        Split(torch.from_numpy(images[index]), torch.from_numpy(labels[index].astype(np.int64)))
        for index in (rest[kept], rest[held], test)
    ]
    return ImageData(tuple(map(str, range(10))), *splits)
