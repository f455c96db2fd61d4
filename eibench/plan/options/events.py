"""Options of data sets that hold recordings: by event cameras, and of still images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, FieldSerializationInfo, field_serializer
from pydantic_core import PydanticCustomError

from eibench.plan.options.base import NESTED, Plugin
from eibench.plan.options.data import DataOptions, DataShape


class RecordedOptions(DataOptions):
    """Options of recordings by an event camera."""

    events: ClassVar[bool] = True
    by: Literal["time", "count"] = "time"
    """How a recording is cut into T frames: equal spans of time, or equal numbers of events."""
    validation_share: float = Field(0.1, gt=0, lt=1)
    """Share of the training recordings, stratified, by a fixed seed."""


class CIFAR10DVSOptions(RecordedOptions):
    """CIFAR10-DVS: 10000 recordings of moving images; a fixed test share of 10 %."""

    name = "cifar10_dvs"
    size: int = Field(48, ge=1, le=128)
    """Height and width of a frame, to which the camera's 128x128 are scaled down."""

    def shape(self) -> DataShape:
        return DataShape((2, self.size, self.size), 10)


class DVSGestureOptions(RecordedOptions):
    """DVS128-Gesture: 1341 recordings of eleven gestures by 29 people."""

    name = "dvs_gesture"
    size: int = Field(48, ge=1, le=128)

    def shape(self) -> DataShape:
        return DataShape((2, self.size, self.size), 11)


class NMNISTOptions(RecordedOptions):
    """N-MNIST: MNIST's 70000 digits, seen by an event camera that moves."""

    name = "nmnist"
    size: int = Field(34, ge=1, le=34)

    def shape(self) -> DataShape:
        return DataShape((2, self.size, self.size), 10)


class SHDOptions(RecordedOptions):
    """Spiking Heidelberg Digits: 10420 spoken digits as spikes of 700 channels, for `mlp`."""

    name = "shd"

    def shape(self) -> DataShape:
        return DataShape((1, 1, 700), 20)


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


class DigitsDVSOptions(CameraOptions):
    """The 1797 digits, moved before a simulated event camera of 12x12; no download."""

    name = "digits_dvs"
    amplitude: float = Field(2.0, gt=0, le=1000)

    def shape(self) -> DataShape:
        side = 8 + 2 * self.margin
        return DataShape((2, side, side), 10)


def _choose(value: Any) -> Any:
    """The options of the data set of images that `value` names."""
    from eibench.plan.options import DATASETS  # which holds the class below
    from eibench.plan.validate import Invalid, Problem, choose

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


class EventsFromOptions(CameraOptions):
    """A set of still images (`source`), moved before a simulated event camera."""

    name = "events_from"
    source: Annotated[DataOptions, BeforeValidator(_choose)]
    """A data set of images: its name, or a mapping of its name and options."""

    @field_serializer("source")
    def _named(self, source: DataOptions, info: FieldSerializationInfo) -> dict[str, Any]:
        """As a suite writes it."""
        return {"name": source.name, **source.model_dump(exclude_defaults=info.exclude_defaults)}

    def shape(self) -> DataShape | None:
        found = self.source.shape()
        if found is None:
            return None
        _, height, width = found.image
        edge = 2 * self.margin
        return DataShape((2, height + edge, width + edge), found.classes)

    def made_by(self) -> Plugin | None:
        return self.source.made_by()
