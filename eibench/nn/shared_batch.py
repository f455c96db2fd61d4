"""Batches that several processes share: statistics over all of a batch, each holding a part.

Within `shared_batch` every `torch.nn.functional.batch_norm` in training takes mean and variance
over the parts of all processes (SyncBatchNorm), whichever module calls it: torch's, eibench's or a
plugin's. Outside of it nothing changes. With n_r values per channel in process r, N in all,

    mean = sum_r n_r mean_r / N         var = sum_r n_r (var_r + (mean_r - mean)^2) / N

and for y = gamma x^ + beta with gradient g, sums being over all parts,

    dx = gamma / sqrt(var + eps) (g - sum(g) / N - x^ sum(g x^) / N)

The gradients of gamma and beta are sums over the own part, like those of all other parameters.
`torch.nn.SyncBatchNorm` does the same on GPUs alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from eibench.nn import autograd


class BatchProcesses(Protocol):
    """The processes that share batches."""

    rank: int
    size: int

    def total(self, number: int) -> int:
        """Return the sum of a number over all processes."""

    def sum_(self, x: Tensor) -> Tensor:
        """Replace `x` by its sum over all processes; return it."""


_processes: BatchProcesses | None = None


@contextlib.contextmanager
def shared_batch(processes: BatchProcesses | None) -> Iterator[None]:
    """Take batch statistics over all `processes` within the block; None changes nothing."""
    global _processes  # noqa: PLW0603  layers have no other way to hear of it
    if processes is None:
        yield
        return
    before, _processes = _processes, processes
    try:
        with _SharedBatchNorm(processes):
            yield
    finally:
        _processes = before


def batch_total(number: int) -> int:
    """Return a number of samples, summed over the parts of the batch."""
    return number if _processes is None else _processes.total(number)


def batch_mean(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return the mean of `x` over `axes`, among them that of the batch, over all its parts."""
    mean = x.mean(axes)
    if _processes is None:
        return mean
    count = x.numel() // mean.numel()
    sums = torch.cat([mean.double().flatten() * count, mean.new_tensor([count]).double()])
    _processes.sum_(sums)
    return (sums[:-1] / sums[-1]).view_as(mean).to(mean.dtype)


class _SharedBatchNorm(TorchFunctionMode):
    """Context in which batch norms take their statistics over all processes."""

    def __init__(self, processes: BatchProcesses) -> None:
        super().__init__()
        self.processes = processes

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is nn.functional.batch_norm:
            return batch_norm(self.processes, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def batch_norm(
    processes: BatchProcesses,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Compute `torch.nn.functional.batch_norm` of `x` [N, C, ...], a part of a batch."""
    if not training:
        y = nn.functional.batch_norm(
            x, running_mean, running_var, weight, bias, training, momentum, eps
        )
        return y
    with torch.no_grad():
        mean, var, count = _moments(x, processes)
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean.to(running_mean), momentum)
            running_var.lerp_((var * count / (count - 1)).to(running_var), momentum)
        kind = torch.promote_types(x.dtype, torch.float32)
        statistics = mean.to(kind), var.to(kind), count.to(kind)
    out = _Normalize.apply(x, weight, bias, *statistics, eps, processes)
    assert isinstance(out, Tensor)
    return out


def _moments(x: Tensor, processes: BatchProcesses) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and biased variance [C] of all parts, and the number of values, in float64."""
    kind = torch.promote_types(x.dtype, torch.float32)
    var, mean = torch.var_mean(x.to(kind), _axes(x), correction=0)
    channels = len(mean)
    parts = x.new_zeros(processes.size, 2 * channels + 1, dtype=torch.float64)
    parts[processes.rank] = torch.cat([mean, var, mean.new_tensor([x.numel() // channels])])
    processes.sum_(parts)  # each row has one term: the sum is exact
    means, variances, counts = parts.split([channels, channels, 1], 1)
    count = counts.sum()
    total = (means * counts).sum(0) / count
    spread = ((variances + (means - total).square()) * counts).sum(0) / count
    return total, spread, count


class _Normalize(torch.autograd.Function):
    """Batch norm by given statistics, whose gradients are summed over all processes."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        var: Tensor,
        count: Tensor,
        eps: float,
        processes: BatchProcesses,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, (var + eps).rsqrt(), count)
        ctx.processes = processes
        return nn.functional.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)

    @staticmethod
    @autograd.backward
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale, count = ctx.saved_tensors
        shape, axes = (-1, *[1] * (x.dim() - 2)), _axes(x)
        normalized = (x.to(mean.dtype) - mean.view(shape)) * scale.view(shape)
        grad = grads[0].to(mean.dtype)
        own = torch.stack([grad.sum(axes), (grad * normalized).sum(axes)])
        first, second = ctx.processes.sum_(own.clone()) / count
        grad_x = grad - first.view(shape) - normalized * second.view(shape)
        grad_x = grad_x * (scale if weight is None else scale * weight).view(shape)
        grad_bias, grad_weight = own if weight is None else own.to(weight.dtype)
        needs = ctx.needs_input_grad
        return (
            grad_x.to(x.dtype),
            grad_weight if needs[1] else None,
            grad_bias if needs[2] else None,
            *[None] * 5,
        )


def _axes(x: Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.dim()))
