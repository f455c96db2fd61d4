"""Contracts of data sets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from eibench.contracts.base import Broken, require
from eibench.data import DataError, ImageData
from eibench.data.base import in_order
from eibench.data.checks import check_images, check_labels
from eibench.plan.options import DATASETS, DataOptions

T = 4
"""Number of frames into which recordings are binned."""
BATCH = 256
"""Number of images hashed together."""
REPEATS = 0.01
"""Share of a split's images that may occur in another split too, such as duplicate photographs."""


def load(choice: DataOptions) -> ImageData:
    """Load the data set of `choice`."""
    frames = {"timesteps": T} if choice.events else {}
    data: ImageData = DATASETS.build(choice, **frames)
    require(isinstance(data, ImageData), f"it gives a {type(data).__name__}, not an ImageData")
    return data


def images_are_images(choice: DataOptions) -> None:
    """Check that images are [N, C, H, W] of one size, uint8 or float32 in [0, 1] (recordings [N,
    T, C, H, W], float32 of at least 0); no split is empty."""
    with _breaking():
        check_images(load(choice), T if choice.events else None)


def labels_are_classes(choice: DataOptions) -> None:
    """Check that labels are int64 from 0 to classes - 1, one for each image; every class is in
    training."""
    with _breaking():
        check_labels(load(choice))


@contextlib.contextmanager
def _breaking() -> Iterator[None]:
    """Raise `DataError` as `Broken` within the context."""
    try:
        yield
    except DataError as error:
        raise Broken(str(error)) from None


def splits_are_disjoint(choice: DataOptions) -> None:
    """Check that no image of one split occurs in another."""
    data = load(choice)
    found = {
        name: {
            image.contiguous().numpy().tobytes()
            for images in in_order(split.images, BATCH)
            for image in images.cpu()
        }
        for name, split in data.splits.items()
    }
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        shared = len(found[first] & found[second])
        require(
            shared <= REPEATS * len(found[second]),
            f"{shared} of {len(found[second])} images of {second} occur in {first} too, so its "
            "accuracy would measure memorization: split by index, once",
        )


def loading_is_repeatable(choice: DataOptions) -> None:
    """Check that loading twice gives the same images, labels and splits, in the same order."""
    require(
        load(choice).digest == load(choice).digest,
        "two calls give different data: draw and split with a generator of a fixed seed",
    )


DATA_CONTRACTS = (
    images_are_images,
    labels_are_classes,
    splits_are_disjoint,
    loading_is_repeatable,
)
