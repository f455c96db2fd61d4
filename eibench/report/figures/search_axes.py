"""Axes of a search's figures: where a parameter's values stand, and which scores are in sight.

One bad setting can score so low that all good ones look alike. So an axis or a colour scale reaches
from the best score down over the better half of the trials and twice as far again; what is worse
still lies on its edge.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from eibench.report.model.labels import field_heading, show_setting, show_value
from eibench.results.metrics import Metric

REACH = 3.0
"""Distances from the best score to the median that are in sight."""
MARGIN = 0.06
"""Share of an axis that stays free at each end."""
TICKS = 6
MANTISSAS = ((1, 2, 5), (1, 3), (1,))
"""Of ticks on a log scale: the most that are not too many."""
CHARACTERS = 20
"""Of all choices' names side by side, beyond which they are slanted."""


@dataclass(frozen=True)
class Parameter:
    """What a study searched, as an axis."""

    key: str
    low: float
    high: float
    """The ends of the range; of choices, the first and the last number."""
    log: bool = False
    whole: bool = False
    """Whether it is counted."""
    choices: tuple[Any, ...] = ()
    """Empty for a range."""

    @classmethod
    def of(cls, key: str, space: Mapping[str, Any]) -> Parameter:
        """The axis of `key`, whose range or choices are `space`."""
        if "choices" in space:
            choices = tuple(space["choices"])
            return cls(key, 0, len(choices) - 1, choices=choices)
        whole = isinstance(space["low"], int) and isinstance(space["high"], int)
        return cls(key, space["low"], space["high"], bool(space["log"]), whole)

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers, be it numbers to choose from."""
        return all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.choices)

    @property
    def heading(self) -> str:
        """Words, unit and scale."""
        return field_heading(self.key) + ", log scale" * self.log

    def place(self, value: Any) -> float:
        """Where `value` stands: its number, the logarithm, or the number of the choice."""
        if self.choices:
            return float(self.choices.index(value))
        return math.log10(value) if self.log else float(value)

    def share(self, place: float) -> float:
        """A place between the ends of the range, as a number from 0 to 1."""
        start, end = self._ends()
        return (place - start) / (end - start) if end > start else 0.5

    def ticks(self) -> dict[float, str]:
        """Labels by place."""
        if self.choices:
            return {float(i): show_setting(value) for i, value in enumerate(self.choices)}
        values = _powers(self.low, self.high) if self.log else self._steps()
        return {self.place(value): show_value(float(value)) for value in values}

    def apply_y(self, axes: Axes) -> None:
        """Make it the y axis of `axes`."""
        ticks = self.ticks()
        axes.set_yticks(list(ticks), list(ticks.values()))
        axes.set_ylim(*self.limits())

    def apply_x(self, axes: Axes) -> None:
        """Make it the x axis of `axes`."""
        ticks = self.ticks()
        axes.set_xticks(list(ticks), list(ticks.values()))
        axes.set_xlim(*self.limits())
        if self.choices and sum(map(len, ticks.values())) > CHARACTERS:
            axes.tick_params(axis="x", labelsize=7)
            for label in axes.get_xticklabels():
                label.set(rotation=25, ha="right", rotation_mode="anchor")

    def limits(self) -> tuple[float, float]:
        """The ends of an axis, with some air; half a step beside choices."""
        start, end = self._ends()
        air = 0.5 if self.choices else MARGIN * (end - start) or 0.5
        return start - air, end + air

    def _ends(self) -> tuple[float, float]:
        if self.choices or not self.log:
            return float(self.low), float(self.high)
        return math.log10(self.low), math.log10(self.high)

    def _steps(self) -> list[float]:
        ticks = MaxNLocator(TICKS - 1, integer=self.whole).tick_values(self.low, self.high)
        return [round(float(v), 10) for v in ticks if self.low <= v <= self.high]


def _powers(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`, at most `TICKS` where a decade has but one."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in MANTISSAS:
        every = [float(f"{m}e{e}") for e in exponents for m in mantissas]
        found = [value for value in every if low <= value <= high]
        if len(found) <= TICKS:
            break
    else:
        found = found[:: math.ceil(len(found) / TICKS)]
    return found if len(found) > 1 else [low, high]


@dataclass(frozen=True)
class Sight:
    """The scores that are told apart."""

    worst: float
    best: float

    @classmethod
    def of(cls, scores: Iterable[float], metric: Metric) -> Sight:
        """The sight of `scores`, of which there is at least one."""
        known = sorted(scores, reverse=metric.better == "higher")
        best, far = known[0], REACH * (known[0] - statistics.median(known))
        worst = known[-1]
        if 0 < abs(far) < abs(best - worst):
            worst = best - far
        if worst == best:  # nothing to tell apart: an axis needs a length
            worst = best - (1 if metric.better == "higher" else -1) * max(abs(best) * 0.01, 0.01)
        return cls(worst, best)

    @property
    def low(self) -> float:
        """The least number in sight."""
        return min(self.worst, self.best)

    @property
    def high(self) -> float:
        """The greatest number in sight."""
        return max(self.worst, self.best)

    def place(self, score: float) -> float:
        """`score`, or the end of the axis that it lies beyond."""
        low, high = self.limits
        return min(max(score, low), high)

    def share(self, score: float) -> float:
        """Where `score` lies between the worst and the best in sight, from 0 to 1."""
        share = (score - self.worst) / (self.best - self.worst)
        return min(max(share, 0.0), 1.0)

    def cuts(self, scores: Sequence[float]) -> bool:
        """Whether any score lies beyond an edge."""
        return any(self.place(score) != score for score in scores)

    @property
    def limits(self) -> tuple[float, float]:
        """The ends of an axis: air beyond both."""
        air = MARGIN * (self.high - self.low)
        return self.low - air, self.high + air

    @property
    def edge(self) -> str:
        """What it means to lie on the edge, for a caption."""
        if self.worst < self.best:
            return "on the lower edge: scores below it"
        return "on the upper edge: scores above it"
