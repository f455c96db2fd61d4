"""Networks as hardware would hold them: fixed weights, folded norms, inhibition as cells."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from eibench.nn.ei_layer import EILayer
from eibench.nn.explicit import explicit_inhibition
from eibench.nn.fold import fold_batchnorm
from eibench.nn.inference import plain_synapse
from eibench.nn.neurons import LIF
from eibench.nn.time import TimeDistributed
from eibench.nn.weight_norm import WSConv2d

NORMS = (_NormBase, nn.GroupNorm)


class SynapticWeight(NamedTuple):
    """A weight tensor [neurons, ...] of a network."""

    name: str
    tensor: Tensor
    one_sign: bool
    """True where Dale's law holds: every weight is >= 0, its sign is that of the cell."""


@torch.no_grad()
def hardware_form(model: nn.Module) -> nn.Module:
    """Return a copy of `model` in evaluation mode as hardware would hold it, with equal outputs.

    Batch norms are folded where they can be (`fold_batchnorm`), kernels are standardized once, and
    blanket inhibition is a cell with weights of its own (`explicit_inhibition`).

    Raises:
        ValueError: blanket inhibition without Dale's law, which is no cell.
    """
    out = fold_batchnorm(explicit_inhibition(model))
    for module in list(out.modules()):
        for name, part in list(module.named_children()):
            if type(part) is WSConv2d:
                setattr(module, name, plain_synapse(part))
    for _, layer in inhibited_layers(out):
        if layer.subtracts:
            excitation, inhibition = layer.balance_sums()
            layer.trained_sums = excitation - inhibition
    return out


@torch.no_grad()
def rebalance_(model: nn.Module) -> None:
    """Scale the inhibitory synapses of each neuron of `model`, a hardware form, so that its net
    sum of weights is again that of training; in place.

    A neuron without inhibition, or with too little excitation, is left as near as it comes.
    """
    for _, layer in inhibited_layers(model):
        if layer.trained_sums is None:
            continue
        excitation, inhibition = layer.balance_sums()
        factor = ((excitation - layer.trained_sums) / inhibition).clamp_min(0)
        layer.weight_ei.mul_(torch.where(inhibition > 0, factor, 1.0)[:, None])


@torch.no_grad()
def fold_inhibition_(model: nn.Module) -> None:
    """Replace the E-I layers of `model` that only subtract by signed synapses, in place."""
    for module in list(model.modules()):
        for name, part in list(module.named_children()):
            if isinstance(part, EILayer):
                with contextlib.suppress(ValueError):  # no affine map
                    setattr(module, name, TimeDistributed(plain_synapse(part)))


def form_words(trained: nn.Module, held: nn.Module) -> str:
    """Return how `held`, the hardware's form of `trained`, differs from it."""
    before, after = (sum(isinstance(m, NORMS) for m in n.modules()) for n in (trained, held))
    layers = [m for m in held.modules() if isinstance(m, EILayer)]
    before_ei = sum(isinstance(m, EILayer) for m in trained.modules())
    parts = [
        f"{before - after} norms folded" if before > after else "",
        f"{after} norms kept" if after else "",
        "blanket inhibition as cells" if any(m.blanket_cells for m in layers) else "",
        "inhibition in signed synapses" if len(layers) < before_ei else "",
    ]
    return ", ".join(filter(None, parts)) or "as trained"


def synaptic_weights(model: nn.Module) -> Iterator[SynapticWeight]:
    """Yield the weights of every synapse of `model`, each once: parameters of two dimensions and
    more, but for those of norms."""
    seen: set[int] = set()
    for prefix, module in model.named_modules():
        if isinstance(module, NORMS):
            continue
        one_sign = isinstance(module, EILayer) and module.circuit.dale
        for name, parameter in module.named_parameters(prefix, recurse=False):
            if parameter.dim() > 1 and id(parameter) not in seen:
                seen.add(id(parameter))
                yield SynapticWeight(name, parameter.data, one_sign)


def inhibited_layers(model: nn.Module) -> list[tuple[str, EILayer]]:
    """Return the layers with inhibitory cells, blanket inhibition included, by name."""
    return [
        (name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, EILayer)
        and (layer.subtracts or layer.divides or layer.balance.blanket)
    ]


def neurons(model: nn.Module) -> list[tuple[str, LIF]]:
    """Return the layers of neurons by name."""
    return [(name, layer) for name, layer in model.named_modules() if isinstance(layer, LIF)]
