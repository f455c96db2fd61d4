"""Batch and group normalisation for activity over time, [T, B, C, H, W].

    y = gamma * (x - mean) / sqrt(var + eps) + beta

Batch norms take mean and var over all of T, B, H, W (`BatchNorm2d`) or B, H, W at each step
(`BatchNormPerStep2d`), or scale before gamma (`TDBatchNorm2d`). In evaluation each uses running
statistics (momentum 0.1, unbiased variance, PyTorch's rule). A momentum of None makes
them cumulative averages, as in torch, so that `torch.optim.swa_utils.update_bn` serves all of them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from eibench.nn.checks import require_maps
from eibench.nn.shared_batch import batch_total
from eibench.nn.time import merge_time, split_time


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm with joint statistics over T, B, H and W: the baseline of the E-I paper."""

    def forward(self, x: Tensor) -> Tensor:
        require_maps(self, x)
        return split_time(super().forward(merge_time(x)), x)

    def once(self, x: Tensor, times: int) -> Tensor:
        """Compute one [1, B, C, H, W] of `times` equal steps, whose statistics are its own."""
        return normalize_once(self, x, times)


class BatchNormPerStep2d(nn.BatchNorm2d):
    """Batch norm at each time step alone, one set of parameters and running statistics for all.

    The running statistics are updated T times per forward pass, and evaluation uses them at every
    step, so steps whose statistics differ are treated differently in training and evaluation.
    """

    def forward(self, x: Tensor) -> Tensor:
        require_maps(self, x)
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
        require_maps(self, x)
        samples, scale = merge_time(x), self.weight * self.scale
        y = normalize(self, samples, self.running_mean, self.running_var, scale, self.bias)
        return split_time(y, x)

    def once(self, x: Tensor, times: int) -> Tensor:
        """Compute one of `times` equal steps, as `BatchNorm2d.once`."""
        return normalize_once(self, x, times)


class GroupNorm2d(nn.GroupNorm):
    """Group norm of [T, B, C, H, W], each sample and step alone: no batch, no running statistics.

    Mean and variance are over H, W and a group of channels, gamma and beta for each channel.
    Training and evaluation are the same. A silent sample has variance 0 and gives beta; a nearly
    silent one is lifted by up to 1 / sqrt(eps) = 316.

    Sources: Wu and He, "Group Normalization" (ECCV 2018); Ba et al., "Layer Normalization" (2016).

    Args:
        num_features: channels C.
        groups: groups wished for; the largest number up to it that divides C is used. One group
            is layer norm over C, H and W.
        scale: where gamma starts, the threshold of the neuron that follows.
    """

    def __init__(self, num_features: int, groups: int, scale: float = 1.0) -> None:
        if groups < 1:
            raise ValueError(f"groups must be at least 1, not {groups}")
        fitting = next(n for n in range(min(groups, num_features), 0, -1) if num_features % n == 0)
        super().__init__(fitting, num_features)
        nn.init.constant_(self.weight, scale)

    def forward(self, x: Tensor) -> Tensor:
        require_maps(self, x)
        return split_time(super().forward(merge_time(x)), x)

    def once(self, x: Tensor, times: int) -> Tensor:
        """Compute one [1, B, C, H, W] of `times` equal steps."""
        return self.forward(x)


def normalize(
    norm: _BatchNorm,
    samples: Tensor,
    mean: Tensor | None,
    var: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    first: bool = True,
) -> Tensor:
    """Return `samples` [N, C, H, W] as `norm` normalises them, with the tensors given for its own.

    Args:
        norm: has mode, momentum, eps and the number of batches so far.
        samples: activity.
        mean: running means [C], updated in training as torch does.
        var: running variances [C], likewise.
        weight: gamma [C].
        bias: beta [C].
        first: whether a batch begins, which then counts.
    """
    factor = 0.0 if norm.momentum is None else norm.momentum
    if norm.training and norm.num_batches_tracked is not None:
        if first:
            norm.num_batches_tracked.add_(1)
        if norm.momentum is None:
            factor = 1.0 / float(norm.num_batches_tracked)
    of_batch = norm.training or mean is None
    return nn.functional.batch_norm(samples, mean, var, weight, bias, of_batch, factor, norm.eps)


def normalize_once(norm: nn.BatchNorm2d, x: Tensor, times: int) -> Tensor:
    """Return `norm(x)` for `x` [1, B, C, H, W]; update statistics as `times` copies of it would.

    Copies leave mean and variance as they are, but not the factor n / (n - 1) of the unbiased
    variance that goes into the running one.
    """
    running = norm.running_var
    y: Tensor
    if not norm.training or running is None or norm.num_batches_tracked is None:
        y = norm(x)
        return y
    n = batch_total(x.numel() // x.shape[2])
    if n == 1:  # has no unbiased variance, and its copies have
        y = norm(x.expand(times, *x.shape[1:]))
        return y[:1]
    norm.running_var = running.clone()  # the backward pass holds the old one
    try:
        y = norm(x)
        momentum = 1 / int(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        factor = times * (n - 1) / (times * n - 1)
        running.mul_(1 - momentum).lerp_(norm.running_var, factor)
    finally:
        norm.running_var = running
    return y
