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
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from eibench.methods import Method
from eibench.nn import AvgPool2d, Chain, TimeDistributed

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
CONNECT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda spikes, x: spikes + x,
    "and": lambda spikes, x: spikes * x,
    "iand": lambda spikes, x: (1 - spikes) * x,
}


class SpikesJoined(nn.Module):
    """A block whose body and shortcut both give spikes; activity [T, B, ...] to activity."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, connect: str) -> None:
        super().__init__()
        self.body, self.shortcut, self.connect = body, shortcut, connect

    def forward(self, x: Tensor) -> Tensor:
        return CONNECT[self.connect](self.body(x), self.shortcut(x))

    def extra_repr(self) -> str:
        return f"connect={self.connect!r}"


class CurrentsAdded(nn.Module):
    """A block whose body ends in a current, to which the shortcut is added; activity to spikes."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, neuron: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut, self.neuron = body, shortcut, neuron

    def forward(self, x: Tensor) -> Tensor:
        spikes: Tensor = self.neuron(self.body(x) + self.shortcut(x))
        return spikes


@dataclass
class _Builder:
    """Makes the parts of one network, and keeps what the next one will receive."""

    method: Method
    bottleneck: bool
    shortcut: str
    connect: str
    channels: int
    summed: int = 1
    """How many neurons' spikes are added up in each channel of the activity so far."""

    def stem(self, width: int, stem: str) -> nn.Module:
        """The first convolution, its neuron, and for large images a pooling."""
        kernel, stride = (7, 2) if stem == "large" else (3, 1)
        conv = self.method.conv(self.channels, width, kernel, stride=stride)
        parts = OrderedDict(conv=conv, neuron=self.method.neuron(width))
        if stem == "large":
            parts["pool"] = TimeDistributed(AvgPool2d(2))
        self.channels = width
        return Chain(parts)

    def stage(self, width: int, stride: int, blocks: int) -> nn.Module:
        """`blocks` blocks, of which the first has the `stride`."""
        parts = [(f"block{i + 1}", self.block(width, 1 if i else stride)) for i in range(blocks)]
        return nn.Sequential(OrderedDict(parts))

    def block(self, width: int, stride: int) -> nn.Module:
        """One block."""
        layers = [(3, width, stride), (3, width, 1)]
        if self.bottleneck:
            layers = [(1, width, 1), (3, width, stride), (1, EXPANSION * width, 1)]
        out = layers[-1][1]
        changes = stride > 1 or self.channels != out
        sews = self.shortcut == "spikes"
        body = self._body(layers)
        side = self._projection(out, stride) if changes else nn.Identity()
        self.channels = out
        if sews and self.connect == "add":
            self.summed = 2 if changes else self.summed + 1
        if sews:
            return SpikesJoined(body, side, self.connect)
        return CurrentsAdded(body, side, self.method.neuron(out))

    def _body(self, layers: list[tuple[int, int, int]]) -> nn.Module:
        """Convolutions (kernel, width, stride) with neurons; the last without, under `currents`."""
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        channels, summed = self.channels, self.summed
        for i, (kernel, width, stride) in enumerate(layers, start=1):
            adds = i == len(layers) and self.shortcut == "currents"
            parts[f"conv{i}"] = self.method.conv(
                channels, width, kernel, stride=stride, branches=1 + adds, summed=summed
            )
            if not adds:
                parts[f"neuron{i}"] = self.method.neuron(width)
            channels, summed = width, 1
        return Chain(parts)

    def _projection(self, width: int, stride: int) -> nn.Module:
        """The shortcut where it is a synapse; with a neuron of its own under `spikes`."""
        adds = self.shortcut == "currents"
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["conv"] = self.method.conv(
            self.channels, width, 1, stride=stride, branches=1 + adds, summed=self.summed
        )
        if not adds:
            parts["neuron"] = self.method.neuron(width)
        return Chain(parts)


def resnet(
    method: Method,
    image: tuple[int, int, int],
    classes: int,
    *,
    depth: int,
    width: int,
    shortcut: str,
    connect: str,
    stem: str,
) -> nn.Module:
    """The residual network over `method`: images [T, B, C, H, W] to logits [T, B, classes].

    Raises:
        ValueError: the image is too small for the strides.
    """
    channels, *size = image
    if min(size) < SMALLEST[stem]:
        least, found = f"{SMALLEST[stem]}x{SMALLEST[stem]}", f"{size[0]}x{size[1]}"
        raise ValueError(f"needs images of at least {least} for its {stem} stem, not {found}")
    builder = _Builder(method, depth >= BOTTLENECK, shortcut, connect, channels)
    parts: OrderedDict[str, nn.Module] = OrderedDict(stem=builder.stem(width, stem))
    for i, blocks in enumerate(BLOCKS[depth]):
        parts[f"stage{i + 1}"] = builder.stage(width * 2**i, 2 if i else 1, blocks)
    parts["pool"] = TimeDistributed(nn.AdaptiveAvgPool2d(1))
    parts["flatten"] = nn.Flatten(2)
    parts["readout"] = method.readout(builder.channels, classes)
    return Chain(parts)
