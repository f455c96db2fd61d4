"""Time as one more batch axis: for everything that has no memory between steps.

A static image is the same input at every step. Made by `expand`, the steps share their memory,
which shows; what has no memory then gives the same at every step too and is computed once, for the
first layer of a network that is T times less work. The result is again such a repetition.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

ALIKE = (nn.Conv2d, nn.Linear, nn.AvgPool2d)
"""Modules that do the same to equal samples and keep no count of them."""
FEW = 4
"""Positions of a map up to which convolutions on a CPU are faster with channels apart."""


def merge_time(x: Tensor) -> Tensor:
    """[T, B, ...] as one batch of samples [T * B, ...]."""
    return x.flatten(0, 1)


def split_time(samples: Tensor, like: Tensor) -> Tensor:
    """[T * B, ...] as [T, B, ...], with T and B of `like`."""
    return samples.view(*like.shape[:2], *samples.shape[1:])


def repeats(x: Tensor) -> bool:
    """Whether all steps of `x` [T, ...] are one and the same memory."""
    return x.shape[0] > 1 and x.stride(0) == 0


class _Repeat(torch.autograd.Function):
    """`expand` whose gradient is summed over the steps without a change of memory order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, times: int) -> Tensor:
        return x.expand(times, *x.shape[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        first, *others = grads[0].split(1)
        total = first.clone() if not others else first + others[0]
        for step in others[1:]:
            total = total + step if torch.is_grad_enabled() else total.add_(step)
        return total, None


def repeat(x: Tensor, times: int) -> Tensor:
    """`x` [1, ...] at each of `times` steps [T, ...], without a copy."""
    out = _Repeat.apply(x, times)
    assert isinstance(out, Tensor)
    return out


def laid_out(samples: Tensor) -> Tensor:
    """Samples [N, C, H, W] in the memory order that suits a convolution; others as they are.

    The channels of a position lie side by side (channels_last), but for small maps on a CPU. The
    order of a convolution's input is that of all that follows from it.
    """
    if samples.dim() != 4 or samples.is_meta:
        return samples
    small = samples.device.type == "cpu" and samples.shape[2] * samples.shape[3] <= FEW
    order = torch.contiguous_format if small else torch.channels_last
    return samples.contiguous(memory_format=order)


class TimeDistributed(nn.Module):
    """Apply `module` ([N, ...] to [N, ...]) to each step of [T, B, ...], as one batch of T * B."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        if repeats(x) and isinstance(self.module, ALIKE):
            return repeat(self.once(x[:1], len(x)), len(x))
        return self.once(x, 1)

    def once(self, x: Tensor, times: int) -> Tensor:
        """The same for one of `times` equal steps."""
        return split_time(self.module(laid_out(merge_time(x))), x)


class Current(nn.Sequential):
    """Synapse and normalisation, activity [T, B, ...] to current [T, B, ...].

    A part that has a method `once(x, times)`, from one [1, B, ...] of `times` equal steps to one of
    its results, is spared the others when all parts have it.
    """

    def forward(self, x: Tensor) -> Tensor:
        once: list[Any] = [getattr(part, "once", None) for part in self]
        if not repeats(x) or None in once:
            out: Tensor = super().forward(x)
            return out
        times, y = len(x), x[:1]
        for part in once:
            y = part(y, times)
        return repeat(y, times)
