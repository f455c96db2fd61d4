"""What must hold of every data set."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from eibench.contracts.base import listed, require
from eibench.data import DATASETS, ImageData, Split
from eibench.data.base import in_order
from eibench.plan.options import DataOptions

T = 4
"""Frames that recordings are binned into."""
BATCH = 256
"""Images that are looked at together."""
REPEATS = 0.01
"""Share of a split's images that may stand in another too: photographs taken twice, no more."""


def load(choice: DataOptions) -> ImageData:
    """The data set, of which the three splits are checked to be splits."""
    frames = {"timesteps": T} if choice.events else {}
    data = DATASETS[choice.name](**choice.model_dump(), **frames)
    require(isinstance(data, ImageData), f"it gives a {type(data).__name__}, not an ImageData")
    return data


def splits(data: ImageData) -> Iterator[tuple[str, Split]]:
    """The three splits, named."""
    yield "train", data.train
    yield "validation", data.validation
    yield "test", data.test


def images_are_images(choice: DataOptions) -> None:
    """Images are [N, C, H, W] of one size, uint8 or float32 in [0, 1] (recordings [N, T, C, H, W],
    float32 of at least 0); no split is empty."""
    data = load(choice)
    found = list(data.train.images.shape)
    if choice.events:
        require(len(found) == 5 and found[1] == T, f"recordings are {found}, not [N, {T}, C, H, W]")
    else:
        require(len(found) == 4, f"images are {found}, not [N, C, H, W]")
    for name, split in splits(data):
        images = split.images
        require(len(images) > 0, f"{name} is empty")
        size = tuple(images.shape[-3:])
        require(size == data.image, f"images of {name} are {size}, those of train {data.image}")
        kinds = (torch.uint8, torch.float32)
        require(images.dtype in kinds, f"images of {name} are {images.dtype}, not uint8 or float32")
        if isinstance(images, torch.Tensor) and images.dtype == torch.float32:
            low, high = images.min().item(), images.max().item()
            require(
                bool(images.isfinite().all()) and low >= 0 and (choice.events or high <= 1),
                f"images of {name} go from {low:.4g} to {high:.4g}; scale them to [0, 1], since "
                "E-I circuits take no negative activity",
            )


def labels_are_classes(choice: DataOptions) -> None:
    """Labels are int64 from 0 to classes - 1, one for each image; every class is in training."""
    data = load(choice)
    count = len(data.classes)
    require(count > 1 and len(set(data.classes)) == count, f"class names are {data.classes}")
    for name, split in splits(data):
        labels = split.labels
        require(labels.dtype == torch.int64, f"labels of {name} are {labels.dtype}, not int64")
        shape, images = list(labels.shape), len(split.images)
        require(shape == [images], f"{name} has {images} images and labels of {shape}")
        low, high = int(labels.min()), int(labels.max())
        require(
            low >= 0 and high < count,
            f"labels of {name} go from {low} to {high}; {count} classes have 0 to {count - 1}",
        )
    present = set(data.train.labels.tolist())
    absent = [name for i, name in enumerate(data.classes) if i not in present]
    require(not absent, f"no training image of {listed(absent)}")


def splits_are_disjoint(choice: DataOptions) -> None:
    """No image of one split stands in another."""
    data = load(choice)
    found = {
        name: {
            image.contiguous().numpy().tobytes()
            for images in in_order(split.images, BATCH)
            for image in images.cpu()
        }
        for name, split in splits(data)
    }
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        shared = len(found[first] & found[second])
        require(
            shared <= REPEATS * len(found[second]),
            f"{shared} of {len(found[second])} images of {second} stand in {first} as well, so its "
            "accuracy would be that of what was learned by heart: split by index, once",
        )


def loading_is_repeatable(choice: DataOptions) -> None:
    """Loaded twice it has the same images, labels and splits, in the same order."""
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
