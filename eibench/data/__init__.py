"""Data sets: loading, splits, batches.

A data set is a function `(options) -> ImageData` registered by `sources.dataset`. It raises
`DataError` when files are missing or damaged. A data set of events also receives the run's
`timesteps`. `plan.options.DATASETS` imports every file of this folder and finds the functions by
name. Options are in `plan.options.data`, because these files need torch.
"""

from eibench.data.base import ImageData, Split, redraw, stratified
from eibench.data.checks import check
from eibench.data.sources import SOURCES, DataSource
from eibench.errors import DataError
from eibench.plan.options import DATASETS, DataOptions


def load(options: DataOptions, timesteps: int | None = None) -> ImageData:
    """Load and check the data set of `options`; event data are binned into `timesteps` frames.

    The splits are the fixed ones; `redraw` gives those of a seed.

    Raises:
        DataError: it is missing or damaged, or violates the requirements of `checks`.
    """
    frames = {} if timesteps is None else {"timesteps": timesteps}
    return check(DATASETS.build(options, **frames), timesteps)


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
