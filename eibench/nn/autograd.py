"""Recording and differentiation of operations: tracing, gradients by hand, autocast.

`torch.export`, `torch.compile`, `torch.jit.trace` and `torch.func` follow torch's own operations.
They do not follow functions with a backward pass by hand, branches on values, or the layout in
memory. There the plain equations are computed, with the same values and gradients.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.function import once_differentiable


def tracing() -> bool:
    """Return whether operations are recorded or transformed, so that they must be torch's own."""
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined]
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None
    )


def may_update() -> bool:
    """Return whether a forward pass may change buffers: it runs, or is compiled to run so."""
    return torch.compiler.is_compiling() or not tracing()


def with_gradient_of(value: Tensor, differentiable: Tensor) -> Tensor:
    """Return `value` with the derivative of `differentiable`, of the same shape and finite."""
    return value.detach() + (differentiable - differentiable.detach())


def autocast_disabled(x: Tensor) -> AbstractContextManager[object]:
    """Return a context without autocast on the device of `x`; `meta` has none."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def backward(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a backward pass by hand: without autocast, and not differentiable again."""

    @functools.wraps(function)
    def without_autocast(ctx: Any, *grads: Tensor) -> Any:
        with autocast_disabled(grads[0]):
            return function(ctx, *grads)

    decorated: Callable[..., Any] = once_differentiable(without_autocast)
    return decorated
