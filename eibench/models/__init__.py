"""Architectures, each written once over a method. The keys are the names that suites use.

A model is a function `(method, image, classes, **options) -> Module`, with `image` = (C, H, W); the
module takes [T, B, C, H, W] and gives logits [T, B, classes]. It raises ValueError, without a
network's name, when the image does not suit it.
"""

from collections.abc import Callable

from torch import nn

from eibench.models.chain import plain, vgg
from eibench.models.mlp import mlp
from eibench.models.resnet import resnet

MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": mlp,
    "plain": plain,
    "vgg": vgg,
    "resnet": resnet,
}

__all__ = ["MODELS"]
