"""Errors for arguments out of range and for activity that does not fit a module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HINT = "; a batch without time needs the axis: x.expand(T, *x.shape)"


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise ValueError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def shape_of(x: Tensor) -> str:
    """Return the shape of `x` for a message."""
    return f"shape {list(x.shape)}"


def require_maps(module: nn.Module, x: Tensor) -> None:
    """Raise ValueError unless `x` is [T, B, C, H, W]."""
    if x.dim() != 5:
        kind = type(module).__name__
        raise ValueError(f"{kind} expects [T, B, C, H, W], got {shape_of(x)}{HINT}")


def require_channels(module: nn.Module, x: Tensor, channels: int) -> None:
    """Raise ValueError unless `x` is [T, B, C, ...] with that many channels C."""
    if x.dim() < 3 or x.shape[2] != channels:
        kind = type(module).__name__
        raise ValueError(f"{kind} expects [T, B, {channels}, ...], got {shape_of(x)}{HINT}")


def require_activity(module: nn.Module, x: Tensor, field: tuple[int, ...]) -> None:
    """Raise ValueError or TypeError unless `x` is activity that a receptive `field` (C, ...) reads,
    in the dtype of the parameters, or in another one under autocast."""
    kind = type(module).__name__
    if x.dim() != len(field) + 2 or x.shape[2] != field[0] or not len(x):
        shape = ", ".join(["T", "B", str(field[0]), "H", "W"][: len(field) + 2])
        hint = HINT if x.dim() == len(field) + 1 else ""
        raise ValueError(f"{kind} expects activity [{shape}], T >= 1, got {shape_of(x)}{hint}")
    dtype = next(module.parameters()).dtype
    mixed = x.is_floating_point() and not x.is_meta and torch.is_autocast_enabled(x.device.type)
    if x.dtype != dtype and not mixed:
        raise TypeError(
            f"{kind} computes in {dtype}, got activity in {x.dtype}; convert it with .to({dtype}), "
            "and 8-bit images to [0, 1]"
        )
