"""`KWinners`: lateral inhibition as a competition, k winners take all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eibench.nn.checks import require_channels


class KWinners(nn.Module):
    """Keep the k largest currents of the channels at each position and step, set others to zero.

    Current [T, B, C, H, W] to the same shape, k = max(1, round(share * C)); halves are rounded to
    the even number. Among equal currents torch's `topk` chooses, so that exactly k win. Winners
    pass their gradient, losers none. A winner's current may be negative.

    Args:
        num_features: channels C.
        share: share of the channels that win, above 0 and at most 1.

    Sources: Majani, Erlanson and Abu-Mostafa, "On the K-Winners-Take-All Network" (NIPS 1988);
    Maass, "On the Computational Power of Winner-Take-All" (Neural Computation, 2000).
    """

    def __init__(self, num_features: int, share: float) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, not {share}")
        self.num_features = num_features
        self.winners = max(1, round(share * num_features))

    def forward(self, current: Tensor) -> Tensor:
        require_channels(self, current, self.num_features)
        best = current.topk(self.winners, dim=2, sorted=False).indices
        wins = torch.zeros_like(current, dtype=torch.uint8).scatter_(2, best, 1)
        return current.masked_fill(wins == 0, 0)

    def extra_repr(self) -> str:
        return f"winners={self.winners}"
