"""`imagefolder`: any set of images sorted into folders by class.

    ROOT/train/CLASS/*.png      ROOT/test/CLASS/*.png      optionally ROOT/validation/CLASS/*.png

Without a validation folder, a stratified share of the training images is held out. Options may
restrict the images of `train` and `test` to a stratified subset (`subset`). Images become
8-bit RGB (`pixels`). Without `size` all images must have one size. With it, the shorter side is
resized to `size` (bilinear, antialiased) and the centre square is kept. Images are held in memory
if they fit (`machine.memory_limit`), else streamed from their files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eibench.data.base import ImageData, Split, split_validation
from eibench.data.class_folders import (
    ClassFolders,
    Lister,
    describe_skipped,
    folders_in,
)
from eibench.data.machine import memory_limit, worker_count
from eibench.data.pixels import read_pixels
from eibench.data.sources import dataset
from eibench.data.stream import ImageFiles, Reader, StreamedImages
from eibench.data.subset import subset
from eibench.errors import AbsentDataError, DataError, did_you_mean, printable, shorten_list
from eibench.plan.options.data import ImageFolderOptions

SPLITS = ("train", "validation", "test")
REQUIRED = ("train", "test")
"""Splits that must have a folder."""
FOLDERS = (*REQUIRED, "validation")
"""Folders in the order in which they are read."""
OTHER_NAMES = {
    "training": "train",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
}
"""Other common names of the splits' folders."""
Numbered = tuple[Tensor, Tensor]
"""File numbers of a split, and their labels."""
FEW = 5000
"""Largest number of images that are read without worker processes."""


@dataset(ImageFolderOptions)
def imagefolder(options: ImageFolderOptions, needed: Collection[str] = SPLITS) -> ImageData:
    """Load the images under `options.root`.

    Where images are evaluated only, some splits are not `needed`: others stand for those that are
    not there.

    Raises:
        DataError: a folder or class is missing, or a file is damaged or of another size.
    """
    try:
        base = Path(options.root).expanduser()
    except RuntimeError as error:
        raise DataError(f"{options.root}: {error}") from None
    lister = Lister()
    there = [name for name in SPLITS if (base / name).is_dir()]
    parts = [name for name in FOLDERS if name in there or (name in needed and name in REQUIRED)]
    if options.redrawn() and "validation" in parts:
        raise DataError(
            f"{base / 'validation'}: the folder prescribes the validation split, which `splits:"
            f" {options.splits}` would redraw; leave out one of the two"
        )
    listings = {part: _listing(base, part, lister) for part in parts}
    first = parts[0]
    classes = listings[first].classes
    _require_several_classes(base / first, listings[first])
    for part in parts[1:]:
        _require_same_classes(base / part, classes, listings[part].classes, first)
    for part in REQUIRED:
        if part in listings:
            option = f"{part}_images"
            _restrict(listings[part], getattr(options, option), option, base / part)
    files, splits = _files(base, listings, options.size)
    if "train" in splits and "validation" not in splits:
        splits |= _split_validation(base, *splits["train"], options.validation_share, needed)
    held = files.nbytes <= memory_limit()
    reader = Reader(files, 0 if held and len(files) <= FEW else worker_count())
    read = {part: _split(reader, *where, held) for part, where in splits.items()}
    train = read.get("train", read["test"])
    return ImageData(
        tuple(map(printable, classes)),
        train,
        read.get("validation", train),
        read["test"],
        notes=tuple(map(printable, _notes(base, listings))),
    )


def _split(reader: Reader, index: Tensor, labels: Tensor, held: bool) -> Split:
    """Return the split of the images numbered `index`; read them now if `held`."""
    images = StreamedImages(reader, index)
    return Split(images.in_memory() if held else images, labels)


def _restrict(listing: ClassFolders, count: int | None, option: str, folder: Path) -> None:
    """Leave in `listing` the files that `option` asks for; the others are never read."""
    labels = np.array([label for _, label in listing.samples])
    used = subset(labels, count, option, folder)
    listing.samples = [listing.samples[i] for i in used]


def _listing(base: Path, part: str, lister: Lister) -> ClassFolders:
    """Return classes and files of one split's folder."""
    if (base / part).is_dir():
        return lister.list(base / part)
    there = folders_in(base) if base.is_dir() else []
    meant = [name for name in there if OTHER_NAMES.get(name.lower(), name.lower()) == part]
    inside = [name for name in there if (base / name / part).is_dir()]
    hint = did_you_mean(part, meant or there) if not meant else f"; rename {meant[0]} to {part}"
    if inside and not meant:
        hint = f"; is {base / inside[0]} the root that is meant?"
    raise AbsentDataError(
        f"{base / part}: no such folder; an imagefolder is ROOT/train/CLASS/* and "
        f"ROOT/test/CLASS/*{hint}"
    )


def _require_several_classes(split: Path, listing: ClassFolders) -> None:
    """Raise `DataError` for a single class; the message names subfolders that may be meant."""
    if len(listing.classes) > 1:
        return
    folder = split / listing.classes[0]
    inside = folders_in(folder)
    holds = f"; {folder} holds the folders {shorten_list(inside)}: is that the level meant?"
    raise DataError(
        f"{split}: one class, {listing.classes[0]!r}, but at least two are needed"
        f"{holds * bool(inside)}"
    )


def _require_same_classes(split: Path, expected: list[str], found: list[str], first: str) -> None:
    if expected != found:
        differ = shorten_list(sorted(set(expected) ^ set(found)))
        raise DataError(f"{split}: its classes are not those of {first}: {differ}")


def _notes(base: Path, listings: dict[str, ClassFolders]) -> Iterator[str]:
    """Yield notes on skipped files and on folders that may be misnamed."""
    passed_over = sum((found.passed_over for found in listings.values()), Counter[str]())
    if passed_over:
        yield describe_skipped(passed_over)
    for part, found in listings.items():
        if found.loose:
            yield f"{part}: images outside of class folders, not read: {found.loose}"
    others = [name for name in folders_in(base) if name not in SPLITS]
    for name in others:
        meant = OTHER_NAMES.get(name.lower(), name.lower())
        if meant in SPLITS and meant not in listings:
            yield f"{name}: did you mean {meant}? A folder of this name is not read"
    if unread := [n for n in others if OTHER_NAMES.get(n.lower(), n.lower()) in listings]:
        yield f"folders beside {', '.join(listings)} that are not read: {shorten_list(unread)}"
    classes = next(iter(listings.values())).classes
    alike = Counter(name.casefold() for name in classes)
    if twins := [name for name in classes if alike[name.casefold()] > 1]:
        yield f"classes whose names differ in capitals alone: {shorten_list(twins)}"


def _files(
    base: Path, listings: dict[str, ClassFolders], size: int | None
) -> tuple[ImageFiles, dict[str, Numbered]]:
    """Return all files, with the image size of the first of each folder checked, and the splits."""
    firsts = {part: listing.samples[0][0] for part, listing in listings.items()}
    shapes = {part: read_pixels(path, size).shape for part, path in firsts.items()}
    if len(set(shapes.values())) > 1:
        sizes = " and ".join(sorted({_size(shape) for shape in shapes.values()}))
        raise DataError(f"{base}: splits differ in image size: {sizes}")
    first = next(iter(firsts))
    height, width, channels = shape = shapes[first]
    samples = [sample for listing in listings.values() for sample in listing.samples]
    names = [str(Path(path).relative_to(base)) for path, _ in samples]
    read = partial(_read, size=size, shape=shape, first=firsts[first])
    counts = [len(listing.samples) for listing in listings.values()]
    index = torch.arange(len(samples)).split(counts)
    labels = torch.tensor([label for _, label in samples]).split(counts)
    shares = zip(index, labels, strict=True)
    files = ImageFiles(base, names, (channels, height, width), read)
    return files, dict(zip(listings, shares, strict=True))


def _split_validation(
    base: Path, index: Tensor, labels: Tensor, share: float, needed: Collection[str]
) -> dict[str, Numbered]:
    """Divide the training files into training and validation; too few stay whole, if no validation
    split is `needed`."""
    try:
        parts = split_validation(labels.numpy(), share, base / "train")
    except DataError:
        if "validation" in needed:
            raise
        return {}
    kept, held = (torch.from_numpy(part) for part in parts)
    return {"train": (index[kept], labels[kept]), "validation": (index[held], labels[held])}


def _read(path: str, size: int | None, shape: tuple[int, ...], first: str) -> np.ndarray:
    """Read the pixels at `path`; raise `DataError` unless they have the `shape` of the file
    `first`."""
    pixels = read_pixels(path, size)
    if pixels.shape != shape:
        raise DataError(
            f"{path}: is {_size(pixels.shape)}, but {first} is {_size(shape)}; "
            "all images must have one size, or `size` give them one"
        )
    return pixels


def _size(shape: tuple[int, ...]) -> str:
    """Return height and width of a `shape` [H, W, 3] as text."""
    return f"{shape[0]}x{shape[1]}"
