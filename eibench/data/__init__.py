"""Data sets, registered under the names that suites use.

A data set is a function `(**options) -> ImageData`. It raises `DataError` when files are missing or
damaged. A data set of events also receives the run's `timesteps`.
"""

from collections.abc import Mapping
from typing import Any

from eibench.data.base import DATASETS, ImageData, Split, stratified
from eibench.data.checks import check
from eibench.data.digits import digits
from eibench.data.events import cifar10_dvs, dvs_gesture, nmnist, shd
from eibench.data.events_from import digits_dvs, events_from
from eibench.data.events_sources import EVENT_SOURCES
from eibench.data.imagefolder import imagefolder
from eibench.data.sources import DataSource
from eibench.data.tiny_imagenet import TINY_IMAGENET, tiny_imagenet
from eibench.data.torchvision_sets import (
    TORCHVISION_SOURCES,
    cifar10,
    cifar100,
    fashion_mnist,
    mnist,
)
from eibench.errors import DataError

DATASETS |= {
    "digits": digits,
    "imagefolder": imagefolder,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "tiny_imagenet": tiny_imagenet,
    "digits_dvs": digits_dvs,
    "events_from": events_from,
    "cifar10_dvs": cifar10_dvs,
    "dvs_gesture": dvs_gesture,
    "nmnist": nmnist,
    "shd": shd,
}
SOURCES: dict[str, DataSource] = {
    **TORCHVISION_SOURCES,
    "tiny_imagenet": TINY_IMAGENET,
    **EVENT_SOURCES,
}
"""Download and verification of the data sets that no dependency ships."""


def load(name: str, options: Mapping[str, Any], timesteps: int | None = None) -> ImageData:
    """Load and check the data set `name`; event data are binned into `timesteps` frames.

    Raises:
        DataError: it is missing or damaged, or violates the requirements of `checks`.
    """
    frames = {} if timesteps is None else {"timesteps": timesteps}
    return check(DATASETS[name](**options, **frames), timesteps)


__all__ = [
    "DATASETS",
    "SOURCES",
    "DataError",
    "DataSource",
    "ImageData",
    "Split",
    "load",
    "stratified",
]
