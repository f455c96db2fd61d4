"""Tensors that are computed again in the backward pass instead of being kept for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from eibench.nn.autograd import tracing


def recompute_in_backward(
    tensor: Tensor, compute: Callable[[], Tensor], sources: Sequence[Tensor]
) -> AbstractContextManager[object]:
    """Return a context in which operations that would keep `tensor` compute it again when needed.

    It suits a copy that is cheap to make and costly to keep, such as stacked weights.

    Args:
        tensor: not to be kept.
        compute: gives it again, from `sources`.
        sources: must not change until then; the backward pass raises RuntimeError if they did.
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
            return compute()

    return saved_tensors_hooks(pack, unpack)
