"""Normalisation of each sample at each step alone: no batch, no running statistics, causal.

    y = gamma (x - mean) / sqrt(var + eps) + beta

with mean and variance over H, W and a group of channels, gamma and beta for each channel.
Training and evaluation are the same. A silent sample has variance 0 and gives beta; a nearly
silent one is lifted by up to 1 / sqrt(eps) = 316.

Sources: Wu and He, "Group Normalization" (ECCV 2018); Ba et al., "Layer Normalization" (2016).
"""

from __future__ import annotations

from torch import Tensor, nn

from eibench.nn.checks import require_maps
from eibench.nn.time import merge_time, split_time


class GroupNorm2d(nn.GroupNorm):
    """Group norm of [T, B, C, H, W], each sample and step alone.

    Args:
        num_features: channels C.
        groups: groups wished for; the largest number up to it that divides C is used. One group
            is layer norm over C, H and W.
        scale: where gamma starts, the threshold of the neuron that follows.
    """

    def __init__(self, num_features: int, groups: int, scale: float = 1.0) -> None:
        fitting = next(n for n in range(min(groups, num_features), 0, -1) if num_features % n == 0)
        super().__init__(fitting, num_features)
        nn.init.constant_(self.weight, scale)

    def forward(self, x: Tensor) -> Tensor:
        require_maps(self, x)
        return split_time(super().forward(merge_time(x)), x)

    def once(self, x: Tensor, times: int) -> Tensor:
        """One [1, B, C, H, W] of `times` equal steps."""
        return self.forward(x)
