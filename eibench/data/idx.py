"""What can be wrong with the files of MNIST and of sets in its form.

An idx file is a header, big-endian: the magic number, one size for each dimension; then the values,
here of 8 bits. The published md5 are those of the compressed files; where these lie beside the
others, as after a download, they tell of every byte.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from eibench.data.sources import md5_problems

if TYPE_CHECKING:
    from torchvision.datasets import MNIST

MAGIC = {1: 0x0801, 3: 0x0803}
"""By number of dimensions, for unsigned 8-bit values."""
IMAGE = (28, 28)


def mnist_problems(kind: type[MNIST], folder: Path) -> list[str]:
    """What is wrong with the files of `kind` under `folder`, each problem naming one."""
    return list(_problems(kind, folder / kind.__name__))


def _problems(kind: type[MNIST], base: Path) -> Iterator[str]:
    for old in sorted(base.glob("processed/*.pt")):  # which torchvision would read in their stead
        yield f"{old}: from an old torchvision, cannot be verified; remove it"
    for archive, md5 in kind.resources:
        yield from _archive_problems(base / "raw" / archive, md5)
    for part in ("train", "t10k"):
        images = base / "raw" / f"{part}-images-idx3-ubyte"
        labels = base / "raw" / f"{part}-labels-idx1-ubyte"
        wrong = [*_idx_problems(images, 3), *_idx_problems(labels, 1)]
        yield from wrong or _pair_problems(images, labels, len(kind.classes))


def _archive_problems(archive: Path, md5: str) -> Iterator[str]:
    """A damaged archive, or a file that is not what it holds; an archive need not be there."""
    if not archive.exists():
        return
    if wrong := md5_problems(archive, md5):
        yield from wrong
        return
    crc = int.from_bytes(archive.read_bytes()[-8:-4], "little")  # of the content, says gzip
    file = archive.with_suffix("")
    if file.is_file() and zlib.crc32(file.read_bytes()) != crc:
        yield f"{file}: damaged, it is not what {archive.name} holds"


def _idx_problems(path: Path, dims: int) -> Iterator[str]:
    """A missing file, or one whose header and size do not agree."""
    if not path.is_file():
        yield f"{path}: missing"
        return
    sizes = _sizes(path, dims)
    expected = 4 * (1 + dims) + math.prod(sizes)
    if not sizes:
        yield f"{path}: damaged, no idx header of {dims} dimensions"
    elif path.stat().st_size != expected:
        yield f"{path}: damaged, {path.stat().st_size} bytes where its header asks for {expected}"
    elif sizes[0] == 0 or sizes[1:] not in ((), IMAGE):
        yield f"{path}: damaged, its header says {'x'.join(map(str, sizes))}"


def _sizes(path: Path, dims: int) -> tuple[int, ...]:
    """The sizes in the header; none when it is not the header of an idx file of `dims`."""
    with path.open("rb") as file:
        header = file.read(4 * (1 + dims))
    words = [int.from_bytes(header[i : i + 4], "big") for i in range(0, len(header), 4)]
    return tuple(words[1:]) if len(header) == 4 * (1 + dims) and words[0] == MAGIC[dims] else ()


def _pair_problems(images: Path, labels: Path, classes: int) -> Iterator[str]:
    """Labels that do not suit the images or the classes."""
    (count,), (pictures, *_) = _sizes(labels, 1), _sizes(images, 3)
    if count != pictures:
        yield f"{labels}: {count} labels for {pictures} images"
    elif (top := max(labels.read_bytes()[8:])) >= classes:
        yield f"{labels}: damaged, a label {top} among {classes} classes"
