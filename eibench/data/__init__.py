"""Data sets: loading, splits, batches.

A data set is a function `(options) -> ImageData` registered by `sources.dataset`. It raises
`DataError` when files are missing or damaged. A data set of events also receives the run's
`timesteps`. `plan.options.DATASETS` imports every file of this folder and finds the functions by
name. Options are in `plan.options.data`, because these files need torch.
"""

from collections.abc import Collection
from typing import Any

from eibench.data.base import ImageData, Split, redraw, stratified
from eibench.data.checks import check
from eibench.data.sources import SOURCES, DataSource
from eibench.errors import DataError
from eibench.plan.options import DATASETS, DataOptions
from eibench.plan.options.data import ImageFolderOptions


def load(
    options: DataOptions, timesteps: int | None = None, needed: Collection[str] | None = None
) -> ImageData:
    """Load and check the data set of `options`; event data are binned into `timesteps` frames.

    The splits are the fixed ones; `redraw` gives those of a seed. Of a folder of images only the
    splits that are `needed` must be there, by default all.

    Raises:
        DataError: it is missing or damaged, or violates the requirements of `checks`.
    """
    asked: dict[str, Any] = {} if timesteps is None else {"timesteps": timesteps}
    if needed is not None and isinstance(options, ImageFolderOptions):
        asked["needed"] = needed
    return check(DATASETS.build(options, **asked), timesteps)


__all__ = [
    "SOURCES",
    "DataError",
    "DataSource",
    "ImageData",
    "Split",
    "load",
    "redraw",
    "stratified",
]
