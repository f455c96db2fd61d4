"""An axis of powers of ten with a place for exact zeros, which no logarithm has."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from matplotlib.axes import Axes

MOST_TICKS = 6


@dataclass(frozen=True)
class Powers:
    """Where numbers stand on an axis of log10; zero has a line of its own below the least."""

    low: int
    high: int
    """Exponents that hold all positive numbers."""
    zeros: bool
    """Whether there are zeros to show."""

    @classmethod
    def of(cls, values: Iterable[float]) -> Powers:
        """The axis of `values`, each at least 0; those that are not numbers are left out."""
        known = [value for value in values if not math.isnan(value)]
        exponents = [math.log10(value) for value in known if value > 0] or [0.0]
        low, high = math.floor(min(exponents)), math.ceil(max(exponents))
        return cls(low, max(high, low + 1), 0.0 in known)

    @property
    def zero(self) -> float:
        """The place of zero."""
        return self.low - max(0.5, 0.12 * (self.high - self.low))

    def place(self, value: float) -> float:
        """Where `value` stands."""
        if math.isnan(value):
            return math.nan
        return math.log10(value) if value > 0 else self.zero

    def apply(self, axes: Axes) -> None:
        """Ticks at powers of ten, and one at zero behind a gap in the axis."""
        step = math.ceil((self.high - self.low) / MOST_TICKS)
        ticks: dict[float, str] = {n: f"1e{n}" for n in range(self.low, self.high + 1, step)}
        margin = 0.04 * (self.high - self.low)
        bottom = self.low - margin
        if self.zeros:
            ticks = {self.zero: "0", **ticks}
            bottom = self.zero - margin
            axes.axhline((self.zero + self.low) / 2, color="#999999", linewidth=0.8, linestyle=":")
        axes.set_yticks(list(ticks), list(ticks.values()))
        axes.set_ylim(bottom, self.high + margin)
