"""Time as one more batch axis: for everything that has no memory between steps.

A static image is the same input at every step. Made by `expand`, the steps share their memory,
which shows; what has no memory then gives the same at every step too and is computed once, for the
first layer of a network that is T times less work. Between the parts of a `Chain` or a `Current`
the result stays one step. What leaves them has memory of its own for each step, so that it may be
written to.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from eibench.nn.checks import shape_of
from eibench.nn.hooks import made_in, watched
from eibench.nn.tracing import tracing

ALIKE = (nn.Conv2d, nn.Linear, nn.AvgPool2d)
"""Modules that do the same to equal samples and keep no count of them; their subclasses may not."""
FEW = 4
"""Positions of a map up to which convolutions on a CPU are faster with channels apart."""


def merge_time(x: Tensor) -> Tensor:
    """[T, B, ...] as one batch of samples [T * B, ...].

    Raises:
        ValueError: there are no such axes, or no time steps.
    """
    if x.dim() < 3 or not len(x):
        raise ValueError(f"expected activity [T, B, ...] of at least one step, got {shape_of(x)}")
    return x.flatten(0, 1)


def split_time(samples: Tensor, like: Tensor) -> Tensor:
    """[T * B, ...] as [T, B, ...], with T and B of `like`."""
    return samples.view(*like.shape[:2], *samples.shape[1:])


def repeats(x: Tensor) -> bool:
    """Return whether all steps of `x` [T, ...] are one and the same memory.

    Never while operations are recorded: the record has to serve other inputs too.
    """
    return x.dim() > 0 and x.shape[0] > 1 and x.stride(0) == 0 and not tracing()


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
    """`x` [1, ...] at each of `times` steps [T, ...], without a copy: to be read, not written."""
    out = _Repeat.apply(x, times)
    assert isinstance(out, Tensor)
    return out


def copies(x: Tensor, times: int) -> Tensor:
    """Return `x` [1, B, ...] at each of `times` steps [T, B, ...], each in memory of its own."""
    return torch.cat([x[0]] * times).view(times, *x.shape[1:])


def spares(part: nn.Module) -> bool:
    """Return whether `part` may compute one of several equal steps in place of all.

    Such a part has a method `once(x, times)`, from one [1, B, ...] of `times` equal steps to one of
    its results, made for its own `forward`. A subclass with another `forward` does without, as
    does a part that hooks wait for. A part that depends on others says `alike`.
    """
    kind = type(part)
    if not callable(getattr(part, "once", None)) or watched(part):
        return False
    if made_in(kind, "once") > made_in(kind, "forward"):
        return False
    alike: bool = getattr(part, "alike", True)
    return alike


def laid_out(samples: Tensor, reader: nn.Module) -> Tensor:
    """Samples [N, C, H, W] in the memory order that suits their `reader`; others as they are.

    The channels of a position lie side by side (channels_last), but for small maps on a CPU and
    where that is not safe. The order of a convolution's input is that of all that follows from it.
    """
    if samples.dim() != 4 or samples.is_meta or tracing():
        return samples
    apart = samples.device.type == "cpu" and (
        samples.shape[2] * samples.shape[3] <= FEW or _overruns(reader, samples.shape[1])
    )
    order = torch.contiguous_format if apart else torch.channels_last
    return samples.contiguous(memory_format=order)


def _overruns(reader: nn.Module, channels: int) -> bool:
    """Return whether torch may write beyond its memory for the gradient of the reader's weights.

    Seen in torch 2.14.1 on an x86 CPU with AVX2 alone: convolutions of 1x1 with a stride over fewer
    than 8 channels, in channels_last, end in "double free or corruption".
    """
    if channels >= 8:
        return False
    weight = getattr(reader, "weight_ee", None)
    weight = getattr(reader, "weight", None) if weight is None else weight
    if not isinstance(weight, Tensor) or weight.shape[2:] != (1, 1):
        return False
    return getattr(reader, "stride", 1) not in (1, (1, 1))


class TimeDistributed(nn.Module):
    """Apply `module` ([N, ...] to [N, ...]) to each step of [T, B, ...], as one batch of T * B."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        if repeats(x) and self.alike:
            return copies(self.once(x[:1], len(x)), len(x))
        return self.once(x, 1)

    def once(self, x: Tensor, times: int) -> Tensor:
        """The same for one of `times` equal steps."""
        return split_time(self.module(laid_out(merge_time(x), self.module)), x)

    @property
    def alike(self) -> bool:
        """Whether equal steps give equal results."""
        return type(self.module) in ALIKE and not watched(self.module)


class Current(nn.Sequential):
    """Synapse and normalisation, activity [T, B, ...] to current [T, B, ...].

    Of steps that are equal one is computed, up to the first part that does not spare the others.
    """

    def forward(self, x: Any) -> Any:
        times = 0
        for part in self:
            x, times = through(part, x, times)
        return copies(x, times) if times else x

    def once(self, x: Tensor, times: int) -> Tensor:
        """The same for one of `times` equal steps, where every part can."""
        part: Any
        for part in self:
            x = part.once(x, times)
        return x

    @property
    def alike(self) -> bool:
        """Whether every part spares equal steps."""
        return all(spares(part) for part in self)


def through(part: Any, x: Any, times: int, reads: bool = False) -> tuple[Any, int]:
    """Return `x` through `part`, and how many equal steps the result stands for.

    Args:
        part: the next module.
        x: activity [T, B, ...], or [1, B, ...] of `times` equal steps, where that is not 0.
        times: the number of equal steps, or 0.
        reads: whether `part` reads its input alone, and makes its result anew.
    """
    if not times and isinstance(x, Tensor) and repeats(x) and spares(part):
        x, times = x[:1], len(x)
    if not times:
        return part(x), 0
    if spares(part):
        return part.once(x, times), times
    return part(repeat(x, times) if reads else copies(x, times)), 0
