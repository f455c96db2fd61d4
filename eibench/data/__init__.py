"""Data sets, behind a registry. The keys are the names that suites use.

A data set is a function `(**options) -> ImageData`, which raises `DataError` when files are absent
or damaged. One of events is given the run's `timesteps` as well.
"""

from collections.abc import Callable

from eibench.data.base import DataError, ImageData, Split, stratified
from eibench.data.digits import digits
from eibench.data.events import cifar10_dvs, dvs_gesture, nmnist, shd
from eibench.data.events_files import CIFAR10_DVS, DVS_GESTURE, NMNIST, SHD
from eibench.data.events_from import digits_dvs, events_from
from eibench.data.events_sources import source
from eibench.data.imagefolder import imagefolder
from eibench.data.sources import Source

DATASETS: dict[str, Callable[..., ImageData]] = {
    "digits": digits,
    "imagefolder": imagefolder,
    "digits_dvs": digits_dvs,
    "events_from": events_from,
    "cifar10_dvs": cifar10_dvs,
    "dvs_gesture": dvs_gesture,
    "nmnist": nmnist,
    "shd": shd,
}
SOURCES: dict[str, Source] = {
    events.name: source(events) for events in (CIFAR10_DVS, DVS_GESTURE, NMNIST, SHD)
}
"""How to fetch and verify the data sets that ship with no dependency."""

__all__ = ["DATASETS", "SOURCES", "DataError", "ImageData", "Source", "Split", "stratified"]
