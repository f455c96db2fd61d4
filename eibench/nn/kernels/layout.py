"""Order of tensors in memory, and passes over them in chunks that stay in the cache.

The elementwise work of a spiking layer takes many operations on few numbers each. Done for a whole
tensor at a time, each of them goes through main memory; done for one chunk after another, only the
first read and the last write do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK = 2**17
"""Numbers of a chunk for each thread: many for one call, few for a core's cache."""


class TimeMajor:
    """A view of tensors shaped like `x` [T, ...] as [T, M], in the order in which `x` lies.

    A step that is repeated without a copy (`expand`) stays one; a tensor whose steps are not
    contiguous is copied.
    """

    def __init__(self, x: Tensor) -> None:
        inner = sorted(range(1, x.dim()), key=x.stride, reverse=True)
        self.order = [0, *inner]
        self.shape = [x.shape[d] for d in self.order]
        self.back = sorted(range(x.dim()), key=self.order.__getitem__)

    def empty(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return an unfilled tensor with the shape and memory order of x; no view of another."""
        shape = [self.shape[d] for d in self.back]
        strides = [math.prod(self.shape[d + 1 :]) for d in self.back]
        return torch.empty_strided(shape, strides, dtype=dtype, device=device)

    def flatten(self, x: Tensor) -> Tensor:
        """Return [T, ...] as [T, M]."""
        return x.permute(self.order).reshape(x.shape[0], -1)

    def restore(self, flat: Tensor) -> Tensor:
        """Return [T, M] as [T, ...]."""
        return flat.view(self.shape).permute(self.back)


def chunks(x: Tensor, dim: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` a thread that cover axis `dim` of `x`; one except on a CPU."""
    total = x.shape[dim]
    size = size * torch.get_num_threads() if x.device.type == "cpu" else max(total, 1)
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def rows(x: Tensor) -> Tensor:
    """Return samples [N, C, ...] as [N * positions, C]; no copy if channels_last or without space.

    A product over channels is then one of matrices.
    """
    return x.movedim(1, -1).reshape(-1, x.shape[1])


def empty_channels_last(like: Tensor, samples: int, channels: int, dtype: torch.dtype) -> Tensor:
    """Return an unfilled [samples, channels, ...] in channels_last order, in the space of `like`.

    It is no view of another tensor, so that it may be changed in place.
    """
    size = like.shape[2:]
    inner = [channels * math.prod(size[i + 1 :]) for i in range(len(size))]
    strides = (channels * math.prod(size), 1, *inner)
    return torch.empty_strided((samples, channels, *size), strides, dtype=dtype, device=like.device)
