"""`AvgPool2d`: average pooling that keeps nothing for the backward pass.

torch's own saves its input, the spikes of a whole layer, to read their shape.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from eibench.nn.autograd import tracing


class _AvgPool(torch.autograd.Function):
    """Average over k x k squares; each pixel of a square gets 1/k^2 of its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, k: int) -> Tensor:
        ctx.k, ctx.shape = k, x.shape
        ctx.channels_last = x.is_contiguous(memory_format=torch.channels_last)
        return nn.functional.avg_pool2d(x, k)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        k, (grad,) = ctx.k, grads
        order = torch.channels_last if ctx.channels_last else torch.contiguous_format
        out = torch.empty(ctx.shape, dtype=grad.dtype, device=grad.device, memory_format=order)
        if ctx.shape[2] % k or ctx.shape[3] % k:
            out.zero_()  # pixels beyond the last whole square
        height, width = grad.shape[2:]
        whole = out[:, :, : height * k, : width * k]
        squares = whole.unflatten(2, (height, k)).unflatten(4, (width, k))
        squares.copy_((grad / k**2)[:, :, :, None, :, None].expand_as(squares))
        return out, None


class AvgPool2d(nn.AvgPool2d):
    """Average pooling of samples [N, C, H, W] over k x k squares that do not overlap."""

    def __init__(self, kernel_size: int) -> None:
        super().__init__(kernel_size)
        self.size = kernel_size

    def forward(self, x: Tensor) -> Tensor:
        if tracing():
            return nn.functional.avg_pool2d(x, self.size)
        out = _AvgPool.apply(x, self.size)
        assert isinstance(out, Tensor)
        return out
