"""Time as one more batch axis: for everything that has no memory between steps."""

from __future__ import annotations

from torch import Tensor, nn


def merge_time(x: Tensor) -> Tensor:
    """[T, B, ...] as one batch of samples [T * B, ...]."""
    return x.flatten(0, 1)


def split_time(samples: Tensor, like: Tensor) -> Tensor:
    """[T * B, ...] as [T, B, ...], with T and B of `like`."""
    return samples.view(*like.shape[:2], *samples.shape[1:])


class TimeDistributed(nn.Module):
    """Apply `module` ([N, ...] to [N, ...]) to each step of [T, B, ...], as one batch of T * B."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return split_time(self.module(merge_time(x)), x)
