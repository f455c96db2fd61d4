"""Options of data sets."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from pydantic import Field

from eibench.plan.options.base import LARGEST, Choice


class DataShape(NamedTuple):
    """An image's channels, height and width, and the number of classes."""

    image: tuple[int, int, int]
    classes: int


class DataOptions(Choice):
    """Options of a data set."""

    events: ClassVar[bool] = False
    """Whether it holds recordings over time, which are binned into a run's T frames, not images."""

    def shape(self) -> DataShape | None:
        """What a network must know of the data; None where only the files can tell."""
        return None


class DigitsOptions(DataOptions):
    """scikit-learn's 1797 handwritten digits, 8x8 grey; ships with scikit-learn, no download."""

    name = "digits"

    def shape(self) -> DataShape:
        return DataShape((1, 8, 8), 10)


class ImageFolderOptions(DataOptions):
    """Folders of images by class, ROOT/train/CLASS/*, ROOT/test/CLASS/*, small sets or large."""

    name = "imagefolder"
    root: str = Field(min_length=1)
    validation_share: float = Field(0.1, gt=0, lt=1)
    size: int | None = Field(None, ge=1, le=LARGEST)
    """Shorter side to resize to, keeping the middle square; null: all images have one size."""
