"""`Chain`: parts one after another, of which an E-I layer and its neuron may be computed as one."""

from __future__ import annotations

from collections import deque
from typing import Any

from torch import Tensor, nn

from eibench.nn.ei_layer import EILayer
from eibench.nn.homeostasis import HomeostaticLIF
from eibench.nn.hooks import watched
from eibench.nn.lif import LIF
from eibench.nn.time import copies, repeat, through
from eibench.nn.tracing import tracing

NEURONS = (LIF, HomeostaticLIF)


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
            if parts and isinstance(x, Tensor) and _fire_together(part, parts[0], x):
                x, times = part.fire(repeat(x, times) if times else x, parts.popleft()), 0
            else:
                reads = type(part) in NEURONS and not watched(part)
                x, times = through(part, x, times, reads)
        return copies(x, times) if times else x


def _fire_together(layer: nn.Module, neuron: nn.Module, x: Tensor) -> bool:
    """Return whether the two are computed as one for activity `x`."""
    return (
        isinstance(layer, EILayer)
        and layer.fires
        and type(layer).forward is EILayer.forward
        and type(neuron) is LIF
        and not (watched(layer) or watched(neuron) or x.is_meta or tracing())
    )
