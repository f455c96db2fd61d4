"""Kept weights of a run: `model.safetensors` beside `spec.yaml`, and the network they make.

The file names its format and version, the shape of the data and the run, so that a network is built
without its data set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from eibench.errors import UserError, error_line, shorten, shorten_list
from eibench.files import read_bytes
from eibench.nn.readiness import DrawnFromData
from eibench.plan.options import DataShape
from eibench.plan.options.init_from import KEEP_THEM, LARGEST_WEIGHTS, WEIGHTS
from eibench.plan.spec import RunSpec
from eibench.plan.validate import Invalid, show
from eibench.plan.yaml_source import dump
from eibench.plan.yaml_source import load as load_yaml
from eibench.results.paths import member, parse_object
from eibench.results.store import write_atomic
from eibench.training.build import Experiment, make_method, make_network
from eibench.training.fit import Progress
from eibench.version import __version__

SPEC = "spec.yaml"
HEADER = "eibench"
"""Key in the file's header, of JSON; with a single key equal weights give equal bytes."""
FORMAT = "eibench weights"
VERSION = 1
"""Version of the file format."""
LARGEST = LARGEST_WEIGHTS
"""Maximal size of a network made of a file of weights, in bytes."""
LISTED = 10
"""Number of tensors that a message lists."""


def save_weights(
    folder: Path, state: Mapping[str, Tensor], spec: RunSpec, shape: DataShape
) -> None:
    """Write the `state` of the network of `spec`, built for data of `shape`, and the spec."""
    about = {
        "format": FORMAT,
        "version": VERSION,
        "eibench": __version__,
        "run_id": spec.run_id,
        "image": shape.image,
        "classes": shape.classes,
    }
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}
    write_atomic(member(folder, SPEC), dump({**spec.to_dict(), **spec.sources()}).encode())
    write_atomic(member(folder, WEIGHTS), save(tensors, {HEADER: json.dumps(about)}))


def chosen_weights(experiment: Experiment, progress: Progress) -> dict[str, Tensor]:
    """Return a copy of the weights that the run is to keep; empty where it keeps none."""
    sources = {"none": {}, "best": progress.best_weights, "last": experiment.model.state_dict()}
    return {key: value.clone() for key, value in sources[experiment.spec.train.keep].items()}


def load_model(run: str | Path) -> nn.Module:
    """Return the network of a run folder with kept weights, in evaluation mode, on the CPU.

    It takes activity [T, B, C, H, W] and gives logits [T, B, classes]. The state of E-I circuits
    and running statistics are restored. Plugins of the run must have been loaded.

    Raises:
        UserError: there are no weights, or they are damaged or of another version of eibench.
    """
    return load_run(Path(run))[2]


def load_run(folder: Path) -> tuple[RunSpec, DataShape, nn.Module]:
    """Return the spec, the shape of the data and the network of a run; see `load_model`."""
    path = member(folder, WEIGHTS)
    if not path.exists():
        raise UserError(f"{folder}: no {WEIGHTS} here; {KEEP_THEM}")
    state, about = read_weights(path)
    shape = _data_shape(about, path)
    spec = _spec(member(folder, SPEC))
    if about.get("run_id") != spec.run_id:
        text = f"{path}: is of run {show(about.get('run_id'))}, {SPEC} beside it of {spec.run_id}"
        raise UserError(f"{text}: of another version of eibench, or changed")
    try:
        with torch.device("meta"):
            network = make_network(spec, make_method(spec), shape)
    except RuntimeError as error:  # sizes beyond all memory
        raise UserError(f"{path}: no network can be built for it: {error_line(error)}") from None
    try:
        assign_weights(network, state)
    except UserError as error:
        raise UserError(f"{path}: does not fit the network of {spec.run_id}: {error}") from None
    return spec, shape, network.eval()


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a run's file of weights, and what its header says of them.

    Raises:
        UserError: it is damaged, too large, or of another version of the format.
    """
    state, header = read_tensors(path)
    return state, _about(header, path)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file, and the text values in its header.

    Raises:
        UserError: it is absent, damaged or too large.
    """
    try:
        content = read_bytes(path, LARGEST)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError) as error:
        reason = shorten(error_line(error), 300)
        raise UserError(f"{path}: is not a safetensors file: {reason}") from None
    return tensors, header.get("__metadata__", {})


def _about(header: Mapping[str, str], path: Path) -> dict[str, Any]:
    """Return what a header says of the weights; raise `UserError` for other formats."""
    try:
        about = parse_object(header.get(HEADER, "{}").encode())
    except ValueError:
        raise UserError(f"{path}: damaged (its header)") from None
    if about.get("format") != FORMAT:
        raise UserError(f"{path}: is not a file of eibench's weights")
    found = about.get("version")
    if found != VERSION or type(found) is not int:
        text = f"has version {show(found)} of the format, this eibench reads {VERSION}"
        raise UserError(f"{path}: {text}")
    return about


def _data_shape(about: Mapping[str, Any], path: Path) -> DataShape:
    """Return the shape of the data in a header."""
    try:
        sizes = [*about["image"], about["classes"]]
        if len(sizes) != 4 or not all(type(n) is int and 1 <= n <= 2**20 for n in sizes):
            raise ValueError
    except (KeyError, ValueError, TypeError):
        raise UserError(f"{path}: damaged (image or classes in its header)") from None
    return DataShape((sizes[0], sizes[1], sizes[2]), sizes[3])


def _spec(path: Path) -> RunSpec:
    """Return the spec in a run's folder."""
    try:
        values = load_yaml(path).data
        if not isinstance(values, dict):
            raise UserError(f"{path}: damaged (not a mapping)")
        return RunSpec.parse({key: value for key, value in values.items() if key != "plugins"})
    except Invalid as invalid:
        texts = [f"{path}: {'.'.join(map(str, p.keys))}: {p.text}" for p in invalid.problems]
        raise UserError("\n".join(texts)) from None


# --- Tensors into a network ----------------------------------------------------------------------


def assign_weights(
    network: nn.Module, state: Mapping[str, Tensor], names: Mapping[str, str] | None = None
) -> None:
    """Give `network`, built on the meta device, the tensors of `state`, in their precision.

    Floating-point tensors of less than single precision become single. A tensor may have more or
    fewer axes of size 1 than the network's.

    Args:
        network: the network; every tensor of its state is replaced.
        state: tensors by their name in the network.
        names: names for messages.

    Raises:
        UserError: with the tensors that are missing, unknown, of another shape or kind, or not
            finite.
    """
    network.load_state_dict(_fitted(network.state_dict(), state, names or {}), assign=True)
    _check_drawn(network)


def copy_weights(
    network: nn.Module, state: Mapping[str, Tensor], without: Sequence[str] = ()
) -> None:
    """Copy the tensors of `state` into those of `network`, but for modules named `without`.

    Raises:
        UserError: as `assign_weights`.
    """
    wanted = network.state_dict()
    parts = tuple(f"{name}." for name in without)

    def rest(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {key: value for key, value in tensors.items() if not key.startswith(parts)}

    network.load_state_dict({**wanted, **_fitted(rest(wanted), rest(state), {})})
    _check_drawn(network, parts)


def _check_drawn(network: nn.Module, without: tuple[str, ...] = ()) -> None:
    """Raise `UserError` where a layer's weights say that they were never drawn."""
    for name, module in network.named_modules():
        drawn = not isinstance(module, DrawnFromData) or module.is_initialized()
        if not (drawn or f"{name}.".startswith(without)):
            raise UserError(f"{name}: is not initialised")


def _fitted(
    wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], shown: Mapping[str, str]
) -> dict[str, Tensor]:
    """Return copies of `state` in the shapes of `wanted`; raise as `assign_weights`."""
    problems = [f"{key}: is missing" for key in wanted if key not in state]
    problems += [f"{key}: is unknown" for key in state if key not in wanted]
    for key, tensor in wanted.items():
        if key in state and (text := _misfit(state[key], tensor)):
            problems.append(f"{shown.get(key, key)}: {text}")
    if not problems and sum(t.numel() * 8 for t in wanted.values()) > LARGEST:
        problems = ["the network is too large"]
    if problems:
        raise UserError(shorten_list(problems, LISTED))
    double = any(t.dtype == torch.float64 for t in state.values())
    fitted = {key: _like(state[key], tensor, double) for key, tensor in wanted.items()}
    if found := [shown.get(k, k) for k, t in fitted.items() if not torch.isfinite(t).all()]:
        raise UserError(f"not all values are finite: {shorten_list(found, LISTED)}")
    return fitted


def _misfit(found: Tensor, wanted: Tensor) -> str:
    """Return why a tensor cannot take its place, or an empty text."""
    plain = found.layout == torch.strided and not found.is_quantized and not found.is_meta
    if not plain or found.is_complex() or found.is_floating_point() != wanted.is_floating_point():
        kind = "floating-point" if wanted.is_floating_point() else "whole"
        return f"is no plain tensor of {kind} numbers"
    if [n for n in found.shape if n != 1] != [n for n in wanted.shape if n != 1]:
        return f"has shape {list(found.shape)}, the network needs {list(wanted.shape)}"
    return ""


def _like(found: Tensor, wanted: Tensor, double: bool) -> Tensor:
    """Return a copy of the shape of `wanted`."""
    kind: Any = wanted.dtype
    if wanted.is_floating_point():
        kind = torch.float64 if double else torch.float32
    return found.detach().reshape(wanted.shape).to(kind).clone()
