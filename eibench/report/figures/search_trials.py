"""A search by its trials: in their order, and the winners confirmed with fresh seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from eibench.report.figures.axes import ScoreRange, name_rows, whole_ticks
from eibench.report.figures.look import style
from eibench.report.figures.palette import colours_of
from eibench.report.figures.search_panels import (
    WINNER,
    arrange,
    score_range,
    search_page,
    with_history,
)
from eibench.report.figures.style import ABOVE, COLOURS, DASHED, GREY, MARKERS, add_legend
from eibench.report.model.search_results import (
    COMPLETE,
    DIVERGED,
    FAILED,
    PRUNED,
    RUNNING,
    Search,
    Study,
    confirmations,
    state,
)
from eibench.results.metrics import Metric
from eibench.results.statistics import Sample, mean_interval

LOOKS: dict[str, dict[str, Any]] = {
    COMPLETE: {"marker": "o", "s": 20, "color": COLOURS[0], "linewidths": 0},
    PRUNED: {"marker": "v", "s": 24, "facecolor": "white", "edgecolor": GREY},
    DIVERGED: {"marker": "X", "s": 34, "color": COLOURS[1], "linewidths": 0},
    FAILED: {"marker": "x", "s": 26, "color": "black", "linewidths": 1.4},
}
"""Look of a trial, by how it ended."""
NARROW = 0.25
"""Inches of a line of the panel of differences."""


@style()
def draw_history(search: Search) -> Figure | None:
    """Draw the score of each trial in order and the best so far; None of a grid, or before a trial
    has ended."""
    studies = with_history(search)
    if not studies:
        return None
    metric, rows = search.metric, arrange(search, studies)
    several = len(studies) > 1
    ranges = [score_range(filter(None, row), metric) for row in rows]
    range_of = {s.name: r for row, (r, _) in zip(rows, ranges, strict=True) for s in row if s}
    words = [ranges[0][0].edge] if any(clipped for _, clipped in ranges) else []
    panel = (2.3, 1.65) if several else (4.4, 2.2)
    figure, grid, pairs = search_page(search, "score by trial", rows, panel, words, sharey="row")
    for axes, study in pairs:
        _draw_trials(axes, study, metric, range_of[study.name])
    for row in grid:
        row[0].set_ylabel(metric.heading, fontsize=8 if several else 9)
    for column in grid.T:
        [axes for axes in column if axes.axison][-1].set_xlabel("trial")
    add_legend(grid, handlelength=1.6)
    return figure


def _draw_trials(axes: Axes, study: Study, metric: Metric, scores: ScoreRange) -> None:
    """Draw one study; trials without a score stand on the bottom axis."""
    for kind, look in LOOKS.items():
        trials = [(t.number, t.scores.get(metric.name)) for t in study.trials if state(t) == kind]
        known = [(number, scores.place(score)) for number, score in trials if score is not None]
        lost = [(number, 0.0) for number, score in trials if score is None]
        for points, transform in ((known, axes.transData), (lost, axes.get_xaxis_transform())):
            if points:
                axes.scatter(*zip(*points, strict=True), transform=transform, label=kind, zorder=3,
                             clip_on=False, **look)  # fmt: skip
    best = best_so_far(study, metric)
    if best:
        numbers, reached = zip(*best, strict=True)
        axes.step(numbers, [scores.place(s) for s in reached], where="post", color=COLOURS[1],
                  linewidth=1.6, zorder=2, label="best so far")  # fmt: skip
    if study.best is not None:
        place = study.best.number, scores.place(study.best.scores[metric.name])
        axes.scatter(*place, label="winner", **WINNER)
    axes.set_ylim(*scores.limits)
    whole_ticks(axes, 5)


def best_so_far(study: Study, metric: Metric) -> list[tuple[int, float]]:
    """Return, after each trial, the best score until then of those that can win."""
    better = max if metric.better == "higher" else min
    points: list[tuple[int, float]] = []
    for trial in study.trials:
        score = trial.scores.get(metric.name) if trial.counts else None
        known = [points[-1][1]] if points else []
        known += [] if score is None else [score]
        if known and trial.state != RUNNING:
            points.append((trial.number, better(known)))
    return points


@dataclass(frozen=True)
class ConfirmedScore:
    """A study's winner: its score in the search, and what fresh seeds differ from it."""

    name: str
    score: float
    biases: Sample
    """Confirmed less search under each fresh seed."""
    colour: str
    marker: str

    @property
    def mean(self) -> float:
        """Mean of the fresh runs."""
        return self.score + statistics.fmean(self.biases.values())

    @property
    def half(self) -> float:
        """Half of the 95 % confidence interval of the mean (t); 0 under a single seed."""
        low, high = mean_interval(self.biases) or (0.0, 0.0)
        return (high - low) / 2

    @property
    def look(self) -> dict[str, Any]:
        """Look of the mean."""
        return {"fmt": self.marker, "color": self.colour, "markersize": 5.5, "zorder": 3}


@style()
def draw_confirmed(search: Search) -> Figure | None:
    """Draw scores against confirmed means, and differences; None before any is confirmed."""
    found, metric = _confirmed(search), search.metric
    if not found:
        return None
    counts = sorted({len(one.biases) for one in found})
    number = " to ".join(map(str, dict.fromkeys([counts[0], counts[-1]])))
    words = [
        f"confirmed: mean of {number} fresh seed{'s' * (counts[-1] > 1)}",
        *["bar: its 95 % confidence interval (t)", "dots: seeds"] * (counts[-1] > 1),
        "dashed: no selection bias",
    ]
    panel = (3.5, max(2.6, NARROW * len(found) + 0.7))
    about, row = "search and confirmation", ["plane", "biases"]
    figure, grid, _ = search_page(search, about, [row], panel, words, width_ratios=(1.1, 1))
    _draw_plane(grid[0, 0], found, metric)
    _draw_biases(grid[0, 1], found, metric)
    return figure


def _confirmed(search: Search) -> list[ConfirmedScore]:
    """Return the winners that have run; a colour for each value of the first axis."""
    firsts = {
        study.name: study.arm.get(axis) for study in search.studies for axis in search.axes[:1]
    }
    kinds = list(dict.fromkeys(firsts.values())) or [None]
    colours = colours_of([str(kind) for kind in kinds])
    found: list[ConfirmedScore] = []
    for one in confirmations(search):
        if one.score is not None and one.confirmed.n:
            colour = colours[kinds.index(firsts.get(one.study.name))]
            marker = MARKERS[sum(other.colour == colour for other in found) % len(MARKERS)]
            fresh = one.confirmed.values.items()
            biases = {seed: value - one.score for seed, value in fresh}
            found.append(ConfirmedScore(one.study.name, one.score, biases, colour, marker))
    return found


def _draw_plane(axes: Axes, found: Sequence[ConfirmedScore], metric: Metric) -> None:
    """Draw confirmed over searched: what lies below the line of equality scored too high."""
    for one in found:
        axes.errorbar(one.score, one.mean, one.half, elinewidth=1.2, capsize=0, **one.look)
    ends = [end for one in found for end in (one.score, one.mean - one.half, one.mean + one.half)]
    air = 0.06 * (max(ends) - min(ends)) or 0.5
    limits = min(ends) - air, max(ends) + air
    axes.plot(limits, limits, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel(f"search: {metric.heading}")
    axes.set_ylabel("confirmed, fresh seeds")


def _draw_biases(axes: Axes, found: Sequence[ConfirmedScore], metric: Metric) -> None:
    """Draw confirmed less searched, a line for each study; its names serve both panels."""
    axes.axvline(0, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
    for y, one in enumerate(found):
        axes.errorbar(one.mean - one.score, y, xerr=one.half, elinewidth=1.6, **one.look)
        if len(one.biases) > 1:
            dots = list(one.biases.values())
            axes.scatter(dots, [y - ABOVE] * len(dots), s=9, color=one.colour, alpha=0.6,
                         linewidths=0)  # fmt: skip
    name_rows(axes, [one.name for one in found])
    axes.xaxis.set_major_locator(MaxNLocator(5))
    unit = f" ({metric.difference_unit})" if metric.difference_unit else ""
    axes.set_xlabel(f"confirmed less search{unit}")
