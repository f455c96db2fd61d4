"""Helpers of the comparisons with other libraries: the same inputs through two implementations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from hypothesis import assume
from oracle import lif_forward
from torch import Tensor, nn

T, B, C, H, W = 3, 4, 6, 3, 2
SURROGATES = ("sigmoid", "atan")
BATCH_NORM = {name: name for name in ("weight", "bias", "running_mean", "running_var")}

Forward = Callable[[Tensor], Tensor]


def draw(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers in float64, each of which float32 holds as well."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def activity(seed: int, steps: int = T) -> Tensor:
    """[T, B, C, H, W] whose steps differ in mean and scale."""
    level = torch.arange(1, steps + 1, dtype=torch.float64).view(-1, 1, 1, 1, 1)
    return level * (0.5 + draw(seed, steps, B, C, H, W))


def current(seed: int, tau: float, threshold: float, reset: str, highest: float = 1e9) -> Tensor:
    """A current [6, 40] that drives no potential onto the threshold or above `highest` of it.

    Two sums of the same terms may differ in the last bit, and a spike shows on which side.
    """
    x = (0.5 + draw(seed, 6, 40)) * threshold
    _, u = lif_forward(x.numpy(), tau, threshold, reset)
    assume(np.abs(u - threshold).min() > 1e-9)
    kept = torch.from_numpy((u < highest * threshold).all(axis=0))
    assume(kept.any())
    return x[:, kept]


def value_and_gradient(forward: Forward, x: Tensor) -> list[Tensor]:
    """The output of `forward` and the gradient of `x` under a fixed gradient of the output."""
    x = x.clone().requires_grad_()
    y = forward(x)
    y.backward(draw(99, *y.shape).to(y.dtype))
    assert x.grad is not None
    return [y.detach(), x.grad]


def same(got: list[Tensor], expected: list[Tensor], tolerance: float = 1e-10) -> None:
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=tolerance, atol=tolerance)


def same_layers(
    ours: nn.Module,
    theirs: nn.Module,
    names: Mapping[str, str],
    forward: Forward | None = None,
    scale: float = 1.0,
    steps: int = T,
) -> None:
    """Both agree as made, in training under random parameters, then in evaluation.

    Args:
        ours: a layer of eibench, [T, ...] to [T, ...].
        theirs: the other library's.
        names: each parameter and buffer of ours with its name in theirs; `{t}` stands for steps.
        forward: how theirs is called, if not as ours.
        scale: their weight divided by ours.
        steps: T of the activity.
    """
    ours.double()
    theirs.double()
    call = forward or theirs
    same(value_and_gradient(ours, activity(0, steps)), value_and_gradient(call, activity(0, steps)))
    assert set(names) == {name for name in ours.state_dict() if "num_batches" not in name}
    pairs = [
        (_rows(ours, mine), _rows(theirs, other), scale if mine == "weight" else 1.0)
        for mine, other in names.items()
    ]
    for seed, (mine, other, factor) in enumerate(pairs):
        _set_parameters(mine, other, factor, seed)
    for seed, training in ((1, True), (2, True), (3, False)):
        ours.train(training).zero_grad()
        theirs.train(training).zero_grad()
        x = activity(seed, steps)
        same(value_and_gradient(ours, x), value_and_gradient(call, x))
        for mine, other, factor in pairs:
            if isinstance(mine[0], nn.Parameter):
                same([_gradient(mine)], [factor * _gradient(other)])
            else:
                same([mine[0]], [torch.stack(other).squeeze(0)])


def _rows(module: nn.Module, name: str) -> list[Tensor]:
    """The parameter or buffer `name`, or those of all steps."""
    values = module.state_dict(keep_vars=True)
    return [values[name.format(t=t)] for t in range(T)] if "{t}" in name else [values[name]]


def _gradient(rows: list[Tensor]) -> Tensor:
    """Gradients of `rows` as one tensor [T, C], of which T = 1 goes without saying."""
    return torch.stack([row.grad for row in rows]).squeeze(0)


@torch.no_grad()
def _set_parameters(mine: list[Tensor], other: list[Tensor], factor: float, seed: int) -> None:
    """Random values for a parameter of ours, and `factor` times them for theirs."""
    if isinstance(mine[0], nn.Parameter):
        values = draw(seed, *mine[0].shape)
        mine[0].copy_(values)
        for value, row in zip(other, values.view(len(other), -1), strict=True):
            value.copy_(factor * row)
