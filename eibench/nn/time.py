"""Time as one more batch axis, for everything that has no memory between steps.

A static image is the same input at every step. Made by `expand`, its steps share their memory,
which can be seen (`is_repeated`). A part without memory between steps then gives the same at every
step, and is computed once: T times less work for the first layer of a network. Between the parts of
a `Chain` or a `Current` the result stays one step. The result that leaves them has memory of its
own for each step, so that it may be written to.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from eibench.nn.autograd import tracing
from eibench.nn.checks import shape_of

MEMORYLESS = (nn.Conv2d, nn.Linear, nn.AvgPool2d)
"""Modules that do the same to equal samples and keep no count of them; their subclasses may not."""
SMALL_MAP = 4
"""Positions of a map up to which convolutions on a CPU are faster in torch's default order."""
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def merge_time(x: Tensor) -> Tensor:
    """Return [T, B, ...] as one batch of samples [T * B, ...].

    Raises:
        ValueError: there are no such axes, or no time steps.
    """
    if x.dim() < 3 or not len(x):
        raise ValueError(f"expected activity [T, B, ...] of at least one step, got {shape_of(x)}")
    return x.flatten(0, 1)


def split_time(samples: Tensor, like: Tensor) -> Tensor:
    """Return [T * B, ...] as [T, B, ...], with T and B of `like`."""
    return samples.view(*like.shape[:2], *samples.shape[1:])


# --- Equal steps ---------------------------------------------------------------------------------


def is_repeated(x: Tensor) -> bool:
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


def repeat_step(x: Tensor, times: int) -> Tensor:
    """Return `x` [1, ...] at each of `times` steps, without a copy: to be read, not written."""
    out = _Repeat.apply(x, times)
    assert isinstance(out, Tensor)
    return out


def copy_step(x: Tensor, times: int) -> Tensor:
    """Return `x` [1, B, ...] at each of `times` steps [T, B, ...], each in memory of its own."""
    return torch.cat([x[0]] * times).view(times, *x.shape[1:])


def computes_once(part: nn.Module) -> bool:
    """Return whether `part` may compute one of several equal steps in place of all.

    Such a part has a method `once(x, times)`, from one [1, B, ...] of `times` equal steps to one of
    its results, made for its own `forward`. A subclass with another `forward` does without, as does
    a part with hooks. A part that depends on others has a property `memoryless`.
    """
    kind = type(part)
    if not callable(getattr(part, "once", None)) or is_hooked(part):
        return False
    if _definition_depth(kind, "once") > _definition_depth(kind, "forward"):
        return False
    memoryless: bool = getattr(part, "memoryless", True)
    return memoryless


def is_hooked(module: nn.Module) -> bool:
    """Return whether a hook waits for a call of `module`, or its `forward` was replaced.

    Hooks are its own and those of every module (`torch.nn.modules.module.register_module_*`). Old
    style pruning, weight norm and spectral norm are hooks too.
    """
    own = module.__dict__  # torch 2.6 cannot trace `vars`
    if "forward" in own or any(getattr(module, kind) for kind in HOOKS):
        return True
    return any(getattr(torch_module, f"_global{kind}") for kind in HOOKS)


def _definition_depth(kind: type[nn.Module], name: str) -> int:
    """Return the number of bases between `kind` and the class that defines the attribute `name`."""
    bases = kind.__mro__
    return next((i for i, base in enumerate(bases) if name in vars(base)), len(bases))


def apply_part(part: Any, x: Any, times: int, reads: bool = False) -> tuple[Any, int]:
    """Return `part(x)`, and the number of equal steps that the result stands for.

    Args:
        part: the next module.
        x: activity [T, B, ...], or [1, B, ...] of `times` equal steps, where that is not 0.
        times: the number of equal steps, or 0.
        reads: whether `part` only reads its input, and allocates its result.
    """
    if not times and isinstance(x, Tensor) and is_repeated(x) and computes_once(part):
        x, times = x[:1], len(x)
    if not times:
        return part(x), 0
    if computes_once(part):
        return part.once(x, times), times
    return part(repeat_step(x, times) if reads else copy_step(x, times)), 0


# --- Order in memory -----------------------------------------------------------------------------


def in_fast_order(samples: Tensor, reader: nn.Module) -> Tensor:
    """Return samples [N, C, H, W] in the memory order that suits their `reader`; else unchanged.

    That is channels_last, except for small maps on a CPU and where it is not safe. The order of a
    convolution's input is that of all that follows from it.
    """
    if samples.dim() != 4 or samples.is_meta or tracing():
        return samples
    default = samples.device.type == "cpu" and (
        samples.shape[2] * samples.shape[3] <= SMALL_MAP
        or _overruns_memory(reader, samples.shape[1])
    )
    order = torch.contiguous_format if default else torch.channels_last
    return samples.contiguous(memory_format=order)


def _overruns_memory(reader: nn.Module, channels: int) -> bool:
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


# --- Modules -------------------------------------------------------------------------------------


class TimeDistributed(nn.Module):
    """Apply `module` ([N, ...] to [N, ...]) to each step of [T, B, ...], as one batch of T * B."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        if is_repeated(x) and self.memoryless:
            return copy_step(self.once(x[:1], len(x)), len(x))
        return self.once(x, 1)

    def once(self, x: Tensor, times: int) -> Tensor:
        """Compute one [1, B, ...] of `times` equal steps."""
        return split_time(self.module(in_fast_order(merge_time(x), self.module)), x)

    @property
    def memoryless(self) -> bool:
        """Return whether equal steps give equal results."""
        return type(self.module) in MEMORYLESS and not is_hooked(self.module)


class Current(nn.Sequential):
    """Synapse and normalisation, activity [T, B, ...] to current [T, B, ...].

    Of steps that are equal one is computed, up to the first part that needs all of them.
    """

    def forward(self, x: Any) -> Any:
        times = 0
        for part in self:
            x, times = apply_part(part, x, times)
        return copy_step(x, times) if times else x

    def once(self, x: Tensor, times: int) -> Tensor:
        """Compute one [1, B, ...] of `times` equal steps, where every part can."""
        part: Any
        for part in self:
            x = part.once(x, times)
        return x

    @property
    def memoryless(self) -> bool:
        """Return whether every part may compute one of several equal steps."""
        return all(computes_once(part) for part in self)
