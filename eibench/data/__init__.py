"""Data sets, behind a registry. The keys are the names that suites use.

A data set is a function `(**options) -> ImageData`, which raises `DataError` when files are absent
or damaged.
"""

from collections.abc import Callable

from eibench.data.base import DataError, ImageData, Split, stratified
from eibench.data.digits import digits
from eibench.data.imagefolder import imagefolder
from eibench.data.sources import Source

DATASETS: dict[str, Callable[..., ImageData]] = {"digits": digits, "imagefolder": imagefolder}
SOURCES: dict[str, Source] = {}
"""How to fetch and verify the data sets that ship with no dependency."""

__all__ = ["DATASETS", "SOURCES", "DataError", "ImageData", "Source", "Split", "stratified"]
