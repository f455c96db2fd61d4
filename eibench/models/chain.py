"""Chains: convolution, neuron, convolution, neuron ... then one readout; `mlp`, `plain`, `vgg`.

A layout lists the widths of the 3x3 convolutions in order, with `POOL` where a 2x2 average
pooling stands. Average pooling keeps activity non-negative, as the E-I circuit needs.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from eibench.methods import Method
from eibench.plan.options import MODELS, ModelOptions

if TYPE_CHECKING:
    from torch import nn

Image = tuple[int, int, int]
DEEPEST = 2000
"""Layers of a chain: twice those of the deepest networks that are trained."""
WIDEST = 65_536
Depth = Annotated[int, Field(ge=1, le=DEEPEST)]
Width = Annotated[int, Field(ge=1, le=WIDEST)]
"""Channels of a layer."""
POOL = 0
VGG: dict[int, list[int]] = {
    8: [64, POOL, 128, POOL, 256, POOL, 512, POOL, 512, POOL],
    11: [64, POOL, 128, POOL, 256, 256, POOL, 512, 512, POOL, 512, 512, POOL],
    16: [*[64] * 2, POOL, *[128] * 2, POOL, *([256] * 3 + [POOL]), *([512] * 3 + [POOL]) * 2],
    19: [*[64] * 2, POOL, *[128] * 2, POOL, *([256] * 4 + [POOL]), *([512] * 4 + [POOL]) * 2],
}
"""Widths of the E-I paper's VGG networks (its section on experiments), by depth."""


class MlpOptions(ModelOptions):
    """Dense layers on the flattened image: `depth` hidden ones of one width, then the readout."""

    name = "mlp"
    depth: Depth = 3
    width: Width = 256


@MODELS.register(MlpOptions)
def mlp(method: Method, image: Image, classes: int, options: MlpOptions) -> nn.Module:
    """Return `depth` hidden layers of one `width` over `method`, then the readout.

    A dense layer is the method's 1x1 convolution on images of one pixel, [T, B, features, 1, 1].
    That is exact: a 1x1 kernel [n, d, 1, 1] at the only position is the matrix [n, d], without
    padding or neighbours; and what a method does over H and W (statistics, competition between the
    channels of a position, E-I Init's mean over positions) is, with one position, what it does to a
    dense layer. Each pixel, or channel of a recording, is a presynaptic neuron of its own.
    """
    from torch import nn

    from eibench.nn import Chain

    features = math.prod(image)
    parts: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten(2))
    parts["pixel"] = nn.Unflatten(2, (features, 1, 1))
    for i in range(1, options.depth + 1):
        parts[f"dense{i}"] = method.conv(features, options.width, 1)
        parts[f"neuron{i}"] = method.neuron(options.width)
        features = options.width
    parts["vector"] = nn.Flatten(2)
    parts["readout"] = method.readout(features, classes)
    return Chain(parts)


def chain(method: Method, image: Image, classes: int, layout: list[int]) -> nn.Module:
    """Return the network of `layout` over `method`, from images to logits.

    Raises:
        ValueError: the image is too small for the poolings.
    """
    from torch import nn

    from eibench.nn import AvgPool2d, Chain, TimeDistributed

    channels, height, width = image
    shrink = 2 ** layout.count(POOL)
    if min(height, width) < shrink:
        raise ValueError(
            f"needs images of at least {shrink}x{shrink} for its {layout.count(POOL)} poolings, "
            f"not {height}x{width}"
        )
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for out in layout:
        if out == POOL:
            parts[f"pool{len(parts)}"] = TimeDistributed(AvgPool2d(2))
            height, width = height // 2, width // 2
            continue
        parts[f"conv{len(parts)}"] = method.conv(channels, out, 3)
        parts[f"neuron{len(parts)}"] = method.neuron(out)
        channels = out
    parts["flatten"] = nn.Flatten(2)
    parts["readout"] = method.readout(channels * height * width, classes)
    return Chain(parts)


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


@MODELS.register(PlainOptions)
def plain(method: Method, image: Image, classes: int, options: PlainOptions) -> nn.Module:
    """Return `depth` convolutions of one `width`, in `pools` stages that each end in a pooling."""
    depth, width, pools = options.depth, options.width, options.pools
    ends = {round(depth * (stage + 1) / pools) for stage in range(pools)}
    layout = [w for i in range(1, depth + 1) for w in ([width, POOL] if i in ends else [width])]
    return chain(method, image, classes, layout)


class VggOptions(ModelOptions):
    """VGG of the E-I paper by `depth`, or a chain of 3x3 convolutions by `layout`: 64 P 128 P."""

    name = "vgg"
    depth: Literal[8, 11, 16, 19] = 8
    layout: str | None = None
    """Widths in order, and P for a 2x2 average pooling; in YAML a list or the text."""

    @field_validator("layout", mode="before")
    @classmethod
    def _one_text(cls, value: Any) -> Any:
        """Read `[64, P]` and `64  p` as the text `64 P`, so that equal layouts are equal values."""
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
    """Return one part of a layout: a width without leading zeros, or P."""
    text = str(item)
    if text.upper() == "P":
        return "P"
    if text.isascii() and text.isdigit() and len(text) <= 10 and 1 <= int(text) <= WIDEST:
        return str(int(text))
    found = repr(item)[:60]
    raise ValueError(f"must list widths (1 to {WIDEST}) and P for a pooling, not {found}")


@MODELS.register(VggOptions)
def vgg(method: Method, image: Image, classes: int, options: VggOptions) -> nn.Module:
    """Return the paper's VGG of `depth` 8, 11, 16 or 19, or the chain of a `layout`."""
    if options.layout is None:
        return chain(method, image, classes, VGG[options.depth])
    listed = [POOL if token == "P" else int(token) for token in options.layout.split()]
    return chain(method, image, classes, listed)
