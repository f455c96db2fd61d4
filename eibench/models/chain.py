"""Chains: convolution, neuron, convolution, neuron ... with average pooling, then one readout.

A layout lists the widths of the 3x3 convolutions in order, with `POOL` where a 2x2 average
pooling stands. Average pooling keeps activity non-negative, as the E-I circuit needs.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from eibench.methods import Method
from eibench.nn import AvgPool2d, Chain, TimeDistributed

POOL = 0

VGG: dict[int, list[int]] = {
    8: [64, POOL, 128, POOL, 256, POOL, 512, POOL, 512, POOL],
    11: [64, POOL, 128, POOL, 256, 256, POOL, 512, 512, POOL, 512, 512, POOL],
    16: [*[64] * 2, POOL, *[128] * 2, POOL, *([256] * 3 + [POOL]), *([512] * 3 + [POOL]) * 2],
    19: [*[64] * 2, POOL, *[128] * 2, POOL, *([256] * 4 + [POOL]), *([512] * 4 + [POOL]) * 2],
}
"""Widths of the E-I paper's VGG networks (its section on experiments), by depth."""


def chain(
    method: Method, image: tuple[int, int, int], classes: int, layout: list[int]
) -> nn.Module:
    """The network of `layout` over `method`: images [T, B, C, H, W] to logits [T, B, classes].

    Raises:
        ValueError: the image is too small for the poolings.
    """
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


def plain(
    method: Method,
    image: tuple[int, int, int],
    classes: int,
    *,
    depth: int,
    width: int,
    pools: int,
) -> nn.Module:
    """`depth` convolutions of one `width`, in `pools` stages that each end in a pooling."""
    ends = {round(depth * (stage + 1) / pools) for stage in range(pools)}
    layout = [w for i in range(1, depth + 1) for w in ([width, POOL] if i in ends else [width])]
    return chain(method, image, classes, layout)


def vgg(
    method: Method,
    image: tuple[int, int, int],
    classes: int,
    *,
    depth: int,
    layout: str | None,
) -> nn.Module:
    """The paper's VGG of `depth` 8, 11, 16 or 19, or the chain of a `layout` like `64 P 128 P`."""
    if layout is None:
        return chain(method, image, classes, VGG[depth])
    listed = [POOL if token == "P" else int(token) for token in layout.split()]
    return chain(method, image, classes, listed)
