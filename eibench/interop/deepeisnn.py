"""Checkpoints of DeepEISNN, the code of the E-I paper's authors, as networks of eibench.

    from eibench.interop.deepeisnn import load_checkpoint

    network = load_checkpoint("CIFAR10-VGG8")           # a released folder, or ckpt-best.pth
    logits = network(images.expand(4, *images.shape)).mean(0)

Read are VGG-8, 11, 16 and 19 with one dense layer, and SEW-ResNet-18 and 34, with E-I circuits or
batch norm. Widths may differ from the paper's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from eibench.errors import UserError, shorten_list
from eibench.interop.deepeisnn_config import NetworkConfig, described
from eibench.interop.deepeisnn_files import read_checkpoint
from eibench.interop.deepeisnn_keys import layer_places, renamed, tensor_names, widths
from eibench.nn import Current, EILayer
from eibench.plan.options import DataShape
from eibench.plan.spec import RunSpec
from eibench.plan.validate import Invalid
from eibench.training.build import make_method, make_network
from eibench.training.weights import assign_weights, save_weights

LISTED = 20
"""Number of keys that a message lists."""


def load_checkpoint(
    path: str | os.PathLike[str], config: str | os.PathLike[str] | Mapping[str, Any] | None = None
) -> nn.Module:
    """Return the network of a checkpoint, in evaluation mode, on the CPU.

    It takes activity [T, B, C, H, W] and gives logits [T, B, classes], whose mean over T are the
    logits of the authors' code. Weights keep their precision if it is single or double.

    Args:
        path: a training checkpoint, or a released folder with config.json and model.safetensors.
        config: the run's configuration, a YAML file or its values, in place of the one that the
            checkpoint holds.

    Raises:
        UserError: a file is missing, unsafe or damaged, or its tensors do not fit the network.
    """
    _, network = _read(path, config)
    return network


def import_checkpoint(
    path: str | os.PathLike[str],
    config: str | os.PathLike[str] | Mapping[str, Any] | None,
    out: Path,
) -> RunSpec:
    """Write the network of a checkpoint as the kept weights of a run; see `load_checkpoint`.

    Raises:
        UserError: as there, or there is something at `out` already.
    """
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out}: exists already; name a new folder")
    spec, network = _read(path, config)
    save_weights(out, network.state_dict(), spec, _shape(spec))
    return spec


def _read(
    path: str | os.PathLike[str], config: str | os.PathLike[str] | Mapping[str, Any] | None
) -> tuple[RunSpec, nn.Module]:
    given = config if config is None or isinstance(config, Mapping) else Path(config)
    settings, state = read_checkpoint(Path(path), given)
    try:
        return _build(settings, renamed(state))
    except Invalid as invalid:
        raise UserError("\n".join(described(invalid, str(path)))) from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _build(config: NetworkConfig, state: Mapping[str, Tensor]) -> tuple[RunSpec, nn.Module]:
    """Return the network with its weights; memory is taken after shapes have been checked."""
    places = layer_places(config, state)
    spec = config.spec(widths(config, places, state))
    method = make_method(spec)
    with torch.device("meta"):
        network = make_network(spec, method, _shape(spec))
    names, unused = tensor_names(config, places, _layers(network))
    _require_keys(config, state, set(names), unused)
    ready = {
        f"{name}.initialized": torch.tensor(1.0)
        for name, module in network.named_modules()
        if isinstance(module, EILayer)
    }
    weights = {ours: state[theirs] for theirs, ours in names.items()}
    assign_weights(network, {**weights, **ready}, {ours: key for key, ours in names.items()})
    method.project(network)  # the authors clamp before each use
    return spec, network.eval()


def _shape(spec: RunSpec) -> DataShape:
    shape = spec.data.shape()
    assert shape is not None  # known of every data set that a configuration can name
    return shape


def _layers(network: nn.Module) -> list[str]:
    """Return the names of the layers with weights, in forward order."""
    kinds = (EILayer, Current, nn.Linear)
    return [name for name, module in network.named_modules() if isinstance(module, kinds)]


def _require_keys(
    config: NetworkConfig, state: Mapping[str, Tensor], needed: set[str], unused: set[str]
) -> None:
    """Raise `UserError` with the keys that are missing and those that have no place."""
    missing = sorted(needed - state.keys())
    unknown = sorted(state.keys() - needed - unused)
    texts = [
        f"{word} keys: {shorten_list(keys, LISTED)}"
        for word, keys in (("missing", missing), ("unknown", unknown))
        if keys
    ]
    if texts:
        raise UserError(f"the tensors are not those of {config.title}: {'; '.join(texts)}")
