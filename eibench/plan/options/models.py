"""Options of architectures."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from eibench.plan.options.base import Choice

DEEPEST = 2000
"""Layers of a chain: twice those of the deepest networks that are trained."""
WIDEST = 65_536
Depth = Annotated[int, Field(ge=1, le=DEEPEST)]
Width = Annotated[int, Field(ge=1, le=WIDEST)]
"""Channels of a layer."""


class ModelOptions(Choice):
    """Options of an architecture."""

    sums_currents: ClassVar[bool] = False
    """Whether currents of several branches are added before a neuron."""


class MlpOptions(ModelOptions):
    """Dense layers on the flattened image: `depth` hidden ones of one width, then the readout."""

    name = "mlp"
    depth: Depth = 3
    width: Width = 256


class PlainOptions(ModelOptions):
    """A chain of 3x3 convolutions of one width, with average pooling between stages."""

    name = "plain"
    depth: Depth = 8
    width: Width = 32
    pools: int = Field(2, ge=0, le=DEEPEST)

    @model_validator(mode="after")
    def _a_layer_for_each_pool(self) -> Self:
        if self.pools > self.depth:
            raise ValueError(f"pools ({self.pools}) cannot exceed depth ({self.depth})")
        return self


class VggOptions(ModelOptions):
    """VGG of the E-I paper by `depth`, or a chain of 3x3 convolutions by `layout`: 64 P 128 P."""

    name = "vgg"
    depth: Literal[8, 11, 16, 19] = 8
    layout: str | None = None
    """Widths in order, and P for a 2x2 average pooling; in YAML a list or the text."""

    @field_validator("layout", mode="before")
    @classmethod
    def _one_text(cls, value: Any) -> Any:
        """`[64, P]` and `64  p` as the text `64 P`, so that equal layouts are equal values."""
        if value is None:
            return None
        items = value.split() if isinstance(value, str) else value
        items = items if isinstance(items, list) else [items]
        if len(items) > DEEPEST:
            raise ValueError(f"must have at most {DEEPEST} entries, not {len(items)}")
        tokens = [_token(item) for item in items]
        if all(token == "P" for token in tokens):
            raise ValueError("must have at least one width, such as 64 P 128 P")
        return " ".join(tokens)

    @model_validator(mode="after")
    def _depth_or_layout(self) -> Self:
        if self.layout is not None and "depth" in self.changed():
            raise ValueError(f"depth ({self.depth}) has no effect beside layout: {self.layout}")
        return self


def _token(item: Any) -> str:
    """One part of a layout: a width without leading zeros, or P."""
    text = str(item)
    if text.upper() == "P":
        return "P"
    if text.isascii() and text.isdigit() and len(text) <= 10 and 1 <= int(text) <= WIDEST:
        return str(int(text))
    found = repr(item)[:60]
    raise ValueError(f"must list widths (1 to {WIDEST}) and P for a pooling, not {found}")


class ResnetOptions(ModelOptions):
    """Residual network: spikes joined with the shortcut's (SEW), or currents before the neuron."""

    name = "resnet"
    depth: Literal[18, 34, 50, 101, 152] = 18
    width: Width = 64
    shortcut: Literal["spikes", "currents"] = "spikes"
    connect: Literal["add", "and", "iand"] = "add"
    stem: Literal["small", "large"] = "small"

    @model_validator(mode="after")
    def _only_spikes_connect(self) -> Self:
        if self.shortcut == "currents" and "connect" in self.changed():
            raise ValueError(
                f"connect ({self.connect}) joins spikes, and has no effect with shortcut: currents"
            )
        return self

    @property
    def sums_currents(self) -> bool:  # type: ignore[override]  # a constant elsewhere
        return self.shortcut == "currents"
