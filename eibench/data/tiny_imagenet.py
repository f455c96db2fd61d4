"""Tiny ImageNet (Stanford CS231n): 200 classes of ImageNet in 64x64 RGB, as distributed.

    tiny_imagenet/tiny-imagenet-200/wnids.txt           the classes
                                    words.txt           WNID <tab> names
                                    train/WNID/images/*.JPEG         500 of each
                                    val/images/*.JPEG                10000
                                    val/val_annotations.txt          file <tab> WNID <tab> box

The test images have no labels. So `val` is the test split, as in the literature, and validation is
a stratified part of `train` under a fixed seed. With a `size` below 64 the images are resized,
bilinear and antialiased.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from eibench.data.archives import fetch_archive
from eibench.data.base import ImageData, Split, split_validation
from eibench.data.pixels import read_image
from eibench.data.sources import (
    DataSource,
    damaged_error,
    dataset,
    dataset_folder,
    unreadable,
)
from eibench.data.subset import subset
from eibench.errors import DataError
from eibench.plan.options.data import TinyImageNetOptions

NAME = "tiny_imagenet"
BASE = "tiny-imagenet-200"
URL = f"http://cs231n.stanford.edu/{BASE}.zip"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
CLASSES, TRAIN_OF_EACH, TESTED = 200, 500, 10000
IMAGE = (3, 64, 64)


@dataclass(frozen=True)
class Listing:
    """Files of the data set in a fixed order, with their classes."""

    wnids: list[str]
    """Class identifiers, ascending."""
    names: dict[str, str]
    """Words of each class, from words.txt."""
    train: list[tuple[Path, str]]
    test: list[tuple[Path, str]]


def _list(base: Path) -> Listing:
    """Read the text files and list the images; raise `DataError` when one is missing."""
    wnids = sorted({word for line in _lines(base / "wnids.txt") for word in line.split()})
    wnids = [wnid for wnid in wnids if wnid.isalnum()]
    rows = [line.partition("\t") for line in _lines(base / "words.txt")]
    names = {wnid: words for wnid, _, words in rows}
    train = [
        (path, wnid)
        for wnid in wnids
        for path in sorted((base / "train" / wnid / "images").glob("*.JPEG"))
    ]
    rows = [line.partition("\t") for line in _lines(base / "val" / "val_annotations.txt")]
    test = [(base / "val" / "images" / file, rest.partition("\t")[0]) for file, _, rest in rows]
    return Listing(wnids, names, train, sorted(test))


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file; bytes that are not UTF-8 are replaced, and reported
    later."""
    if not path.is_file():
        raise DataError(f"{path}: missing")
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _misfits(folder: Path) -> list[str]:
    """Return the problems of files and annotations, without decoding images."""
    try:
        return list(_layout_problems(folder / BASE, _list(folder / BASE)))
    except DataError as error:
        return [str(error)]
    except OSError as error:
        return [unreadable(error)]


def _layout_problems(base: Path, listing: Listing) -> Iterator[str]:
    """Yield missing files and inconsistencies between files."""
    if len(listing.wnids) != CLASSES:
        yield f"{base / 'wnids.txt'}: {len(listing.wnids)} classes, not {CLASSES}"
    for wnid in listing.wnids:
        if wnid not in listing.names:
            yield f"{base / 'words.txt'}: no words for {wnid}"
    found = Counter(wnid for _, wnid in listing.train)
    for wnid in listing.wnids:
        if found[wnid] != TRAIN_OF_EACH:
            folder = base / "train" / wnid / "images"
            yield f"{folder}: {found[wnid]} images, not {TRAIN_OF_EACH}"
    yield from _annotation_problems(base / "val", listing)


def _annotation_problems(val: Path, listing: Listing) -> Iterator[str]:
    """Yield annotations without image, images without annotation, and unknown classes."""
    annotations, annotated = val / "val_annotations.txt", {path for path, _ in listing.test}
    if len(annotated) != TESTED or len(listing.test) != TESTED:
        yield f"{annotations}: {len(listing.test)} lines on {len(annotated)} images, not {TESTED}"
    for path, wnid in listing.test:
        if wnid not in listing.wnids:
            yield f"{annotations}: {path.name} is of class {wnid or '(none)'}, not in wnids.txt"
        if not path.is_file():
            yield f"{path}: missing, but annotated"
    for path in sorted(set((val / "images").glob("*.JPEG")) - annotated):
        yield f"{path}: not annotated"


def _class_names(listing: Listing) -> tuple[str, ...]:
    """Return the first word of each class, with the identifier where two classes share it."""
    first = [listing.names[wnid].partition(",")[0].strip() for wnid in listing.wnids]
    count = Counter(first)
    both = zip(first, listing.wnids, strict=True)
    return tuple(name if count[name] == 1 else f"{name} ({wnid})" for name, wnid in both)


def _labels(listing: Listing, files: Iterable[tuple[Path, str]]) -> Tensor:
    index = {wnid: i for i, wnid in enumerate(listing.wnids)}
    return torch.tensor([index[wnid] for _, wnid in files])


def _read(files: list[tuple[Path, str]], size: int) -> Tensor:
    """Return uint8 [N, 3, size, size], filled in place: stacking a list would need twice the
    memory."""
    from torchvision.transforms.functional import resize

    images = torch.empty(len(files), IMAGE[0], size, size, dtype=torch.uint8)
    for image, (path, _) in zip(images, files, strict=True):
        image.copy_(resize(_image(path), [size, size]))
    return images


def _image(path: Path) -> Tensor:
    image = read_image(str(path))
    if tuple(image.shape) != IMAGE:
        raise DataError(f"{path}: is {image.shape[1]}x{image.shape[2]}, not {IMAGE[1]}x{IMAGE[2]}")
    return image


def _fetch(folder: Path) -> None:
    fetch_archive(URL, folder, f"{BASE}.zip", MD5)


def _verify(folder: Path) -> list[str]:
    """Return the problems of all files; every image is decoded."""
    images = sorted((folder / BASE).glob("train/*/images/*.JPEG"))
    images += sorted((folder / BASE).glob("val/images/*.JPEG"))
    return [*_misfits(folder), *_unreadable(images)]


def _unreadable(images: Iterable[Path]) -> Iterator[str]:
    for path in images:
        try:
            _image(path)
        except DataError as error:
            yield str(error)


@dataset(TinyImageNetOptions, DataSource(_fetch, _verify))
def tiny_imagenet(options: TinyImageNetOptions) -> ImageData:
    """Load both labelled parts into memory (1.4 GB at full size); raise `DataError`."""
    folder, size = dataset_folder(NAME), options.size
    if problems := _misfits(folder):
        raise damaged_error(NAME, problems)
    listing = _list(folder / BASE)
    train, test = _labels(listing, listing.train), _labels(listing, listing.test)
    used = subset(train.numpy(), options.train_images, "train_images", folder)
    kept, held = split_validation(train[used].numpy(), options.validation_share, folder)
    tested = subset(test.numpy(), options.test_images, "test_images", folder)
    parts = (
        (listing.train, train, used[kept]),
        (listing.train, train, used[held]),
        (listing.test, test, tested),
    )
    return ImageData(
        _class_names(listing),
        *(
            Split(_read([files[i] for i in index], size), labels[index])
            for files, labels, index in parts
        ),
    )
