"""Axes: where fields, powers of ten, searched settings and scores stand, and their ticks."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from eibench.results.labels import field_heading, show_setting, show_value
from eibench.results.metrics import Metric

TICKS = 6
MARGIN = 0.06
"""Share of an axis that stays free at each end."""
REACH = 3.0
"""Distances from the best score to the median that a score range spans."""
MANTISSAS = ((1, 2, 5), (1, 3), (1,))
"""Candidate log ticks; the densest set within `TICKS` is used."""
CHARACTERS = 20
"""Characters of all choices' names side by side, beyond which they are slanted."""
PERCENT = 102.0
"""End of an axis of percentages: a spread may reach beyond what can be."""

CHARACTER = 0.018
"""Width of a character of a tick's label, as a share of an axis."""


def whole_ticks(axes: Axes, most: int | Literal["auto"] = "auto") -> None:
    """Give the x axis ticks at whole numbers only."""
    axes.xaxis.set_major_locator(MaxNLocator(most, integer=True, min_n_ticks=1))


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Make the y axis a list of `names`, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


@dataclass(frozen=True)
class FieldAxis:
    """X axis of a numeric field, which all panels share."""

    heading: str
    positions: dict[float, float]
    """Where each value of the field stands, ascending."""

    @classmethod
    def of(cls, columns: Iterable[Sequence[Any]], x: str) -> FieldAxis:
        """Return the axis of the field `x`, last of `columns`: log2 where its values double."""
        values = sorted({float(column[-1] or 0) for column in columns})
        if doubling(values):
            return cls(f"{field_heading(x)}, log scale", {v: math.log2(v) for v in values})
        return cls(field_heading(x), {v: v for v in values})

    @property
    def step(self) -> float:
        """Least distance between neighbours."""
        return min((b - a for a, b in itertools.pairwise(self.positions.values())), default=1.0)

    def apply(self, axes: Axes) -> None:
        """Set ticks at the values, and half a step of air beside them."""
        places = list(self.positions.values())
        axes.set_xticks(places, self._names())
        axes.set_xlim(places[0] - self.step / 2, places[-1] + self.step / 2)
        axes.set_xlabel(self.heading)

    def _names(self) -> list[str]:
        """Return the values as text, but none of those that would overlap with one before it."""
        places = list(self.positions.values())
        span = (places[-1] - places[0]) or 1.0
        names: list[str] = []
        end = -math.inf
        for value, place in self.positions.items():
            name = show_value(value)
            half = CHARACTER * len(name) * span / 2
            names.append(name if place - half >= end else "")
            end = place + half if names[-1] else end
        return names


def doubling(values: Sequence[float]) -> bool:
    """Tell if a log scale suits ascending values: three or more, each at least twice the last."""
    pairs = list(itertools.pairwise(values))
    return len(pairs) > 1 and all(0 < 2 * a <= b for a, b in pairs)


@dataclass(frozen=True)
class LogAxis:
    """Y axis of powers of ten; exact zeros have a line of their own below the least."""

    low: int
    high: int
    """Exponents that hold all positive numbers."""
    zeros: bool
    """True where there are zeros to show."""

    @classmethod
    def of(cls, values: Iterable[float]) -> LogAxis:
        """Return the axis of `values`, each at least 0; NaNs are left out."""
        known = [value for value in values if not math.isnan(value)]
        exponents = [math.log10(value) for value in known if value > 0] or [0.0]
        low, high = math.floor(min(exponents)), math.ceil(max(exponents))
        return cls(low, max(high, low + 1), 0.0 in known)

    @property
    def zero(self) -> float:
        """Place of zero."""
        return self.low - max(0.5, 0.12 * (self.high - self.low))

    def place(self, value: float) -> float:
        """Return where `value` stands; NaN for NaN."""
        return self.zero if value == 0 else math.log10(value)

    def apply(self, axes: Axes) -> None:
        """Set ticks at powers of ten, and one at zero behind a gap in the axis."""
        step = math.ceil((self.high - self.low) / TICKS)
        ticks: dict[float, str] = {n: f"1e{n}" for n in range(self.low, self.high + 1, step)}
        margin = 0.04 * (self.high - self.low)
        bottom = self.low - margin
        if self.zeros:
            ticks = {self.zero: "0", **ticks}
            bottom = self.zero - margin
            axes.axhline((self.zero + self.low) / 2, color="#999999", linewidth=0.8, linestyle=":")
        axes.set_yticks(list(ticks), list(ticks.values()))
        axes.set_ylim(bottom, self.high + margin)


@dataclass(frozen=True)
class ParameterAxis:
    """A searched parameter as an axis."""

    key: str
    low: float
    high: float
    """Ends of the range; of choices, the first and the last index."""
    log: bool = False
    whole: bool = False
    """True where all its values are whole numbers."""
    choices: tuple[Any, ...] = ()
    """Empty for a range."""

    @classmethod
    def of(cls, key: str, space: Mapping[str, Any]) -> ParameterAxis:
        """Return the axis of `key`, whose range or choices are `space`."""
        if "choices" in space:
            choices = tuple(space["choices"])
            return cls(key, 0, len(choices) - 1, choices=choices)
        whole = isinstance(space["low"], int) and isinstance(space["high"], int)
        return cls(key, space["low"], space["high"], bool(space["log"]), whole)

    @property
    def numeric(self) -> bool:
        """True where its values are numbers, from a range or a choice."""
        return all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.choices)

    @property
    def heading(self) -> str:
        """Words, unit and scale."""
        return field_heading(self.key) + ", log scale" * self.log

    def place(self, value: Any) -> float:
        """Return where `value` stands: the number, its log10, or the index of the choice."""
        if self.choices:
            return float(self.choices.index(value))
        return math.log10(value) if self.log else float(value)

    def share(self, place: float) -> float:
        """Return a place between the ends of the range as a number from 0 to 1."""
        start, end = self._ends
        return (place - start) / (end - start) if end > start else 0.5

    def ticks(self) -> dict[float, str]:
        """Return labels by place."""
        if self.choices:
            return {float(i): show_setting(value) for i, value in enumerate(self.choices)}
        values = _log_ticks(self.low, self.high) if self.log else self._linear_ticks()
        return {self.place(value): show_value(float(value)) for value in values}

    def apply(self, axes: Axes, side: Literal["x", "y"]) -> None:
        """Make it the x or the y axis of `axes`; half a step of air beside choices."""
        ticks, (start, end) = self.ticks(), self._ends
        air = 0.5 if self.choices else MARGIN * (end - start) or 0.5
        axis = axes.xaxis if side == "x" else axes.yaxis
        axis.set_ticks(list(ticks), list(ticks.values()))
        axes.set(**{f"{side}lim": (start - air, end + air), f"{side}label": self.heading})
        if side == "x" and self.choices and sum(map(len, ticks.values())) > CHARACTERS:
            axes.tick_params(axis="x", labelsize=7)
            for label in axes.get_xticklabels():
                label.set(rotation=25, ha="right", rotation_mode="anchor")

    @property
    def _ends(self) -> tuple[float, float]:
        if self.log:
            return math.log10(self.low), math.log10(self.high)
        return float(self.low), float(self.high)

    def _linear_ticks(self) -> list[float]:
        ticks = MaxNLocator(TICKS - 1, integer=self.whole).tick_values(self.low, self.high)
        return [round(float(v), 10) for v in ticks if self.low <= v <= self.high]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers from `low` to `high`, thinned out where a decade has but one."""
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
class ScoreRange:
    """Scores that an axis or a colour scale tells apart.

    One bad setting can score so low that all good ones look alike. So the range spans the better
    half of the trials and twice as far again; a worse score is drawn on its edge.
    """

    worst: float
    best: float

    @classmethod
    def of(cls, scores: Iterable[float], metric: Metric) -> ScoreRange:
        """Return the range of `scores`, of which there is at least one."""
        known = sorted(scores, reverse=metric.better == "higher")
        best, worst = known[0], known[-1]
        far = REACH * (best - statistics.median(known))
        if 0 < abs(far) < abs(best - worst):
            worst = best - far
        if worst == best:  # all alike: an axis needs a length
            worst = best - (1 if metric.better == "higher" else -1) * max(abs(best) * 0.01, 0.01)
        return cls(worst, best)

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest number."""
        return min(self.worst, self.best), max(self.worst, self.best)

    @property
    def limits(self) -> tuple[float, float]:
        """Ends of an axis: air beyond both."""
        low, high = self.ends
        air = MARGIN * (high - low)
        return low - air, high + air

    def place(self, score: float) -> float:
        """Return `score`, or the limit that it lies beyond."""
        low, high = self.limits
        return min(max(score, low), high)

    def share(self, score: float) -> float:
        """Return where `score` lies between the worst and the best, from 0 to 1."""
        share = (score - self.worst) / (self.best - self.worst)
        return min(max(share, 0.0), 1.0)

    def clips(self, scores: Iterable[float]) -> bool:
        """Tell if any score lies beyond a limit."""
        return any(self.place(score) != score for score in scores)

    @property
    def edge(self) -> str:
        """Words for a caption on what is drawn on the edge."""
        if self.worst < self.best:
            return "on the lower edge: scores below it"
        return "on the upper edge: scores above it"


def end_at_percent(axes: Axes, side: Literal["x", "y"], metric: Metric) -> None:
    """Let an axis of percentages end near 100, whatever a spread reaches."""
    low, high = axes.get_xlim() if side == "x" else axes.get_ylim()
    if metric.unit == "%" and high > PERCENT:
        axes.set(**{f"{side}lim": (low, PERCENT)})
