"""Data sets, behind a registry. The keys are the names that suites use.

A data set is a function `(**options) -> ImageData`, which raises `DataError` when files are absent
or damaged. One of events is given the run's `timesteps` as well.
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
"""How to fetch and verify the data sets that ship with no dependency."""


def load(name: str, options: Mapping[str, Any], timesteps: int | None = None) -> ImageData:
    """The data set `name`, checked; one of events in `timesteps` frames, of images without.

    Raises:
        DataError: it is absent or damaged, or not what a data set must be.
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
