"""Muon: momentum whose step of each matrix is orthogonalized.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024). Two things
differ. The length of a step is relative to the weight, as in LARS (You, Gitman and Ginsburg 2017);
`torch.optim.Muon` scales it by the matrix's shape alone, and takes no convolution kernels. All is
computed in the weights' own precision, as bfloat16 is slow on CPUs.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
STEPS = 5
SMALLEST_ROW = 0.01
"""Root mean square of the norms of a weight's rows below which steps shrink no further."""


def orthogonalize(matrices: Tensor) -> Tensor:
    """Return `matrices` [..., n, m] with singular values of about 1, each zero matrix as it is.

    X is scaled to norm 1. Five times X <- a X + b (X X^T) X + c (X X^T)^2 X: a singular value s
    becomes a s + b s^3 + c s^5. Values from 0.002 to 1 end between 0.68 and 1.21; smaller ones grow
    by a^5 = 485. A factor on X does not change the result.
    """
    a, b, c = NEWTON_SCHULZ
    x: Tensor = matrices.mT if matrices.shape[-2] > matrices.shape[-1] else matrices
    tiny = torch.finfo(x.dtype).tiny
    x = x / x.abs().amax((-2, -1), keepdim=True).clamp_min(tiny)  # squares do not underflow
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(tiny)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if matrices.shape[-2] > matrices.shape[-1] else x


class Muon(Optimizer):
    """Nesterov momentum, orthogonalized, for weights of two or more dimensions.

    A weight W [n_out, ...], flattened to [n_out, m], with gradient G and momentum mu:

        M <- mu M + G
        O = orthogonalize(G + mu M)
        W <- W - lr weight_decay W - lr max(|W|, 0.01 sqrt(n_out)) O / |O|

    |.| is the Frobenius norm, so a step changes each weight by the share `lr` of itself, however
    large the weight and its gradient are. The floor lets a weight that starts at zero learn: it
    moves as if its rows had a norm of 0.01.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, momentum: float) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change each weight that has a gradient; those of one shape together."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[weight.shape].append(weight)
            for weights in alike.values():
                self._change(weights, group)

    def _change(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """Change `weights`, all of one shape."""
        lr = group["lr"]
        along = orthogonalize(torch.stack([self._ahead(w, group["momentum"]) for w in weights]))
        sizes = torch.stack([weight.norm() for weight in weights])
        sizes = sizes.clamp_min(SMALLEST_ROW * len(weights[0]) ** 0.5)
        tiny = torch.finfo(along.dtype).tiny
        scale = lr * sizes / along.norm(dim=(1, 2)).clamp_min(tiny)
        for weight, change in zip(weights, along * scale.view(-1, 1, 1), strict=True):
            weight.mul_(1 - lr * group["weight_decay"]).sub_(change.view_as(weight))

    def _ahead(self, weight: Tensor, momentum: float) -> Tensor:
        """Add the gradient to the momentum of `weight`; return Nesterov's, [n_out, m]."""
        gradient, state = weight.grad, self.state[weight]
        assert gradient is not None
        held = state.setdefault("momentum_buffer", torch.zeros_like(gradient))
        held.mul_(momentum).add_(gradient)
        return gradient.add(held, alpha=momentum).flatten(1)
