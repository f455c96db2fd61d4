"""`LIF`: the leaky integrate-and-fire neuron as a module."""

from __future__ import annotations

from torch import Tensor, nn

from eibench.nn import functional as F
from eibench.nn.functional.lif import RESETS
from eibench.nn.functional.surrogate import DERIVATIVES


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    return value


class LIF(nn.Module):
    """Leaky integrate-and-fire neurons: current [T, B, ...] to spikes of the same shape.

    It has no parameters and keeps no state between calls: the membrane starts at zero each time.

    Args:
        tau: membrane time constant in time steps, at least 1.
        threshold: firing threshold, above 0; a neuron exactly at it fires.
        reset: `soft` subtracts the threshold after a spike, `hard` sets the potential to zero.
        surrogate: derivative of the spike in the backward pass, `sigmoid` or `atan`.
        detach_reset: whether the reset passes no gradient.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        tau: float = 2.0,
        threshold: float = 1.0,
        reset: str = "soft",
        surrogate: str = "sigmoid",
        detach_reset: bool = True,
    ) -> None:
        super().__init__()
        if not tau >= 1:
            raise ValueError(f"tau must be at least 1 time step, not {tau}")
        if not threshold > 0:
            raise ValueError(f"threshold must be above 0, not {threshold}")
        self.tau = float(tau)
        self.threshold = float(threshold)
        self.reset = _one_of("reset", reset, RESETS)
        self.surrogate = _one_of("surrogate", surrogate, tuple(DERIVATIVES))
        self.detach_reset = detach_reset

    @property
    def constants(self) -> F.Neuron:
        """What it computes with."""
        return F.Neuron.of(self.tau, self.threshold, self.reset, self.surrogate, self.detach_reset)

    def forward(self, current: Tensor) -> Tensor:
        return F.lif(
            current, self.tau, self.threshold, self.reset, self.surrogate, self.detach_reset
        )

    def driven_by(self, current: Tensor) -> Tensor:
        """The current that the neuron integrates, of one that arrives: the same here."""
        return current

    def extra_repr(self) -> str:
        return (
            f"tau={self.tau}, threshold={self.threshold}, reset={self.reset!r}, "
            f"surrogate={self.surrogate!r}, detach_reset={self.detach_reset}"
        )
