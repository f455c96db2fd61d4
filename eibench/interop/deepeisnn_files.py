"""DeepEISNN's files: a training checkpoint, or a released folder with safetensors.

Both come from strangers: sizes are limited, and nothing in them is run.
"""

from __future__ import annotations

import io
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
NUMPY: list[Any] = [
    (RECONSTRUCT, "numpy.core.multiarray._reconstruct"),
    (RECONSTRUCT, "numpy._core.multiarray._reconstruct"),
    np.ndarray,
    np.dtype,
    type(np.dtype(np.uint32)),
]
"""Classes in a random state of NumPy, under the names of NumPy 1 and 2."""


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
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > LARGEST:
            raise ValueError("it is too large when unpacked")
        with torch.serialization.safe_globals(NUMPY):
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if not isinstance(saved, Mapping):
            raise ValueError(f"it holds a {type(saved).__name__}, not a mapping")
    except Exception as error:  # a damaged file fails in many ways; all mean the same here
        reason = shorten(error_line(error), 300)
        raise UserError(f"{path}: is no checkpoint that can be read safely: {reason}") from None
    return saved
