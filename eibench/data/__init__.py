"""Data sets, behind a registry. The keys are the names that suites use.

A data set is a function `(**options) -> ImageData`, which raises `DataError` when files are absent
or damaged.
"""

from collections.abc import Callable

from eibench.data.base import DataError, ImageData, Split, stratified
from eibench.data.digits import digits
from eibench.data.imagefolder import imagefolder
from eibench.data.sources import Source
from eibench.data.tiny_imagenet import TINY_IMAGENET, tiny_imagenet
from eibench.data.torchvision_sets import (
    TORCHVISION_SOURCES,
    cifar10,
    cifar100,
    fashion_mnist,
    mnist,
)

DATASETS: dict[str, Callable[..., ImageData]] = {
    "digits": digits,
    "imagefolder": imagefolder,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "tiny_imagenet": tiny_imagenet,
}
SOURCES: dict[str, Source] = {**TORCHVISION_SOURCES, "tiny_imagenet": TINY_IMAGENET}
"""How to fetch and verify the data sets that ship with no dependency."""

__all__ = ["DATASETS", "SOURCES", "DataError", "ImageData", "Source", "Split", "stratified"]
