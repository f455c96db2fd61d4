"""Saving the recipe of a tensor for the backward pass in place of the tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from eibench.nn.tracing import tracing


def recompute_in_backward(
    tensor: Tensor, make: Callable[[], Tensor], sources: Sequence[Tensor]
) -> AbstractContextManager[object]:
    """While entered, an operation that would keep `tensor` makes it again on the way back.

    For a copy that is cheap to make and dear to keep, such as of weights put side by side.

    Args:
        tensor: what is not to be kept.
        make: gives it again, from `sources`.
        sources: what must not change until then; the backward pass raises RuntimeError if it did.
    """
    if not torch.is_grad_enabled() or tracing():  # nothing is kept
        return nullcontext()
    place, shape, strides = tensor.data_ptr(), tensor.shape, tensor.stride()
    versions = [source._version for source in sources]

    def pack(saved: Tensor) -> Any:
        same = saved.data_ptr() == place and saved.shape == shape and saved.stride() == strides
        return None if same else saved

    def unpack(kept: Any) -> Tensor:
        if kept is not None:
            return kept  # type: ignore[no-any-return]
        if [source._version for source in sources] != versions:
            raise RuntimeError("weights were changed in place between forward and backward pass")
        with torch.no_grad():
            return make()

    return saved_tensors_hooks(pack, unpack)
