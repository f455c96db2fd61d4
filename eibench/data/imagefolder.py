"""`imagefolder`: any set of images sorted into folders by class.

    ROOT/train/CLASS/*.png      ROOT/test/CLASS/*.png      optionally ROOT/validation/CLASS/*.png

Without a validation folder, a stratified share of the training images is set aside by a fixed
seed. Images become 8-bit RGB. Without `size` all must have one size; with it, the shorter side is
resized to `size` (bilinear, antialiased) and the middle square is kept. They are held in memory
where they fit (`machine.memory_limit`), else read from their files, batch by batch.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.transforms.functional import center_crop, resize

from eibench.data.base import DataError, ImageData, Split, set_aside
from eibench.data.machine import memory_limit, worker_count
from eibench.data.stream import ImageFiles, Reader, StreamedImages

UNREADABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    ValueError,
    SyntaxError,
)
"""What Pillow raises on a file that is damaged, or claims an absurd size."""
Numbered = tuple[Tensor, Tensor]
"""Numbers of a split's files, and their labels."""
FEW = 5000
"""Images that are read as fast as processes start."""


def imagefolder(root: str, validation_share: float, size: int | None = None) -> ImageData:
    """The images under `root`.

    Raises:
        DataError: a folder or class is missing, a file is damaged or of another size.
    """
    try:
        base = Path(root).expanduser()
    except RuntimeError as error:
        raise DataError(f"{root}: {error}") from None
    parts = ["train", "test"] + ["validation"] * (base / "validation").is_dir()
    listings = {part: _listing(base / part) for part in parts}
    classes = listings["train"].classes
    for part in parts:
        _same_classes(base, classes, listings[part].classes, part)
    files, splits = _files(base, listings, size)
    if "validation" not in splits:
        splits |= _set_aside(base, *splits["train"], validation_share)
    held = files.nbytes <= memory_limit()
    reader = Reader(files, 0 if held and len(files) <= FEW else worker_count())
    return ImageData(
        tuple(classes),
        **{part: _split(reader, *where, held) for part, where in splits.items()},
    )


def _split(reader: Reader, index: Tensor, labels: Tensor, held: bool) -> Split:
    """The images of `reader` that are numbered `index`, in memory if they are to be `held`."""
    images = StreamedImages(reader, index)
    return Split(images.in_memory() if held else images, labels)


def _listing(folder: Path) -> ImageFolder:
    """Class names and files of one split's folder."""
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; an imagefolder is ROOT/train/CLASS/* and ROOT/test/CLASS/*"
        )
    try:
        return ImageFolder(str(folder))
    except FileNotFoundError as error:
        raise DataError(f"{folder}: {str(error).splitlines()[0]}") from None


def _same_classes(base: Path, expected: list[str], found: list[str], split: str) -> None:
    if expected != found:
        differ = ", ".join(sorted(set(expected) ^ set(found)))
        raise DataError(f"{base / split}: its classes are not those of train: {differ}")


def _files(
    base: Path, listings: dict[str, ImageFolder], size: int | None
) -> tuple[ImageFiles, dict[str, Numbered]]:
    """All files, of which the first of each folder has been looked at, and the folders' shares."""
    firsts = {part: listing.samples[0][0] for part, listing in listings.items()}
    shapes = {part: _pixels(path, size).shape for part, path in firsts.items()}
    if len(set(shapes.values())) > 1:
        sizes = " and ".join(sorted({_size(shape) for shape in shapes.values()}))
        raise DataError(f"{base}: splits differ in image size: {sizes}")
    height, width, channels = shape = shapes["train"]
    samples = [sample for listing in listings.values() for sample in listing.samples]
    names = [str(Path(path).relative_to(base)) for path, _ in samples]
    read = partial(_read, size=size, shape=shape, first=firsts["train"])
    counts = [len(listing.samples) for listing in listings.values()]
    index = torch.arange(len(samples)).split(counts)
    labels = torch.tensor([label for _, label in samples]).split(counts)
    shares = zip(index, labels, strict=True)
    files = ImageFiles(base, names, (channels, height, width), read)
    return files, dict(zip(listings, shares, strict=True))


def _set_aside(base: Path, index: Tensor, labels: Tensor, share: float) -> dict[str, Numbered]:
    """Training and validation part of the training files."""
    parts = set_aside(labels.numpy(), share, base / "train")
    kept, held = (torch.from_numpy(part) for part in parts)
    return {"train": (index[kept], labels[kept]), "validation": (index[held], labels[held])}


def _read(path: str, size: int | None, shape: tuple[int, ...], first: str) -> np.ndarray:
    """The pixels at `path`, which must be of `shape` [H, W, 3], as those of the file `first`."""
    pixels = _pixels(path, size)
    if pixels.shape != shape:
        raise DataError(
            f"{path}: is {_size(pixels.shape)}, but {first} is {_size(shape)}; "
            "all images must have one size, or `size` give them one"
        )
    return pixels


def read_image(path: str, size: int | None = None) -> Tensor:
    """The image at `path` as uint8 [3, H, W]; [3, size, size] if there is a size.

    Raises:
        DataError: it is damaged.
    """
    return torch.from_numpy(_pixels(path, size).copy()).permute(2, 0, 1)


def _pixels(path: str, size: int | None) -> np.ndarray:
    """The same as [H, W, 3], which may not be written to."""
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):  # converting would clip at 255
                raise DataError(f"{path}: has more than 8 bits for a channel ({image.mode})")
            image.load()
            pixels = image if image.mode == "RGB" else image.convert("RGB")
            if size is not None:
                pixels = center_crop(resize(pixels, size), [size, size])
            return np.asarray(pixels)
    except UNREADABLE as error:
        raise DataError(f"{path}: not a readable image ({error})") from None


def _size(shape: tuple[int, ...]) -> str:
    """Height and width of a `shape` [H, W, 3]."""
    return f"{shape[0]}x{shape[1]}"
