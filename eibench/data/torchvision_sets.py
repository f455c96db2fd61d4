"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100, read by torchvision from its own layout.

    mnist/MNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte, the same with .gz
    fashion_mnist/FashionMNIST/raw/...; without it the files of a Debian package (`debian`)
    cifar10/cifar-10-batches-py/{data_batch_1..5,test_batch,batches.meta}
    cifar100/cifar-100-python/{train,test,meta}

Test is the published test part; validation is a stratified part of training under a fixed seed.
Files are verified before they are read: a CIFAR file is a pickle, which could run code, and is
opened only if its MD5 is the published one.

An idx file of MNIST is a big-endian header (magic number, one size per dimension) and 8-bit values.
The published MD5 are those of the compressed files; where these are present, as after a download,
they verify every byte.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from eibench.data import debian
from eibench.data.archives import fetch_archive
from eibench.data.base import ImageData, Split, split_validation
from eibench.data.sources import (
    SOURCES,
    DataSource,
    SystemPackage,
    damaged_error,
    dataset,
    dataset_folder,
    md5_problems,
    verified_folder,
)
from eibench.data.subset import subset
from eibench.plan.options.data import (
    CIFAR10Options,
    CIFAR100Options,
    FashionMNISTOptions,
    FetchedOptions,
    MNISTOptions,
)

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10, MNIST

MAGIC = {1: 0x0801, 3: 0x0803}
"""Magic numbers of unsigned 8-bit values, by number of dimensions."""
IMAGE = (28, 28)


def _class(name: str) -> Any:
    """Return torchvision's class of that name; its import takes a third of a command's start."""
    from torchvision import datasets

    return getattr(datasets, name)


def _mnist(class_name: str, options: FetchedOptions) -> ImageData:
    kind, source = _class(class_name), SOURCES[options.name]
    folder = dataset_folder(options.name)
    if source.is_packaged(folder):
        splits = _packaged(options.name, folder)
    else:
        folder = verified_folder(options.name, source)
        train, test = (kind(folder, train=part) for part in (True, False))
        splits = [Split(part.data.unsqueeze(1), part.targets) for part in (train, test)]
    classes = [text.partition(" - ")[0] for text in kind.classes]  # MNIST: `7 - seven`
    return _divided(folder, classes, options, *splits)


def _packaged(name: str, folder: Path) -> list[Split]:
    """Return training and test part of a Debian package's files; raise `DataError`."""
    contents, problems = debian.read_contents(folder)
    if problems:
        raise damaged_error(name, problems)
    return [debian.read_split(contents, part) for part in ("train", "t10k")]


def _cifar(class_name: str, options: FetchedOptions) -> ImageData:
    kind = _class(class_name)
    folder = verified_folder(options.name, SOURCES[options.name])
    train, test = (kind(folder, train=part) for part in (True, False))
    splits = [Split(_channels_first(p.data), torch.tensor(p.targets)) for p in (train, test)]
    return _divided(folder, train.classes, options, *splits)


def _channels_first(images: np.ndarray) -> Tensor:
    """Convert [N, H, W, C] to [N, C, H, W]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def _divided(
    folder: Path, classes: list[str], options: FetchedOptions, train: Split, test: Split
) -> ImageData:
    """Return the three splits of the images that `options` ask for."""
    labels = train.labels.numpy()
    used = subset(labels, options.train_images, "train_images", folder)
    kept, held = split_validation(labels[used], options.validation_share, folder)
    tested = subset(test.labels.numpy(), options.test_images, "test_images", folder)
    splits = train.take(used[kept]), train.take(used[held]), test.take(tested)
    return ImageData(tuple(classes), *splits)


def _fetch_mnist(class_name: str, folder: Path) -> None:
    """Download the compressed files and unpack them again.

    torchvision would accept files that an interrupted call left incomplete.
    """
    kind = _class(class_name)
    for half in (folder / kind.__name__ / "raw").glob("*-ubyte"):
        half.unlink()
    kind(folder, download=True)


def _fetch_cifar(class_name: str, folder: Path) -> None:
    """Download the batches; the archive is deleted."""
    kind = _class(class_name)
    if _cifar_problems(class_name, folder):
        fetch_archive(kind.url, folder, kind.filename, kind.tgz_md5)


def _cifar_problems(class_name: str, folder: Path) -> list[str]:
    """Return the batches and class names that differ from the published files."""
    kind: type[CIFAR10] = _class(class_name)
    files = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
    base = folder / kind.base_folder
    return [problem for name, md5 in files for problem in md5_problems(base / name, md5)]


def _mnist_problems(class_name: str, folder: Path) -> list[str]:
    """Return the problems of the files of a set under `folder`, each naming a file."""
    kind = _class(class_name)
    return list(_problems(kind, folder / kind.__name__))


def _source(
    fetch: Callable[..., None],
    problems: Callable[..., list[str]],
    name: str,
    package: SystemPackage | None = None,
) -> DataSource:
    return DataSource(partial(fetch, name), partial(problems, name), package)


def _problems(kind: type[MNIST], base: Path) -> Iterator[str]:
    for old in sorted(base.glob("processed/*.pt")):  # torchvision would read these instead
        yield f"{old}: from an old torchvision, cannot be verified; remove it"
    for archive, md5 in kind.resources:
        yield from _archive_problems(base / "raw" / archive, md5)
    for part in ("train", "t10k"):
        images = base / "raw" / f"{part}-images-idx3-ubyte"
        labels = base / "raw" / f"{part}-labels-idx1-ubyte"
        wrong = [*_idx_problems(images, 3), *_idx_problems(labels, 1)]
        yield from wrong or _pair_problems(images, labels, len(kind.classes))


def _archive_problems(archive: Path, md5: str) -> Iterator[str]:
    """Yield a damaged archive, or a file that differs from its archive; the archive is optional."""
    if not archive.exists():
        return
    if wrong := md5_problems(archive, md5):
        yield from wrong
        return
    crc = int.from_bytes(archive.read_bytes()[-8:-4], "little")  # gzip ends with CRC-32 and size
    file = archive.with_suffix("")
    if file.is_file() and zlib.crc32(file.read_bytes()) != crc:
        yield f"{file}: damaged, it is not what {archive.name} holds"


def _idx_problems(path: Path, dims: int) -> Iterator[str]:
    """Yield a missing file, or one whose header and size disagree."""
    if not path.is_file():
        yield f"{path}: missing"
        return
    sizes = _sizes(path, dims)
    expected = 4 * (1 + dims) + math.prod(sizes)
    if not sizes:
        yield f"{path}: damaged, no idx header of {dims} dimensions"
    elif path.stat().st_size != expected:
        yield f"{path}: damaged, {path.stat().st_size} bytes; its header states {expected}"
    elif sizes[0] == 0 or sizes[1:] not in ((), IMAGE):
        yield f"{path}: damaged, its header says {'x'.join(map(str, sizes))}"


def _sizes(path: Path, dims: int) -> tuple[int, ...]:
    """Return the sizes in the header; empty if it is not an idx header of `dims` dimensions."""
    with path.open("rb") as file:
        header = file.read(4 * (1 + dims))
    words = [int.from_bytes(header[i : i + 4], "big") for i in range(0, len(header), 4)]
    return tuple(words[1:]) if len(header) == 4 * (1 + dims) and words[0] == MAGIC[dims] else ()


def _pair_problems(images: Path, labels: Path, classes: int) -> Iterator[str]:
    """Yield labels that do not fit the images or the classes."""
    (count,), (pictures, *_) = _sizes(labels, 1), _sizes(images, 3)
    if count != pictures:
        yield f"{labels}: {count} labels for {pictures} images"
    elif (top := max(labels.read_bytes()[8:])) >= classes:
        yield f"{labels}: damaged, a label {top} among {classes} classes"


@dataset(MNISTOptions, _source(_fetch_mnist, _mnist_problems, "MNIST"))
def mnist(options: MNISTOptions) -> ImageData:
    """Load MNIST (LeCun et al. 1998): 60000 and 10000 images [1, 28, 28]."""
    return _mnist("MNIST", options)


FASHION_MNIST = _source(_fetch_mnist, _mnist_problems, "FashionMNIST", debian.FASHION_MNIST)


@dataset(FashionMNISTOptions, FASHION_MNIST)
def fashion_mnist(options: FashionMNISTOptions) -> ImageData:
    """Load Fashion-MNIST (Xiao et al. 2017), in the format of MNIST."""
    return _mnist("FashionMNIST", options)


@dataset(CIFAR10Options, _source(_fetch_cifar, _cifar_problems, "CIFAR10"))
def cifar10(options: CIFAR10Options) -> ImageData:
    """Load CIFAR-10 (Krizhevsky 2009): 50000 and 10000 images [3, 32, 32]."""
    return _cifar("CIFAR10", options)


@dataset(CIFAR100Options, _source(_fetch_cifar, _cifar_problems, "CIFAR100"))
def cifar100(options: CIFAR100Options) -> ImageData:
    """Load CIFAR-100 (Krizhevsky 2009) with its 100 fine classes."""
    return _cifar("CIFAR100", options)
