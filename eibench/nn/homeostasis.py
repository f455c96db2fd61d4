"""`HomeostaticLIF`: a neuron that moves its bias until it fires at the rate it is meant to.

    I' = I + b                                      b: one number for each channel, at first 0
    b <- b + strength (target - mean rate)          after each training step

The mean is over the batch that the step was made on, over time and positions. b takes no part in
gradients. Added to the current of an E-I layer it is that layer's b_E, moved: b_E is a constant in
the current, and the optimizer goes on moving its own share of it. It stands with the neuron because
that is where the rate is known, and where the currents of several layers may have been added.

The target is one for the whole layer: a fixed rate, or the mean rate of the layer's neurons on the
first batch, which `eibench.nn.initialize` measures.

After Desai, Rutherford and Turrigiano, "Plasticity in the intrinsic excitability of cortical
pyramidal neurons" (Nature Neuroscience 1999), and Turrigiano and Nelson, "Homeostatic plasticity in
the developing nervous system" (Nature Reviews Neuroscience 2004). Not part of the E-I paper.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from eibench.nn.checks import require_channels
from eibench.nn.lif import LIF
from eibench.nn.time import repeat, repeats


class HomeostaticLIF(LIF):
    """LIF with firing-rate homeostasis: current [T, B, C, ...] to spikes of the same shape.

    Args:
        channels: C.
        strength: what b moves by, in units of current, for each spike per step too few.
        target: spikes per neuron and time step; None: the first batch's, by `aim`.
        options: as for `LIF`.

    Raises:
        ValueError: an argument is out of its range.
    """

    shift: Tensor
    target: Tensor

    def __init__(
        self, channels: int, strength: float, target: float | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        if not strength >= 0:
            raise ValueError(f"strength must be at least 0, not {strength}")
        if target is not None and not 0 <= target <= 1:
            raise ValueError(f"target must lie between 0 and 1, not {target}")
        self.strength = strength
        self.fixed = target is not None
        self.register_buffer("shift", torch.zeros(channels))
        self.register_buffer("target", torch.tensor(target or 0.0))
        self._rates: Tensor | None = None

    def driven_by(self, current: Tensor) -> Tensor:
        require_channels(self, current, len(self.shift))
        return current + self.shift.view(-1, *[1] * (current.dim() - 3))

    def forward(self, current: Tensor) -> Tensor:
        if repeats(current):  # read alone, so that equal steps may stay one
            driving = repeat(self.driven_by(current[:1]), len(current))
        else:
            driving = self.driven_by(current)
        spikes = super().forward(driving)
        if self.training and torch.is_grad_enabled():
            self._rates = channel_rates(spikes.detach())
        return spikes

    @torch.no_grad()
    def aim(self, spikes: Tensor) -> None:
        """Take the mean rate of `spikes` [T, B, C, ...] for the target, unless it is fixed."""
        self.shift.zero_()
        if not self.fixed:
            self.target.copy_(channel_rates(spikes).mean())

    @torch.no_grad()
    def adapt_(self) -> None:
        """Move b by the rates of the last training batch, once; nothing without one."""
        if self._rates is not None:
            self.shift.add_(self.target - self._rates, alpha=self.strength)
            self._rates = None

    def extra_repr(self) -> str:
        return f"{len(self.shift)}, strength={self.strength}, {super().extra_repr()}"


def channel_rates(spikes: Tensor) -> Tensor:
    """Spikes per neuron and time step of each channel [C], of spikes [T, B, C, ...]."""
    others = [dim for dim in range(spikes.dim()) if dim != 2]
    return spikes.mean(others, dtype=torch.float32)
