"""Batch normalisation for activity over time, [T, B, C, H, W].

    y = gamma * (x - mean) / sqrt(var + eps) + beta

They differ in what mean and var are taken over: all of T, B, H, W (`BatchNorm2d`), B, H, W at each
step (`BatchNormPerStep2d`), and in the scale before gamma (`TDBatchNorm2d`). In evaluation each
uses running statistics (momentum 0.1, unbiased variance, PyTorch's rule).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eibench.nn.time import merge_time, split_time


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm with joint statistics over T, B, H and W: the baseline of the E-I paper."""

    def forward(self, x: Tensor) -> Tensor:
        return split_time(super().forward(merge_time(x)), x)

    def once(self, x: Tensor, times: int) -> Tensor:
        """One [1, B, C, H, W] of `times` equal steps: the statistics of all of them are its own."""
        return as_of_many(self, x, times)


class BatchNormPerStep2d(nn.BatchNorm2d):
    """Batch norm at each time step alone, one set of parameters and running statistics for all.

    The running statistics are updated T times per forward pass, and evaluation uses them at every
    step, so steps whose statistics differ are treated differently in training and evaluation.
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([super(BatchNormPerStep2d, self).forward(step) for step in x])


class TDBatchNorm2d(nn.BatchNorm2d):
    """Threshold-dependent batch norm: joint statistics, scaled by alpha * threshold.

    y = gamma * alpha * threshold * (x - mean) / sqrt(var + eps) + beta, gamma = 1, beta = 0 at the
    start. With alpha * threshold = 1 it is `BatchNorm2d` to the bit.

    Args:
        num_features: channels C.
        threshold: firing threshold of the neuron that follows.
        alpha: 1 in a chain, 1/sqrt(n) where the currents of n branches are summed.

    Source: Zheng et al., "Going Deeper With Directly-Trained Larger Spiking Neural Networks"
    (AAAI 2021), equations 4 to 6.
    """

    def __init__(self, num_features: int, threshold: float = 1.0, alpha: float = 1.0) -> None:
        super().__init__(num_features)
        self.scale = alpha * threshold

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        y = nn.functional.batch_norm(
            merge_time(x),
            self.running_mean,
            self.running_var,
            self.weight * self.scale,
            self.bias,
            self.training,
            0.1 if self.momentum is None else self.momentum,
            self.eps,
        )
        return split_time(y, x)

    def once(self, x: Tensor, times: int) -> Tensor:
        """As `BatchNorm2d.once`."""
        return as_of_many(self, x, times)


def as_of_many(norm: nn.BatchNorm2d, x: Tensor, times: int) -> Tensor:
    """`norm` of `x` [1, B, C, H, W], which learns what it would learn from `times` copies of it.

    Copies leave mean and variance as they are, but not the factor n / (n - 1) of the unbiased
    variance that goes into the running one.
    """
    running, n = norm.running_var, x.numel() // x.shape[2]
    y: Tensor
    if not norm.training or running is None or norm.num_batches_tracked is None:
        y = norm(x)
        return y
    if n == 1:  # has no unbiased variance, and its copies have
        y = norm(x.expand(times, *x.shape[1:]))
        return y[:1]
    norm.running_var = running.clone()  # what the backward pass holds must not change
    try:
        y = norm(x)
        momentum = 1 / int(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        factor = times * (n - 1) / (times * n - 1)
        running.mul_(1 - momentum).lerp_(norm.running_var, factor)
    finally:
        norm.running_var = running
    return y
