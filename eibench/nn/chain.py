"""`Chain`: parts one after another; an E-I layer and its neuron may be computed as one function."""

from __future__ import annotations

from collections import deque
from typing import Any

from torch import Tensor, nn

from eibench.nn.autograd import tracing
from eibench.nn.ei_layer import EILayer
from eibench.nn.neurons import LIF
from eibench.nn.time import apply_part, copy_step, is_hooked, repeat_step


class Chain(nn.Sequential):
    """`torch.nn.Sequential` that gives an E-I layer the neuron behind it, to be computed with it.

    Spikes and gradients are those of the two apart, to rounding; the current between them never
    exists as a whole. Where a hook watches either of them, where `forward` is not their own, and
    where operations are recorded (`torch.export` ...), each runs by itself. Of steps that are equal
    (a static image made by `expand`) one is computed, up to the first neuron.
    """

    def forward(self, x: Any) -> Any:
        parts: deque[Any] = deque(self)
        times = 0
        while parts:
            part = parts.popleft()
            if parts and isinstance(x, Tensor) and _may_fuse(part, parts[0], x):
                x, times = part.fire(repeat_step(x, times) if times else x, parts.popleft()), 0
            else:
                reads = type(part) is LIF and not is_hooked(part)
                x, times = apply_part(part, x, times, reads)
        return copy_step(x, times) if times else x


def _may_fuse(layer: nn.Module, neuron: nn.Module, x: Tensor) -> bool:
    """Return whether layer and neuron are computed as one function for activity `x`."""
    return (
        isinstance(layer, EILayer)
        and layer.fires
        and type(layer).forward is EILayer.forward
        and type(neuron) is LIF
        and not (is_hooked(layer) or is_hooked(neuron) or x.is_meta or tracing())
    )
