"""`mlp`: dense layers and neurons in turn on the flattened image, then one readout.

A dense layer is the method's 1x1 convolution on images of one pixel, [T, B, features, 1, 1]. That
is exact: a 1x1 kernel [n, d, 1, 1] at the only position is the matrix [n, d], without padding or
neighbours; and what a method does over H and W (statistics, competition between the channels of a
position, E-I Init's mean over positions) is, with one position, what it does to a dense layer.
Each pixel, or each channel of a recording, is a presynaptic neuron of its own.
"""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import nn

from eibench.methods import Method
from eibench.nn import Chain


def mlp(
    method: Method, image: tuple[int, int, int], classes: int, *, depth: int, width: int
) -> nn.Module:
    """`depth` hidden layers of one `width`: images [T, B, C, H, W] to logits [T, B, classes]."""
    features = math.prod(image)
    parts: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten(2))
    parts["pixel"] = nn.Unflatten(2, (features, 1, 1))
    for i in range(1, depth + 1):
        parts[f"dense{i}"] = method.conv(features, width, 1)
        parts[f"neuron{i}"] = method.neuron(width)
        features = width
    parts["vector"] = nn.Flatten(2)
    parts["readout"] = method.readout(features, classes)
    return Chain(parts)
