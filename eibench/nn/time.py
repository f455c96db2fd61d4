"""`TimeDistributed`: any module for single images, applied to every step of a sequence."""

from __future__ import annotations

from torch import Tensor, nn


class TimeDistributed(nn.Module):
    """Apply `module` ([N, ...] to [N, ...]) to each step of [T, B, ...], as one batch of T * B."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.module(x.flatten(0, 1))
        return out.unflatten(0, x.shape[:2])
