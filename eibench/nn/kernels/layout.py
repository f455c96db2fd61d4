"""Where a tensor lies in memory: what lets a kernel pass over it in pieces that stay in the cache.

The elementwise work of a spiking layer takes many operations on few numbers each. Done for a whole
tensor at a time, each of them goes through main memory; done for one piece after another, only the
first read and the last write do. Pieces hold about `PIECE` numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

PIECE = 2**17
"""Numbers of a piece for each thread: many for one call, few for a core's cache."""


class TimeMajor:
    """How tensors shaped like `x` [T, ...] are seen as [T, M], in the order in which `x` lies.

    A step that is repeated without a copy (`expand`) stays one; a tensor whose steps do not lie
    side by side is copied.
    """

    def __init__(self, x: Tensor) -> None:
        inner = sorted(range(1, x.dim()), key=x.stride, reverse=True)
        self.order = [0, *inner]
        self.shape = [x.shape[d] for d in self.order]
        self.back = sorted(range(x.dim()), key=self.order.__getitem__)

    def empty(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """An unfilled tensor of the shape of x, which lies as x does; no view of another."""
        shape = [self.shape[d] for d in self.back]
        strides = [math.prod(self.shape[d + 1 :]) for d in self.back]
        return torch.empty_strided(shape, strides, dtype=dtype, device=device)

    def flatten(self, x: Tensor) -> Tensor:
        """[T, ...] as [T, M]."""
        return x.permute(self.order).reshape(x.shape[0], -1)

    def restore(self, flat: Tensor) -> Tensor:
        """[T, M] as [T, ...]."""
        return flat.view(self.shape).permute(self.back)


def pieces(x: Tensor, dim: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` a thread that cover axis `dim` of `x`; one away from the CPU."""
    total = x.shape[dim]
    size = size * torch.get_num_threads() if x.device.type == "cpu" else max(total, 1)
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def rows(x: Tensor) -> Tensor:
    """Samples [N, C, ...] as [N * positions, C]; no copy of what is channels_last, or has no space.

    The channels of a position stand side by side, which makes a product over channels one of
    matrices.
    """
    return x.movedim(1, -1).reshape(-1, x.shape[1])
