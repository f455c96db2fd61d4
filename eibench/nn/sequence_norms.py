"""Normalisation with something of its own for each time step: BNTT, TAB, TEBN.

With x^ the normalised activity, they differ in its statistics and in what follows:

    BNTT   y[t] = gamma[t] x^[t]                    statistics of step t alone, no shift
    TAB    y[t] = p[t]^2 (gamma[t] x^[t] + beta[t])     statistics of steps 0 .. t
    TEBN   y[t] = p[t] (gamma x^[t] + beta)         joint statistics of all steps

Activity is [T, B, C, H, W]. Running statistics follow PyTorch's rule (momentum 0.1, unbiased
variance). A layer is made for one number of steps and refuses activity or a state of another.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from eibench.nn.checks import require_maps
from eibench.nn.norms import BatchNorm2d, normalize
from eibench.nn.time import merge_time


class StepBoundNorm2d(_BatchNorm):
    """A batch norm with scale, shift and running statistics [T, C]: base of BNTT and TAB."""

    def __init__(self, num_features: int, timesteps: int, eps: float, shift: bool) -> None:
        super().__init__(num_features, eps)
        shape = (timesteps, num_features)
        self.timesteps = timesteps
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape)) if shift else None  # type: ignore[assignment]
        self.running_mean = torch.zeros(shape)
        self.running_var = torch.ones(shape)

    def reset_parameters(self) -> None:
        """Set scale to 1, shift and running means to 0, running variances to 1."""
        self.reset_running_stats()
        nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def normalize(self, x: Tensor, t: int) -> Tensor:
        """Normalise samples `x` [N, C, H, W] with parameters and running statistics of step `t`."""
        bias = None if self.bias is None else self.bias[t]
        mean = None if self.running_mean is None else self.running_mean[t]
        var = None if self.running_var is None else self.running_var[t]
        return normalize(self, x, mean, var, self.weight[t], bias, first=t == 0)

    def _load_from_state_dict(
        self, state: dict[str, Any], prefix: str, meta: Any, strict: bool, *errors: list[str]
    ) -> None:
        check_state(self, state.get(f"{prefix}weight"), self.timesteps)
        super()._load_from_state_dict(state, prefix, meta, strict, *errors)


class BNTT2d(StepBoundNorm2d):
    """Batch norm through time: each step has its own statistics and scale, and no shift.

    Source: Kim and Panda, "Revisiting Batch Normalization for Training Low-Latency Deep Spiking
    Neural Networks From Scratch" (Frontiers in Neuroscience 2021), equation 6; eps 1e-4 as there.
    """

    def __init__(self, num_features: int, timesteps: int) -> None:
        super().__init__(num_features, timesteps, eps=1e-4, shift=False)

    def forward(self, x: Tensor) -> Tensor:
        check_steps(self, x, self.timesteps)
        return torch.stack([self.normalize(step, t) for t, step in enumerate(x)])


class TAB2d(StepBoundNorm2d):
    """Temporal accumulated batch norm: step t is normalised by the statistics of steps 0 to t.

    The factor p[t] stands squared, so it cannot change the sign. No step sees a later one, in
    training either; T (T + 1) / 2 slices are normalised for T.

    Source: Jiang et al., "TAB: Temporal Accumulated Batch Normalization in Spiking Neural
    Networks" (ICLR 2024).
    """

    def __init__(self, num_features: int, timesteps: int) -> None:
        super().__init__(num_features, timesteps, eps=1e-5, shift=True)
        self.p = nn.Parameter(torch.ones(timesteps))

    def forward(self, x: Tensor) -> Tensor:
        check_steps(self, x, self.timesteps)
        return torch.stack([self._last(x[: t + 1], t) for t in range(self.timesteps)])

    def _last(self, steps: Tensor, t: int) -> Tensor:
        """Return the last of `steps` [t + 1, B, C, H, W], normalised over all of them."""
        if not self.training:
            return self.p[t].square() * self.normalize(steps[t], t)
        normalized = self.normalize(merge_time(steps), t)
        return self.p[t].square() * normalized[-steps.shape[1] :]


class TEBatchNorm2d(BatchNorm2d):
    """Temporal effective batch norm: joint batch norm, then a learned factor for each step.

    Source: Duan et al., "Temporal Effective Batch Normalization in Spiking Neural Networks"
    (NeurIPS 2022), equation 8.
    """

    def __init__(self, num_features: int, timesteps: int) -> None:
        super().__init__(num_features)
        self.timesteps = timesteps
        self.p = nn.Parameter(torch.ones(timesteps))

    def forward(self, x: Tensor) -> Tensor:
        check_steps(self, x, self.timesteps)
        return self.p.view(-1, 1, 1, 1, 1) * super().forward(x)

    once = None  # type: ignore[assignment]  # equal steps do not stay equal

    def _load_from_state_dict(
        self, state: dict[str, Any], prefix: str, meta: Any, strict: bool, *errors: list[str]
    ) -> None:
        check_state(self, state.get(f"{prefix}p"), self.timesteps)
        super()._load_from_state_dict(state, prefix, meta, strict, *errors)


def check_steps(layer: nn.Module, x: Tensor, timesteps: int) -> None:
    """Raise ValueError unless activity `x` [T, ...] has the steps that `layer` was made for."""
    require_maps(layer, x)
    if len(x) != timesteps:
        raise ValueError(
            f"{type(layer).__name__} was made for {timesteps} time steps, the activity has {len(x)}"
        )


def check_state(layer: nn.Module, saved: Tensor | None, timesteps: int) -> None:
    """Raise ValueError when `saved` [T, ...], a value to load, is for another number of steps."""
    if saved is not None and len(saved) != timesteps:
        raise ValueError(
            f"{type(layer).__name__} was made for {timesteps} time steps, the state to load is for "
            f"{len(saved)}"
        )
