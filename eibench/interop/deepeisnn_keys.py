"""Names of tensors in a DeepEISNN state dict, and the parameters of eibench that they are.

A layer is a synapse and, unless it is a batch-norm network's readout, a circuit: the E-I circuit or
the batch norm. In a VGG both are numbered parts of one sequence, `layers.N`, a circuit right behind
its synapse; in a ResNet they have names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from eibench.errors import UserError, shorten_list
from eibench.interop.deepeisnn_config import NetworkConfig
from eibench.models.chain import POOL, VGG
from eibench.models.resnet import BLOCKS

Names = Mapping[str, str]
"""Our name of a parameter within its layer, by theirs."""
UNUSED = ""
"""Our name of a tensor that the network does not use; it may be absent."""


class LayerNames(NamedTuple):
    """Names of one layer's tensors within its synapse and its circuit."""

    synapse: Names
    circuit: Names


EI_CIRCUIT = {name: name for name in ("weight_ei", "gain_i", "gain_e", "bias")}
BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
CONV = {
    True: LayerNames({"conv_ee.weight": "weight_ee", "conv_ie.weight": "weight_ie"}, EI_CIRCUIT),
    False: LayerNames(
        {"conv.weight": "0.module.weight"}, {f"bn.{name}": f"1.{name}" for name in BATCH_NORM}
    ),
}
"""Names in a convolution with an E-I circuit (True) and with batch norm (False)."""
READOUT = {
    True: LayerNames(
        {"weight_ee": "weight_ee", "weight_ie": "weight_ie"},
        {name: "weight_ei" if name == "weight_ei" else UNUSED for name in EI_CIRCUIT},
    ),
    False: LayerNames({"linear.weight": "weight", "linear.bias": "bias"}, {}),
}
RENAMED = {"alpha": "gain_i", "gain": "gain_e"}
"""Names of gains in other versions of their code."""
PARALLEL = "module."


class Place(NamedTuple):
    """Prefixes of one layer's tensors."""

    synapse: str
    circuit: str


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under the names of the released files, without the prefix of several GPUs
    (`DataParallel`), where all have it."""
    if all(key.startswith(PARALLEL) for key in state):
        state = {key.removeprefix(PARALLEL): tensor for key, tensor in state.items()}
    found = {}
    for key, tensor in state.items():
        head, dot, name = key.rpartition(".")
        now = head + dot + RENAMED.get(name, name)
        found[key if now in state else now] = tensor
    return found


def layer_places(config: NetworkConfig, keys: Iterable[str]) -> list[Place]:
    """Return the prefixes of every layer of the network, in forward order.

    Raises:
        UserError: there are more or fewer layers than the network has.
    """
    if config.arch == "VGG":
        return _vgg_places(config, keys)
    return _resnet_places(BLOCKS[config.num_layers], "norm" if config.inhibits else "bn")


def _vgg_places(config: NetworkConfig, keys: Iterable[str]) -> list[Place]:
    conv, readout = CONV[config.inhibits], READOUT[config.inhibits]
    keys, synapses = list(keys), set[int]()
    circuits: set[int] = set()
    for key in keys:
        if not (found := re.fullmatch(r"layers\.([0-9]{1,6})\.(.+)", key)):
            continue
        number, name = int(found[1]), found[2]
        if name in conv.synapse or name in readout.synapse:
            synapses.add(number)
        elif name in conv.circuit or name in readout.circuit:
            circuits.add(number)
    expected = len([width for width in VGG[config.num_layers] if width != POOL]) + 1
    if len(synapses) != expected:
        listed = shorten_list((f"layers.{n}" for n in sorted(synapses)), 30) or "none"
        raise UserError(
            f"{config.title} has {expected} layers with weights, the file {len(synapses)}: {listed}"
            f"; its first keys: {shorten_list(keys) or 'none'}"
        )
    ends = [*sorted(synapses)[1:], 10**6]
    return [
        Place(f"layers.{n}", f"layers.{min((c for c in circuits if n < c < end), default=n + 1)}")
        for n, end in zip(sorted(synapses), ends, strict=True)
    ]


def _resnet_places(blocks: Iterable[int], norm: str) -> list[Place]:
    places = [Place("conv1", f"{norm}1")]
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            at = f"layer{stage}.{block}"
            places += [Place(f"{at}.conv{i}", f"{at}.{norm}{i}") for i in (1, 2)]
            if stage > 1 and block == 0:
                places.append(Place(f"{at}.downsample.0", f"{at}.downsample.1"))
    return [*places, Place("fc", "final_ei_norm")]


def widths(config: NetworkConfig, places: list[Place], state: Mapping[str, Tensor]) -> list[int]:
    """Return the channels of every convolution of a VGG, or of a ResNet's stem.

    Those of the paper where the file does not tell.
    """
    key = next(iter(CONV[config.inhibits].synapse))
    usual = [width for width in VGG.get(config.num_layers, [64]) if width != POOL]
    kernels = [state.get(f"{place.synapse}.{key}") for place in places]
    return [
        usual_width if kernel is None or not kernel.dim() else len(kernel)
        for usual_width, kernel in zip(usual, kernels, strict=False)
    ]


def tensor_names(
    config: NetworkConfig, places: list[Place], layers: list[str]
) -> tuple[dict[str, str], set[str]]:
    """Return our name of each tensor by theirs, and the names of tensors that have no use.

    `layers` are the names of our layers in forward order, one for each of `places`.
    """
    used: dict[str, str] = {}
    unused: set[str] = set()
    for place, layer in zip(places, layers, strict=True):
        names = (READOUT if place is places[-1] else CONV)[config.inhibits]
        for prefix, part in zip(place, names, strict=True):
            for theirs, ours in part.items():
                if ours == UNUSED:
                    unused.add(f"{prefix}.{theirs}")
                else:
                    used[f"{prefix}.{theirs}"] = f"{layer}.{ours}"
    return used, unused
