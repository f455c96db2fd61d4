"""Options of data sets."""

from __future__ import annotations

from pydantic import Field

from eibench.plan.options.base import Choice


class DataOptions(Choice):
    """Options of a data set."""


class DigitsOptions(DataOptions):
    """scikit-learn's 1797 handwritten digits, 8x8 grey; ships with scikit-learn, no download."""

    name = "digits"


class ImageFolderOptions(DataOptions):
    """Folders of images by class: ROOT/train/CLASS/*, ROOT/test/CLASS/*, all of one size."""

    name = "imagefolder"
    root: str = Field(min_length=1)
    validation_share: float = Field(0.1, gt=0, lt=1)
