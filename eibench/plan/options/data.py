"""Options of data sets."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from pydantic import Field

from eibench.plan.options.base import Choice


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


class FetchedOptions(DataOptions):
    """Options of an image set with a training and a test part, which `eibench data fetch` gets."""

    validation_share: float = Field(0.1, gt=0, lt=1)


class MNISTOptions(FetchedOptions):
    """MNIST: 70000 handwritten digits, 28x28 grey; to be fetched."""

    name = "mnist"

    def shape(self) -> DataShape:
        return DataShape((1, 28, 28), 10)


class FashionMNISTOptions(FetchedOptions):
    """Fashion-MNIST: 70000 pieces of clothing, 28x28 grey; to be fetched."""

    name = "fashion_mnist"

    def shape(self) -> DataShape:
        return DataShape((1, 28, 28), 10)


class CIFAR10Options(FetchedOptions):
    """CIFAR-10: 60000 photographs of 10 classes, 32x32 RGB; to be fetched."""

    name = "cifar10"

    def shape(self) -> DataShape:
        return DataShape((3, 32, 32), 10)


class CIFAR100Options(FetchedOptions):
    """CIFAR-100: 60000 photographs of 100 classes, 32x32 RGB; to be fetched."""

    name = "cifar100"

    def shape(self) -> DataShape:
        return DataShape((3, 32, 32), 100)


class TinyImageNetOptions(FetchedOptions):
    """Tiny ImageNet: 110000 photographs of 200 classes, 64x64 RGB; to be fetched."""

    name = "tiny_imagenet"
    size: int = Field(64, ge=1, le=64)
    """Height and width to resize to."""

    def shape(self) -> DataShape:
        return DataShape((3, self.size, self.size), 200)


LARGEST_SIDE = 4096
"""Pixels along an image's side."""


class ImageFolderOptions(DataOptions):
    """Folders of images by class, ROOT/train/CLASS/*, ROOT/test/CLASS/*, small sets or large."""

    name = "imagefolder"
    root: str = Field(min_length=1)
    validation_share: float = Field(0.1, gt=0, lt=1)
    size: int | None = Field(None, ge=1, le=LARGEST_SIDE)
    """Shorter side to resize to, keeping the middle square; null: all images have one size."""
