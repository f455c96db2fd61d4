"""DeepEISNN's files: a training checkpoint, or a released folder with safetensors.

Both come from strangers: sizes are limited, and nothing in them is run.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eibench.errors import UserError, error_line, shorten, shorten_list
from eibench.files import read_bytes
from eibench.interop.deepeisnn_config import NetworkConfig, parse_config, read_config
from eibench.training.weights import LARGEST, read_tensors

CONFIG, WEIGHTS = "config.json", "model.safetensors"
STATE = "model_state_dict"
RECONSTRUCT: Any = np.zeros(0).__reduce__()[0]
SCALAR: Any = np.float64(0).__reduce__()[0]
NUMPY: list[Any] = [
    *((RECONSTRUCT, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *((SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(code)) for code in np.typecodes["All"] if code not in "OSUVmM"),
]
"""NumPy's numbers and arrays of them, by the names of NumPy 1 and 2: a random state, a score."""
ZIP = b"PK\x03\x04"
"""First bytes of the files that torch reads as zip."""
MAGIC = torch.serialization.MAGIC_NUMBER.to_bytes(10, "little")
"""Mark at the beginning of the format that `torch.save` wrote before."""
NAMED = (
    r"GLOBAL (.+?) (?:was not an allowed|whose module)",
    r"but got <class '(.+?)'>",
    r"unrecognized function (.+?)(?: which belongs|\s*$)",
)
"""Messages of torch that name what it refuses."""


def read_checkpoint(
    path: Path, config: Path | Mapping[str, Any] | None
) -> tuple[NetworkConfig, dict[str, Tensor]]:
    """Return the configuration and the state dict in `path`.

    Args:
        path: a checkpoint (.pth), a folder with config.json and model.safetensors, or the latter.
        config: a configuration in place of that beside the weights; a file or its values.

    Raises:
        UserError: a file is missing, damaged, too large, or not what it should be.
    """
    if path.is_dir() or path.suffix == ".safetensors":
        weights = path / WEIGHTS if path.is_dir() else path
        tensors, _ = read_tensors(weights)
        beside = weights.with_name(CONFIG)
        return _config(config, beside, None if config else read_config(beside)), tensors
    saved = _load(path)
    state = saved.get(STATE)
    if not isinstance(state, Mapping):
        held = shorten_list((key for key in saved if isinstance(key, str)), 10) or "nothing"
        raise UserError(f"{path}: is no checkpoint of DeepEISNN: no {STATE}; it holds {held}")
    named = {key: value for key, value in state.items() if isinstance(key, str)}
    if wrong := [key for key, value in named.items() if not isinstance(value, Tensor)]:
        raise UserError(f"{path}: {STATE}: not tensors: {shorten_list(wrong)}")
    if config is None and "config" not in saved:
        raise UserError(f"{path}: holds no config; give the run's YAML file with --config")
    return _config(config, path, saved.get("config")), named


def _config(given: Path | Mapping[str, Any] | None, path: Path, found: Any) -> NetworkConfig:
    """Return the configuration that is given, else the one `found` in `path`."""
    if isinstance(given, Path):
        return parse_config(read_config(given), str(given))
    return parse_config(given or found, str(path) if given is None else "config")


def _load(path: Path) -> Mapping[Any, Any]:
    """Return the object in a file of `torch.save`, of tensors and plain values alone."""
    try:
        content = read_bytes(path, LARGEST)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file or folder") from None
    try:
        _check_form(content)
        with torch.serialization.safe_globals(NUMPY), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other pickle protocols than 2
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if not isinstance(saved, Mapping):
            raise ValueError(f"it holds a {type(saved).__name__}, not a mapping")
    except Exception as error:  # a damaged file fails in many ways; all mean the same here
        reason = _reason(error)
        raise UserError(f"{path}: is no checkpoint that can be read safely: {reason}") from None
    return saved


def _check_form(content: bytes) -> None:
    """Raise `ValueError` unless `content` is of `torch.save`, and of a limited size unpacked."""
    if content.startswith(ZIP):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > LARGEST:
            raise ValueError("it is too large when unpacked")
    elif MAGIC not in content[:64]:
        raise ValueError("it is no file of torch.save")


def _reason(error: Exception) -> str:
    """Return why torch does not load a file, without its advice to load the file all the same."""
    text = str(error)
    for pattern in NAMED:
        if found := re.search(pattern, text):
            return f"it holds `{shorten(found[1], 100)}`, which is not data"
    if "Unsupported operand" in text:
        return "its pickle protocol has instructions that torch refuses; save it with protocol 2"
    if "weights_only" in text:
        return "it holds more than data"
    return shorten(error_line(error), 300)
