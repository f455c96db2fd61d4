"""Exponentiated gradients: each weight is multiplied, and so keeps its sign.

Source: Cornford et al., "Brain-like learning with exponentiated gradients" (bioRxiv
2024.10.25.620272); for positive weights Kivinen and Warmuth (Information and Computation 1997).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class ExponentiatedGradient(Optimizer):
    """Momentum in the exponent of a factor on each weight.

    A weight W with gradient G and momentum mu:

        M <- mu M + G + weight_decay sign(W)
        W <- W exp(-lr sign(W) M)

    A step changes a weight in proportion to itself: by about -lr |W| M. No weight changes its sign
    or reaches zero (the least is the smallest normal number), so Dale's law holds by itself. A
    weight of zero stays zero, like a synapse that is not there. Weight decay shrinks all weights
    by one factor, as in SGD; it is the gradient of an L1 penalty. Momentum and decay are those of
    the paper's SGD; its biases, sums of a positive and a negative part, are left to another
    optimizer here.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, momentum: float) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change each weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._change(weight, weight.grad, group)

    def _change(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        sign = weight.sign()
        held = self.state[weight].setdefault("momentum_buffer", torch.zeros_like(gradient))
        held.mul_(group["momentum"]).add_(gradient).add_(sign, alpha=group["weight_decay"])
        size = weight.abs() * torch.exp(-group["lr"] * sign * held)
        size.clamp_min_(torch.finfo(size.dtype).tiny)
        size.masked_fill_(~held.isfinite(), torch.nan)  # exp(-inf) would hide it
        weight.copy_(size * sign)
