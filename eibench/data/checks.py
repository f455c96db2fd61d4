"""Checks of every data set that is loaded, cheap enough to run always.

Values of images in memory are checked once. Streamed images are 8-bit and of one size by
construction (`stream.ImageFiles`); the first are checked now, the others when they are read.
`eibench check` asks more of a plugin (`eibench.contracts`).
"""

from __future__ import annotations

import math
from collections import Counter

import torch
from torch import Tensor

from eibench.data.base import ImageData, Split
from eibench.data.stream import StreamedImages
from eibench.errors import DataError, shorten_list

IMAGES, RECORDINGS = 4, 5
"""Number of dimensions of images [N, C, H, W], and of recordings [N, T, C, H, W]."""
FEW = 32
"""Number of images compared at once."""


def require(holds: bool, text: str) -> None:
    """Raise `DataError` with `text` unless `holds`."""
    if not holds:
        raise DataError(text)


def check(data: object, frames: int | None) -> ImageData:
    """Return `data` after checking it; `frames` is T of recordings, None for images.

    Raises:
        DataError: a requirement is violated; the message names split, image and value.
    """
    if not isinstance(data, ImageData):
        raise DataError(f"it gives a {type(data).__name__}, not an ImageData")
    check_images(data, frames)
    check_labels(data)
    if data.train is not data.test:
        _check_variety(data.train)
    return data


def check_images(data: ImageData, frames: int | None) -> None:
    """Check shape, type and range of the images; no split may be empty.

    Images are [N, C, H, W] of one size, uint8 or float32 in [0, 1]. Recordings are
    [N, T, C, H, W], uint8 or non-negative float32.
    """
    for name, split in data.splits.items():
        require(isinstance(split, Split), f"{name} is a {type(split).__name__}, not a Split")
        _check_form(name, split, frames)
        size, train = tuple(split.images.shape[-3:]), tuple(data.train.images.shape[-3:])
        require(size == train, f"images of {name} are {size}, those of train {train}")
        if isinstance(split.images, Tensor):
            _check_values(name, split.images, split.unit, recordings=frames is not None)


def _check_form(name: str, split: Split, frames: int | None) -> None:
    images = split.images
    stored = isinstance(images, Tensor) and images.layout == torch.strided
    kind = getattr(images, "layout", None) or type(images).__name__
    require(
        stored or isinstance(images, StreamedImages), f"images of {name} are {kind}, not a tensor"
    )
    found = list(images.shape)
    if frames is None:
        require(len(found) == IMAGES, f"images of {name} are {found}, not [N, C, H, W]")
    else:
        fits = len(found) == RECORDINGS and found[1] == frames
        require(fits, f"recordings of {name} are {found}, not [N, {frames}, C, H, W]")
    require(found[0] > 0, f"{name} is empty")
    require(0 not in found, f"images of {name} are {found}: they have no pixels")
    kinds = (torch.uint8, torch.float32)
    require(images.dtype in kinds, f"images of {name} are {images.dtype}, not uint8 or float32")
    require(
        math.isfinite(split.unit) and split.unit > 0,
        f"unit of {name} is {split.unit}; it must be a number above 0",
    )


def _check_values(name: str, images: Tensor, unit: float, *, recordings: bool) -> None:
    """Check that values are finite and non-negative, and those of images at most 1."""
    eight_bits = images.dtype == torch.uint8
    if eight_bits and (recordings or unit >= torch.iinfo(torch.uint8).max):
        return
    most = math.inf if recordings else unit if eight_bits else 1
    low, high = (float(end) for end in images.aminmax())
    if math.isfinite(low) and math.isfinite(high) and low >= 0 and high <= most:
        return
    wrong = ~(images.isfinite() & (images >= 0) & (images <= most))
    chosen = wrong.flatten(1).any(1).nonzero().flatten()
    first = int(chosen[0])
    value = float(images[first][wrong[first]][0])
    meant = f"{unit:g} stands for 1" if eight_bits else "scale them to [0, 1]"
    meant = "counts of events are at least 0" if recordings else meant
    text = f"image {first} of {name} holds {value:g}; {meant}"
    if math.isfinite(value):
        text += ", since E-I circuits take no negative activity" if value < 0 else ""
    else:
        text = f"image {first} of {name} holds {value:g}, which is not a number to learn from"
    more = f" ({len(chosen)} of {len(images)} images do)"
    raise DataError(text + more * (len(chosen) > 1))


def check_labels(data: ImageData) -> None:
    """Check that labels are int64 in [0, classes), one per image, and every class is in
    training."""
    names = data.classes
    require(
        isinstance(names, tuple | list) and all(isinstance(name, str) for name in names),
        "class names are not a tuple of text",
    )
    count = len(names)
    require(count > 1, f"it has {_count(names)}, but at least two are needed")
    name, times = Counter(names).most_common(1)[0]
    require(times == 1, f"{times} classes are called {name!r}")
    for name, split in data.splits.items():
        _check_range(name, split, count)
    sizes = data.train.labels.bincount(minlength=count).tolist()
    absent = [name for name, size in zip(names, sizes, strict=True) if not size]
    require(not absent, f"no training image of {shorten_list(absent, 3)}")


def _check_range(name: str, split: Split, count: int) -> None:
    labels, images = split.labels, len(split.images)
    kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
    require(kind == torch.int64, f"labels of {name} are {kind}, not int64")
    shape = list(labels.shape)
    require(shape == [images], f"{name} has {images} images and labels of {shape}")
    low, high = (int(end) for end in labels.aminmax())
    if low < 0 or high >= count:
        first = int(((labels < 0) | (labels >= count)).nonzero()[0])
        raise DataError(
            f"labels of {name} go from {low} to {high}; {count} classes have 0 to {count - 1}, but "
            f"image {first} has {int(labels[first])}"
        )


def _count(names: tuple[str, ...]) -> str:
    return f"one class, {names[0]!r}" if names else "no classes"


def _check_variety(split: Split) -> None:
    """Check that training images differ; usually this reads only the first few."""
    images = split.images
    first = _read(images, slice(0, 1))
    for start in range(0, len(images), FEW):
        some = _read(images, slice(start, start + FEW))
        if not torch.equal(some, first.expand_as(some)):
            return
    raise DataError(f"all {len(images)} training images are the same: there is nothing to learn")


def _read(images: Tensor | StreamedImages, part: slice) -> Tensor:
    return images[part] if isinstance(images, Tensor) else images.read_slice(part)
