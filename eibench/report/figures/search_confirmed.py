"""What a search promised against what its winners reached under fresh seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from eibench.report.figures.intervals import ABOVE
from eibench.report.figures.search_panels import page
from eibench.report.figures.style import COLOURS, MARKERS, style
from eibench.report.model import statistics
from eibench.report.model.confirmation import confirmations
from eibench.report.model.search_results import Search
from eibench.results.metrics import Metric

LINE = "#777777"
NARROW = 0.25
"""Inches of a line of the panel of differences."""


@dataclass(frozen=True)
class Promise:
    """A study's winner: its score in the search, and the same metric under fresh seeds."""

    name: str
    score: float
    fresh: statistics.Sample
    colour: str
    marker: str

    @property
    def mean(self) -> float:
        """Of the fresh runs."""
        return statistics.mean(self.fresh) or 0.0

    @property
    def half(self) -> float:
        """Half of the 95 % confidence interval of the mean (t); NaN under a single seed."""
        spread = statistics.deviation(self.fresh)
        return math.nan if spread is None else statistics.half_width(len(self.fresh)) * spread


def draw_confirmed(search: Search, metric: Metric) -> Figure | None:
    """Scores against confirmed means, and their difference; None before anything is confirmed."""
    promises = _promises(search, metric)
    if not promises:
        return None
    with style():
        size = (8.6, max(3.6, NARROW * len(promises) + 1.7))
        figure = page(search, "search and confirmation", size, _words(promises))
        plane, lines = figure.subplots(1, 2, width_ratios=(1.1, 1))
        _draw_plane(plane, promises, metric)
        _draw_differences(lines, promises, metric)
    return figure


def _promises(search: Search, metric: Metric) -> list[Promise]:
    """The winners that have run; a colour for each value of the first axis, a marker each."""
    firsts = [study.arm.get(axis) for study in search.studies for axis in search.axes[:1]]
    kinds = list(dict.fromkeys(firsts))
    found: list[Promise] = []
    for seen in confirmations(search):
        one, arm = dataclasses.replace(seen, metric=metric), seen.study.arm
        if one.score is None or not one.confirmed.n:
            continue
        kind = kinds.index(arm.get(search.axes[0])) if kinds else 0
        colour = COLOURS[kind % len(COLOURS)]
        marker = MARKERS[sum(other.colour == colour for other in found) % len(MARKERS)]
        values = one.confirmed.values
        found.append(Promise(one.study.name, one.score, values, colour, marker))
    return found


def _words(promises: Sequence[Promise]) -> list[str]:
    counts = sorted({len(one.fresh) for one in promises})
    number = " to ".join(map(str, dict.fromkeys([counts[0], counts[-1]])))
    bar = ["bar: its 95 % confidence interval (t)", "dots: seeds"] * (counts[-1] > 1)
    return [f"confirmed: mean of {number} fresh seed{'s' * (counts[-1] > 1)}", *bar,
            "dashed: no selection bias"]  # fmt: skip


def _draw_plane(axes: Axes, promises: Sequence[Promise], metric: Metric) -> None:
    """Confirmed over promised: what lies below the line of equality was promised too much."""
    for one in promises:
        axes.errorbar(one.score, one.mean, one.half, fmt=one.marker, color=one.colour,
                      markersize=5.5, elinewidth=1.2, capsize=0, zorder=3)  # fmt: skip
    ends = [one.score for one in promises]
    for one in promises:
        half = 0.0 if math.isnan(one.half) else one.half
        ends += [one.mean - half, one.mean + half]
    air = 0.06 * (max(ends) - min(ends)) or 0.5
    low, high = min(ends) - air, max(ends) + air
    axes.plot([low, high], [low, high], color=LINE, linewidth=1, linestyle=(0, (5, 3)), zorder=1)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel(f"search: {metric.heading}")
    axes.set_ylabel("confirmed, fresh seeds")


def _draw_differences(axes: Axes, promises: Sequence[Promise], metric: Metric) -> None:
    """Confirmed less promised, a line for each study; its names are the legend of both panels."""
    axes.axvline(0, color=LINE, linewidth=1, linestyle=(0, (5, 3)), zorder=1)
    for y, one in enumerate(promises):
        axes.errorbar(one.mean - one.score, y, xerr=one.half, fmt=one.marker, color=one.colour,
                      markersize=5.5, elinewidth=1.6, zorder=3)  # fmt: skip
        dots = [value - one.score for value in one.fresh.values()]
        above = [y - ABOVE] * (len(dots) if len(dots) > 1 else 0)
        axes.scatter(dots[: len(above)], above, s=9, color=one.colour, alpha=0.6, linewidths=0)
    axes.set_yticks(range(len(promises)), [one.name for one in promises])
    axes.set_ylim(len(promises) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    unit = f" ({metric.difference_unit})" if metric.difference_unit else ""
    axes.set_xlabel(f"confirmed less search{unit}")
