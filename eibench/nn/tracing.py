"""Where operations are recorded or transformed rather than computed.

`torch.export`, `torch.compile`, `torch.jit.trace` and `torch.func` follow torch's own operations.
They do not follow functions with a backward pass by hand, branches on values, or the layout in
memory. There the plain equations are computed, with the same values and gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad


def tracing() -> bool:
    """Return whether plain operations have to be used, which others can follow."""
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined]
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None
    )


def backward_of(value: Tensor, differentiable: Tensor) -> Tensor:
    """Return `value` with the derivative of `differentiable`, of the same shape and finite."""
    return value.detach() + (differentiable - differentiable.detach())
