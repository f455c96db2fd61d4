"""`imagefolder`: any set of images sorted into folders by class, read into memory once.

    ROOT/train/CLASS/*.png      ROOT/test/CLASS/*.png      optionally ROOT/validation/CLASS/*.png

Without a validation folder, a stratified share of the training images is set aside by a fixed
seed. All images must have one size; they are kept as 8-bit RGB.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.transforms.functional import pil_to_tensor

from eibench.data.base import DataError, ImageData, Split, stratified

UNREADABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    ValueError,
    SyntaxError,
)
"""What Pillow raises on a file that is damaged, or claims an absurd size."""


def imagefolder(root: str, validation_share: float) -> ImageData:
    """The images under `root`.

    Raises:
        DataError: a folder or class is missing, a file is damaged or of another size.
    """
    try:
        base = Path(root).expanduser()
    except RuntimeError as error:
        raise DataError(f"{root}: {error}") from None
    classes, train = _read(base / "train")
    test_classes, test = _read(base / "test")
    _same_classes(base, classes, test_classes, "test")
    if (base / "validation").is_dir():
        found, validation = _read(base / "validation")
        _same_classes(base, classes, found, "validation")
    else:
        train, validation = _set_aside(base, train, validation_share)
    sizes = {tuple(split.images.shape[1:]) for split in (train, validation, test)}
    if len(sizes) > 1:
        raise DataError(f"{base}: splits differ in image size: {_sizes(sizes)}")
    return ImageData(tuple(classes), train, validation, test)


def _read(folder: Path) -> tuple[list[str], Split]:
    """Class names and images of one split's folder."""
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; an imagefolder is ROOT/train/CLASS/* and ROOT/test/CLASS/*"
        )
    try:
        listing = ImageFolder(str(folder))
    except FileNotFoundError as error:
        raise DataError(f"{folder}: {str(error).splitlines()[0]}") from None
    images = [read_image(path) for path, _ in listing.samples]
    first = images[0].shape
    for (path, _), image in zip(listing.samples, images, strict=True):
        if image.shape != first:
            raise DataError(
                f"{path}: is {_sizes({tuple(image.shape)})}, but {listing.samples[0][0]} is "
                f"{_sizes({tuple(first)})}; all images must have one size"
            )
    labels = torch.tensor([label for _, label in listing.samples])
    return listing.classes, Split(torch.stack(images), labels)


def read_image(path: str) -> Tensor:
    """The image at `path` as uint8 [3, H, W]; raises `DataError` when it is damaged."""
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):  # converting would clip at 255
                raise DataError(f"{path}: has more than 8 bits for a channel ({image.mode})")
            pixels: Tensor = pil_to_tensor(image.convert("RGB"))
    except UNREADABLE as error:
        raise DataError(f"{path}: not a readable image ({error})") from None
    return pixels


def _set_aside(base: Path, train: Split, share: float) -> tuple[Split, Split]:
    """Training and validation part of `train`."""
    try:
        kept, held = stratified(train.labels.numpy(), share)
    except ValueError as error:
        raise DataError(f"{base / 'train'}: cannot set {share:g} aside: {error}") from None
    return _take(train, kept), _take(train, held)


def _take(split: Split, index: np.ndarray) -> Split:
    chosen = torch.from_numpy(index)
    return Split(split.images[chosen], split.labels[chosen])


def _same_classes(base: Path, expected: list[str], found: list[str], split: str) -> None:
    if expected != found:
        differ = ", ".join(sorted(set(expected) ^ set(found)))
        raise DataError(f"{base / split}: its classes are not those of train: {differ}")


def _sizes(shapes: set[tuple[int, ...]]) -> str:
    return " and ".join(sorted(f"{shape[-2]}x{shape[-1]}" for shape in shapes))
