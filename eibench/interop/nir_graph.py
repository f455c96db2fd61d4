"""Export to NIR (Pedersen et al., Nature Communications 2024): affine maps, poolings, LIF neurons.

NIR has no product or quotient of activities and no soft reset. So a network can be written whose
layers are affine in evaluation (no norm, folded batch norm, standardized weights, inhibition that
only subtracts, blanket inhibition) and whose neurons reset hard. Anything else is refused.

A LIF of NIR is tau dv/dt = (v_leak - v) + r I and fires above its threshold. Over steps of length 1
with r = tau and v_leak = 0 that is v[t] = (1 - 1/tau) v[t-1] + I[t], eibench's neuron. eibench's
fires at the threshold too, so the file has the next smaller single-precision number.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from eibench.errors import UserError
from eibench.interop.deployed import LoadedRun
from eibench.interop.extras import require
from eibench.nn import LIF, TimeDistributed, affine_synapse, fold_batchnorm
from eibench.nn.residual import CurrentsAdded, SpikesJoined
from eibench.results.store import write_atomic

Sources = list[str]
"""Names of the nodes whose outputs are added up at the next node's input."""
STEP = {"dt": "1", "v_threshold": "the largest float32 below the threshold"}


def export_nir(run: LoadedRun, out: Path) -> None:
    """Write `run` to the NIR file `out`.

    Raises:
        UserError: a layer that NIR has no node for, with its name and the reason.
    """
    require("nir", "nir")
    import nir

    graph = nir_graph(run.network, run.shape.image, {**run.about(), **STEP})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "graph.nir"
        nir.write(file, graph)
        write_atomic(out, file.read_bytes())


def nir_graph(network: nn.Module, image: tuple[int, ...], about: dict[str, str]) -> Any:
    """Return the `nir.NIRGraph` of `network`, from an image at each step to logits at each step."""
    import nir

    builder = _GraphBuilder(image)
    builder.add("output", builder.walk(fold_batchnorm(network), "", ["input"]), "Output")
    return nir.NIRGraph(builder.nodes, builder.edges, metadata=dict(about))


class _GraphBuilder:
    """Nodes and edges so far, and the shape of the last activity."""

    def __init__(self, image: tuple[int, ...]) -> None:
        import nir

        self.shape = tuple(image)
        self.nodes: dict[str, Any] = {"input": nir.Input({"input": np.array(image)})}
        self.edges: list[tuple[str, str]] = []

    def add(self, name: str, sources: Sources, kind: str, **options: Any) -> Sources:
        """Add a node of a `kind` behind `sources`; return it as the next source."""
        import nir

        if kind == "Output":
            options = {"output_type": {"output": np.array(self.shape)}}
        self.nodes[name] = getattr(nir, kind)(**options)
        self.edges += [(source, name) for source in sources]
        return [name]

    def walk(self, module: nn.Module, name: str, sources: Sources) -> Sources:
        """Add the nodes of `module`; return the sources of what follows."""
        ways: tuple[tuple[Any, Any], ...] = (
            (nn.Sequential, self._sequence),
            (TimeDistributed, lambda part, *place: self.walk(part.module, *place)),
            (SpikesJoined, self._spikes_joined),
            (CurrentsAdded, self._currents_added),
            ((nn.Identity, nn.Unflatten), lambda _, __, same: same),  # vectors stay vectors
            (nn.Flatten, self._flatten),
            ((nn.AvgPool2d, nn.AdaptiveAvgPool2d), self._pool),
            (LIF, self._neuron),
            (nn.Module, self._synapse),
        )
        way = next(way for kinds, way in ways if isinstance(module, kinds))
        found: Sources = way(module, name, sources)
        return found

    def _sequence(self, module: nn.Sequential, name: str, sources: Sources) -> Sources:
        for inner, part in module.named_children():
            sources = self.walk(part, f"{name}_{inner}".removeprefix("_"), sources)
        return sources

    def _spikes_joined(self, module: SpikesJoined, name: str, sources: Sources) -> Sources:
        if module.connect != "add":
            raise _refusal(name, f"connect `{module.connect}` is a product of activities")
        return self._both(module, name, sources)

    def _currents_added(self, module: CurrentsAdded, name: str, sources: Sources) -> Sources:
        return self.walk(module.neuron, f"{name}_neuron", self._both(module, name, sources))

    def _both(self, module: SpikesJoined | CurrentsAdded, name: str, sources: Sources) -> Sources:
        """Add body and shortcut of a block; their outputs are added."""
        shape = self.shape
        body = self.walk(module.body, f"{name}_body", sources)
        after, self.shape = self.shape, shape
        side = self.walk(module.shortcut, f"{name}_shortcut", sources)
        assert self.shape == after
        return [*body, *side]

    def _synapse(self, module: nn.Module, name: str, sources: Sources) -> Sources:
        try:
            weight, bias = affine_synapse(module)
        except ValueError as error:
            raise _refusal(name, str(error)) from None
        offset = np.zeros(len(weight), np.float32) if bias is None else _array(bias)
        if len(self.shape) == 1:
            self.shape = (len(weight),)
            options = {"weight": _array(weight.flatten(1)), "bias": offset}
            return self.add(name, sources, "Affine", **options)
        stride, padding = (_pair(getattr(module, key)) for key in ("stride", "padding"))
        if _pair(getattr(module, "dilation", 1)) != (1, 1) or getattr(module, "groups", 1) != 1:
            raise _refusal(name, "dilated and grouped convolutions are not written")
        size = self.shape[1:]
        self.shape = (
            len(weight),
            *((n + 2 * p - k) // s + 1 for n, p, k, s in
              zip(size, padding, weight.shape[2:], stride, strict=True)),
        )  # fmt: skip
        return self.add(
            name,
            sources,
            "Conv2d",
            input_shape=size,
            weight=_array(weight),
            stride=stride,
            padding=padding,
            dilation=(1, 1),
            groups=1,
            bias=offset,
        )

    def _neuron(self, neuron: LIF, name: str, sources: Sources) -> Sources:
        if type(neuron) is not LIF:
            raise _refusal(name, f"{type(neuron).__name__} does more than NIR's LIF")
        if neuron.reset != "hard":
            raise _refusal(name, "its reset is soft, and NIR's LIF resets hard")
        below = np.nextafter(np.float32(neuron.threshold), np.float32(-np.inf))
        values = {"tau": neuron.tau, "r": neuron.tau, "v_leak": 0.0, "v_reset": 0.0}
        values["v_threshold"] = float(below)
        arrays = {key: np.full(self.shape, v, np.float32) for key, v in values.items()}
        return self.add(name, sources, "LIF", **arrays)

    def _flatten(self, module: nn.Flatten, name: str, sources: Sources) -> Sources:
        if len(self.shape) == 1:
            return sources
        options = {"input_type": {"input": np.array(self.shape)}, "start_dim": 0, "end_dim": -1}
        self.shape = (math.prod(self.shape),)
        return self.add(name, sources, "Flatten", **options)

    def _pool(
        self, pool: nn.AvgPool2d | nn.AdaptiveAvgPool2d, name: str, sources: Sources
    ) -> Sources:
        size = self.shape[1:]
        if isinstance(pool, nn.AdaptiveAvgPool2d):
            if pool.output_size not in (1, (1, 1)):
                raise _refusal(name, "adaptive pooling to more than one value is not written")
            kernel = stride = (size[0], size[1])
        else:
            kernel, stride = _pair(pool.kernel_size), _pair(pool.stride)
            if _pair(pool.padding) != (0, 0) or pool.ceil_mode:
                raise _refusal(name, "padded pooling is not written")
        self.shape = (
            self.shape[0],
            *((n - k) // s + 1 for n, k, s in zip(size, kernel, stride, strict=True)),
        )
        arrays = {"kernel_size": kernel, "stride": stride, "padding": (0, 0)}
        return self.add(name, sources, "AvgPool2d", **{k: np.array(v) for k, v in arrays.items()})


def _refusal(name: str, reason: str) -> UserError:
    return UserError(f"layer {name}: cannot be written as NIR: {reason}")


def _array(tensor: Tensor) -> np.ndarray:
    """Return a tensor as a single-precision array."""
    array: np.ndarray = tensor.detach().to(torch.float32).numpy().copy()
    return array


def _pair(value: Any) -> tuple[int, int]:
    """Return a size of a convolution or pooling along both axes."""
    first, second = value if isinstance(value, tuple | list) else (value, value)
    return int(first), int(second)
