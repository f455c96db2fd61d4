"""Where autocast must not reach: what rounding would hurt stays in the precision it came in."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def autocast_disabled(x: Tensor) -> AbstractContextManager[object]:
    """Autocast off on the device of `x`; `meta` has none."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def backward(function: Callable[..., Any]) -> Callable[..., Any]:
    """A backward pass by hand, not differentiable again: autocast does not reach it, whether or not
    it is on where gradients are asked for."""

    @functools.wraps(function)
    def in_its_precision(ctx: Any, *grads: Tensor) -> Any:
        with autocast_disabled(grads[0]):
            return function(ctx, *grads)

    decorated: Callable[..., Any] = once_differentiable(in_its_precision)
    return decorated
