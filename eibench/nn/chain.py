"""`Chain`: parts one after another, of which an E-I layer and its neuron may be computed as one."""

from __future__ import annotations

from torch import Tensor, nn

from eibench.nn.ei_layer import EILayer
from eibench.nn.lif import LIF


class Chain(nn.Sequential):
    """`torch.nn.Sequential` that gives an E-I layer the neuron behind it, to be computed with it.

    Spikes and gradients are those of the two apart, to rounding; the current between them never
    exists as a whole. Where a hook watches either of them each runs by itself, so that there is a
    current to be seen.
    """

    def forward(self, x: Tensor) -> Tensor:
        parts = iter(self)
        for part in parts:
            if isinstance(part, EILayer) and part.fires and not x.is_meta:
                neuron = next(parts, None)
                x = _through(x, part, neuron)
            else:
                x = part(x)
        return x


def _through(x: Tensor, layer: EILayer, then: nn.Module | None) -> Tensor:
    """`x` through `layer` and the part behind it, if there is one."""
    if type(then) is LIF and not _watched(layer) and not _watched(then):
        return layer.fire(x, then)
    current: Tensor = layer(x)
    return current if then is None else then(current)


def _watched(module: nn.Module) -> bool:
    """Whether hooks wait for what goes in or comes out."""
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)
