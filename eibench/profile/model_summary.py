"""Summary of a network: its parts, their shapes and their cost, without computing anything.

The network is built and run on torch's `meta` device, where tensors have shapes and no values. A
part is what a method hands out (a synapse with its norm, a neuron) or a pooling; groups of parts
follow the network's own nesting.

An operation is one multiply-accumulate of a convolution or a matrix product, for one image over all
T steps, zeros included: what a dense implementation computes, as `torch.utils.flop_counter` counts
it. Of an E-I circuit that is W_EE, W_IE, and W_EI once for each of its inhibitions. Elementwise
work (norms, neurons, division, pooling, additions) is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from eibench.execution.dataset_cache import as_user_error
from eibench.nn import LIF, EILayer
from eibench.plan.options import DataShape
from eibench.plan.spec import RunSpec
from eibench.probe.propagation import SYNAPSES
from eibench.training.build import load_data, make_method, make_network

RESHAPING = (nn.Flatten, nn.Unflatten)
"""Modules that are left out: they compute nothing and have no parameters."""


@dataclass(frozen=True)
class LayerSummary:
    """A part of a network, or a group of parts and their sums."""

    name: str
    kind: str
    """Classes of its layers, kernels and strides: `Conv2d 3x3/2 + BatchNorm2d`."""
    output: tuple[int, ...]
    """Shape for one image at one step."""
    fan_in: int | None
    """Presynaptic neurons of one neuron; None without a synapse."""
    parameters: int
    operations: int
    neurons: int
    neuron_layers: int
    parts: tuple[LayerSummary, ...] = ()


def model_summary(spec: RunSpec) -> tuple[LayerSummary, DataShape]:
    """Return the network of `spec` as one group, and the shape of its data.

    Data are loaded only where their shape is not known without.

    Raises:
        UserError: data are absent or damaged, the network does not suit them, a plugin fails.
    """
    with as_user_error(spec):
        shape = spec.data.shape() or _loaded_shape(spec)
        return summarize_network(spec, shape), shape


def _loaded_shape(spec: RunSpec) -> DataShape:
    return load_data(spec.data, spec.timesteps).shape


def summarize_network(spec: RunSpec, shape: DataShape) -> LayerSummary:
    """Return the network of `spec` for data of `shape`, as one group.

    Raises:
        UserError: the network does not suit the data, or the method the neuron.
    """
    with torch.device("meta"):
        model = make_network(spec, make_method(spec), shape).eval()
        image = torch.empty(spec.timesteps, 1, *shape.image)
    with _Watch(model) as watch, torch.no_grad():
        model(image)
    return watch.part(spec.model.label, model, whole=True)


class _Watch:
    """A context that records output and operations of every module that is called."""

    def __init__(self, model: nn.Module) -> None:
        self.modules = list(model.modules())
        self.counter = FlopCounterMode(display=False)
        self.outputs: dict[nn.Module, tuple[int, ...]] = {}
        self.operations: dict[nn.Module, int] = dict.fromkeys(self.modules, 0)

    def __enter__(self) -> _Watch:
        self.hooks = [
            *(module.register_forward_pre_hook(self._begin) for module in self.modules),
            *(module.register_forward_hook(self._end) for module in self.modules),
        ]
        self.counter.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.counter.__exit__(*error)
        for hook in self.hooks:
            hook.remove()

    def _done(self) -> int:
        """Return the multiply-accumulates so far; torch counts each as two."""
        return int(self.counter.get_total_flops()) // 2

    def _begin(self, module: nn.Module, _: Any) -> None:
        self.operations[module] -= self._done()

    def _end(self, module: nn.Module, _: Any, out: Any) -> None:
        self.operations[module] += self._done()
        if isinstance(out, Tensor):
            self.outputs[module] = tuple(out.shape[2:])

    def part(self, name: str, module: nn.Module, whole: bool = False) -> LayerSummary:
        """Summarize `module`, and the parts inside it where it is a group."""
        synapses = [m for m in module.modules() if isinstance(m, SYNAPSES)]
        neurons = [m for m in module.modules() if isinstance(m, LIF)]
        group = whole or len(synapses) + len(neurons) > 1
        inside = [(n, m) for n, m in module.named_children() if not isinstance(m, RESHAPING)]
        return LayerSummary(
            name=name,
            kind=_group(module) if group else " + ".join(map(_layer, _layers(module))),
            output=self.outputs.get(module, ()),
            fan_in=_fan_in(synapses[0]) if synapses and not group else None,
            parameters=sum(p.numel() for p in module.parameters() if p.requires_grad),
            operations=self.operations[module],
            neurons=sum(_size(self.outputs.get(m, ())) for m in neurons),
            neuron_layers=len(neurons),
            parts=tuple(self.part(n, m) for n, m in inside) if group else (),
        )


def _size(shape: tuple[int, ...]) -> int:
    """Return the neurons of an output; a layer that never runs has none."""
    return torch.Size(shape).numel() if shape else 0


def _group(module: nn.Module) -> str:
    return "" if isinstance(module, nn.Sequential) else type(module).__name__


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers inside a part, in order."""
    children = list(module.children())
    if not children or isinstance(module, (LIF, *SYNAPSES)):
        yield module
        return
    for child in children:
        yield from _layers(child)


def _layer(module: nn.Module) -> str:
    """Return a layer's class, kernel and stride."""
    weight = _weight(module)
    if weight is None or weight.dim() < 3:
        return type(module).__name__
    stride = getattr(module, "stride", 1)
    step = stride[0] if isinstance(stride, tuple) else stride
    kernel = "x".join(map(str, weight.shape[2:]))
    return f"{type(module).__name__} {kernel}" + (f"/{step}" if step != 1 else "")


def _weight(module: nn.Module) -> Tensor | None:
    """Return the excitatory matrix or kernel of a synapse; None for another layer."""
    if not isinstance(module, SYNAPSES):
        return None
    return module.weight_ee if isinstance(module, EILayer) else module.weight


def _fan_in(synapse: nn.Module) -> int | None:
    weight = _weight(synapse)
    return None if weight is None else weight[0].numel()
