"""Options of data sets: of images, of recordings by event cameras, and of simulated recordings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, FieldSerializationInfo, field_serializer
from pydantic_core import PydanticCustomError

from eibench.plan.options.base import NESTED, Plugin
from eibench.plan.options.choices import DATASETS, DataOptions, DataShape
from eibench.plan.options.divided import EVERY_SPLIT, DividedOptions, SubsetOptions, split_sizes
from eibench.plan.validate import Invalid, Problem, choose

LARGEST_SIDE = 4096
"""Pixels along an image's side."""


@DATASETS.add
class DigitsOptions(DividedOptions):
    """scikit-learn's 1797 handwritten digits, 8x8 grey; ships with scikit-learn, no download."""

    name = "digits"
    known_shape = DataShape((1, 8, 8), 10)
    divided = EVERY_SPLIT


@DATASETS.add
class ImageFolderOptions(SubsetOptions):
    """Folders of images by class, ROOT/train/CLASS/*, ROOT/test/CLASS/*, small sets or large."""

    name = "imagefolder"
    root: str = Field(min_length=1)
    validation_share: float = Field(0.1, gt=0, lt=1)
    size: int | None = Field(None, ge=1, le=LARGEST_SIDE)
    """Shorter side to resize to, keeping the middle square; null: all images have one size."""


class FetchedOptions(SubsetOptions):
    """Options of an image set with a training and a test part, which `eibench data fetch` gets."""

    validation_share: float = Field(0.1, gt=0, lt=1)

    def counts(self) -> tuple[int, int, int] | None:
        if self.known_counts is None:
            return None
        train, test = self.known_counts
        used = self.train_images or train, self.test_images or test
        return split_sizes(used, self.validation_share)


@DATASETS.add
class MNISTOptions(FetchedOptions):
    """MNIST: 70000 handwritten digits, 28x28 grey; to be fetched."""

    name = "mnist"
    known_counts = (60_000, 10_000)
    known_shape = DataShape((1, 28, 28), 10)


@DATASETS.add
class FashionMNISTOptions(FetchedOptions):
    """Fashion-MNIST: 70000 pieces of clothing, 28x28 grey; to be fetched, or a Debian package."""

    name = "fashion_mnist"
    known_counts = (60_000, 10_000)
    known_shape = DataShape((1, 28, 28), 10)


@DATASETS.add
class CIFAR10Options(FetchedOptions):
    """CIFAR-10: 60000 photographs of 10 classes, 32x32 RGB; to be fetched."""

    name = "cifar10"
    known_counts = (50_000, 10_000)
    known_shape = DataShape((3, 32, 32), 10)


@DATASETS.add
class CIFAR100Options(FetchedOptions):
    """CIFAR-100: 60000 photographs of 100 classes, 32x32 RGB; to be fetched."""

    name = "cifar100"
    known_counts = (50_000, 10_000)
    known_shape = DataShape((3, 32, 32), 100)


@DATASETS.add
class TinyImageNetOptions(FetchedOptions):
    """Tiny ImageNet: 110000 photographs of 200 classes, 64x64 RGB; to be fetched."""

    name = "tiny_imagenet"
    known_counts = (100_000, 10_000)
    known_shape = DataShape((3, 64, 64), 200)
    size: int = Field(64, ge=1, le=64)
    """Height and width to resize to."""

    def shape(self) -> DataShape:
        return self.known_shape._replace(image=(3, self.size, self.size))


class CameraOptions(DataOptions):
    """Options of the simulated camera, before which a still image moves along a triangle."""

    events: ClassVar[bool] = True
    contrast: float = Field(0.3, gt=0)
    """Change of a pixel's log light for which it emits an event."""
    amplitude: float = Field(4.0, gt=0, le=1000)
    """Base and height of the triangle, in pixels."""
    saccades: int = Field(3, ge=1, le=100)
    """Sides of the triangle that the image moves along; after 3 it is where it began."""
    steps: int = Field(20, ge=1, le=1000)
    """Positions of the image along each side; with `saccades`, at least T in all."""
    margin: int = Field(2, ge=0, le=1000)
    """Black pixels around the image, on each side."""
    dark: float = Field(0.1, gt=0)
    """Light that comes from a black pixel, where a white one sends 1 more."""


@DATASETS.add
class DigitsDVSOptions(CameraOptions, DividedOptions):
    """The 1797 digits, moved before a simulated event camera of 12x12; no download."""

    name = "digits_dvs"
    divided = EVERY_SPLIT
    amplitude: float = Field(2.0, gt=0, le=1000)

    def shape(self) -> DataShape:
        side = 8 + 2 * self.margin
        return DataShape((2, side, side), 10)


def _choose_images(value: Any) -> Any:
    """Return the options of the image data set that `value` names."""
    if isinstance(value, DataOptions):
        return value
    still = {name: cls for name, cls in DATASETS.items() if not cls.events}
    name = value.get("name") if isinstance(value, Mapping) else value
    try:
        if isinstance(name, str) and name in DATASETS and name not in still:
            text = f"{name} holds events already; allowed: {', '.join(still)}"
            raise Invalid([Problem(("name",), text)])
        return choose("data set", still, value)
    except Invalid as invalid:
        text = "; ".join(p.text for p in invalid.problems)
        context = {"text": text, "problems": invalid.problems}
        raise PydanticCustomError(NESTED, "{text}", context) from None


@DATASETS.add
class EventsFromOptions(CameraOptions):
    """A set of still images (`source`), moved before a simulated event camera."""

    name = "events_from"
    source: Annotated[DataOptions, BeforeValidator(_choose_images)]
    """A data set of images: its name, or a mapping of its name and options."""

    @field_serializer("source")
    def _named(self, source: DataOptions, info: FieldSerializationInfo) -> dict[str, Any]:
        """Return the choice as a suite writes it."""
        return {"name": source.name, **source.model_dump(exclude_defaults=info.exclude_defaults)}

    def shape(self) -> DataShape | None:
        found = self.source.shape()
        if found is None:
            return None
        _, height, width = found.image
        edge = 2 * self.margin
        return DataShape((2, height + edge, width + edge), found.classes)

    def counts(self) -> tuple[int, int, int] | None:
        return self.source.counts()

    def made_by(self) -> Plugin | None:
        return self.source.made_by()

    @property
    def is_subset(self) -> bool:
        return self.source.is_subset

    def redrawn(self) -> tuple[str, ...]:
        return self.source.redrawn()


class RecordedOptions(DividedOptions):
    """Options of recordings by an event camera."""

    events: ClassVar[bool] = True
    by: Literal["time", "count"] = "time"
    """Division of a recording into T frames: equal intervals of time, or equal numbers of
    events."""
    validation_share: float = Field(0.1, gt=0, lt=1)
    """Share of the training recordings, stratified by class."""

    def counts(self) -> tuple[int, int, int] | None:
        return split_sizes(self.known_counts, self.validation_share)


@DATASETS.add
class CIFAR10DVSOptions(RecordedOptions):
    """CIFAR10-DVS: 10000 recordings of moving images; a fixed test share of 10 %."""

    name = "cifar10_dvs"
    divided = EVERY_SPLIT
    known_counts = (9_000, 1_000)
    size: int = Field(48, ge=1, le=128)
    """Height and width of a frame, to which the camera's 128x128 are scaled down."""

    def shape(self) -> DataShape:
        return DataShape((2, self.size, self.size), 10)


@DATASETS.add
class DVSGestureOptions(RecordedOptions):
    """DVS128-Gesture: 1341 recordings of eleven gestures by 29 people."""

    name = "dvs_gesture"
    known_counts = (1_077, 264)
    size: int = Field(48, ge=1, le=128)

    def shape(self) -> DataShape:
        return DataShape((2, self.size, self.size), 11)


@DATASETS.add
class NMNISTOptions(RecordedOptions):
    """N-MNIST: MNIST's 70000 digits, seen by an event camera that moves."""

    name = "nmnist"
    known_counts = (60_000, 10_000)
    size: int = Field(34, ge=1, le=34)

    def shape(self) -> DataShape:
        return DataShape((2, self.size, self.size), 10)


@DATASETS.add
class SHDOptions(RecordedOptions):
    """Spiking Heidelberg Digits: 10420 spoken digits as spikes of 700 channels, for `mlp`."""

    name = "shd"
    known_counts = (8_156, 2_264)
    known_shape = DataShape((1, 1, 700), 20)
