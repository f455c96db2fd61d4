"""`resnet`: residual networks of spiking neurons, written once over a method.

A block is a chain of convolutions and neurons, its body, beside a shortcut: the block's own input,
or a 1x1 convolution of it where width or size change. They are joined in one of two ways:

    spikes      out = LIF(body) + LIF(1x1 x), or + x        spike-element-wise (SEW)
    currents    out = LIF(body + 1x1 x), or LIF(body + x)   added before the block's last neuron

With `spikes` every convolution has a neuron of its own, the shortcut's too, and `connect` says how
spikes s of the body meet the shortcut's x: `add` s + x, `and` s x, `iand` (1 - s) x. Under `add`
activity counts spikes and grows by one with each block; where the shortcut is a convolution it
starts anew, at two. The products of spikes are spikes, though fewer.

With `currents` two things are added before a neuron: the body's current, and the shortcut's, or
under an identity the block's own input, spikes as they are. Both synapses are asked for as one of
two `branches`, the body's last under an identity too, as the authors of tdBN do in every block.

Activity is never negative, as the E-I circuit needs: pooling is an average, spikes are not signed.

Sources: He et al. (CVPR 2016) for the layouts, with the stride of a bottleneck on its 3x3
convolution; Fang et al., "Deep Residual Learning in Spiking Neural Networks" (NeurIPS 2021) for
`spikes`; Zheng et al. (AAAI 2021) for `currents`. Deviation: the large stem pools by an average of
2x2 in place of a maximum of 3x3.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from pydantic import model_validator

from eibench.methods import Method
from eibench.models.chain import Image, Width
from eibench.plan.options import MODELS, ModelOptions

if TYPE_CHECKING:
    from torch import nn

BLOCKS: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""Blocks in each of the four stages, by depth."""
BOTTLENECK = 50
"""The depth from which blocks are 1x1, 3x3, 1x1 in place of 3x3, 3x3."""
EXPANSION = 4
"""Width of a bottleneck's last convolution over that of its others."""
SMALLEST = {"small": 8, "large": 32}
"""Side of the smallest image by stem: each halving finds at least two pixels."""


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


@dataclass
class _Builder:
    """The parts of one network in the making, and what the next part will receive."""

    method: Method
    options: ResnetOptions
    channels: int
    summed: int = 1
    """Number of neurons whose spikes are added up in each channel of the activity so far."""

    def stem(self) -> nn.Module:
        """Return the first convolution, its neuron, and for large images a pooling."""
        from eibench.nn import AvgPool2d, Chain, TimeDistributed

        width, large = self.options.width, self.options.stem == "large"
        kernel, stride = (7, 2) if large else (3, 1)
        conv = self.method.conv(self.channels, width, kernel, stride=stride)
        parts = OrderedDict(conv=conv, neuron=self.method.neuron(width))
        if large:
            parts["pool"] = TimeDistributed(AvgPool2d(2))
        self.channels = width
        return Chain(parts)

    def stage(self, width: int, stride: int, blocks: int) -> nn.Module:
        """Return `blocks` blocks, of which the first has the `stride`."""
        from torch import nn

        parts = [(f"block{i + 1}", self.block(width, 1 if i else stride)) for i in range(blocks)]
        return nn.Sequential(OrderedDict(parts))

    def block(self, width: int, stride: int) -> nn.Module:
        """Return one block."""
        from torch import nn

        from eibench.nn.residual import CurrentsAdded, SpikesJoined

        layers = [(3, width, stride), (3, width, 1)]
        if self.options.depth >= BOTTLENECK:
            layers = [(1, width, 1), (3, width, stride), (1, EXPANSION * width, 1)]
        out = layers[-1][1]
        changes = stride > 1 or self.channels != out
        sews = self.options.shortcut == "spikes"
        body = self._body(layers)
        side = self._projection(out, stride) if changes else nn.Identity()
        self.channels = out
        if sews and self.options.connect == "add":
            self.summed = 2 if changes else self.summed + 1
        if sews:
            return SpikesJoined(body, side, self.options.connect)
        return CurrentsAdded(body, side, self.method.neuron(out))

    def _body(self, layers: list[tuple[int, int, int]]) -> nn.Module:
        """Return convolutions with neurons; the last has none under `currents`.

        Layers are (kernel, width, stride).
        """
        from eibench.nn import Chain

        parts: OrderedDict[str, nn.Module] = OrderedDict()
        channels, summed = self.channels, self.summed
        for i, (kernel, width, stride) in enumerate(layers, start=1):
            adds = i == len(layers) and self.options.shortcut == "currents"
            parts[f"conv{i}"] = self.method.conv(
                channels, width, kernel, stride=stride, branches=1 + adds, summed=summed
            )
            if not adds:
                parts[f"neuron{i}"] = self.method.neuron(width)
            channels, summed = width, 1
        return Chain(parts)

    def _projection(self, width: int, stride: int) -> nn.Module:
        """Return the shortcut where it is a synapse; under `spikes` it has a neuron."""
        from eibench.nn import Chain

        adds = self.options.shortcut == "currents"
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["conv"] = self.method.conv(
            self.channels, width, 1, stride=stride, branches=1 + adds, summed=self.summed
        )
        if not adds:
            parts["neuron"] = self.method.neuron(width)
        return Chain(parts)


@MODELS.register(ResnetOptions)
def resnet(method: Method, image: Image, classes: int, options: ResnetOptions) -> nn.Module:
    """Return the residual network over `method`, from images to logits.

    Raises:
        ValueError: the image is too small for the strides.
    """
    from torch import nn

    from eibench.nn import Chain, TimeDistributed

    channels, *size = image
    if min(size) < SMALLEST[options.stem]:
        least, stem, found = SMALLEST[options.stem], options.stem, f"{size[0]}x{size[1]}"
        raise ValueError(
            f"needs images of at least {least}x{least} for its {stem} stem, not {found}"
        )
    builder = _Builder(method, options, channels)
    parts: OrderedDict[str, nn.Module] = OrderedDict(stem=builder.stem())
    for i, blocks in enumerate(BLOCKS[options.depth]):
        parts[f"stage{i + 1}"] = builder.stage(options.width * 2**i, 2 if i else 1, blocks)
    parts["pool"] = TimeDistributed(nn.AdaptiveAvgPool2d(1))
    parts["flatten"] = nn.Flatten(2)
    parts["readout"] = method.readout(builder.channels, classes)
    return Chain(parts)
