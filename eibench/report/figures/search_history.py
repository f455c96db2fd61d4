"""A search in the order of its trials, and with two objectives the trials that none beats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from eibench.report.figures.search_axes import Sight
from eibench.report.figures.search_panels import (
    add_legend,
    arrange,
    counting,
    page,
    places,
    score_of,
)
from eibench.report.figures.style import COLOURS, style
from eibench.report.model.budget import DIVERGED, state
from eibench.report.model.search_results import (
    COMPLETE,
    FAILED,
    PRUNED,
    RUNNING,
    Search,
    Study,
    Trial,
)
from eibench.results.metrics import Metric

LOOKS: dict[str, dict[str, Any]] = {
    COMPLETE: {"marker": "o", "s": 20, "color": COLOURS[0], "linewidths": 0},
    PRUNED: {"marker": "v", "s": 24, "facecolor": "white", "edgecolor": "#777777"},
    DIVERGED: {"marker": "X", "s": 34, "color": COLOURS[1], "linewidths": 0},
    FAILED: {"marker": "x", "s": 26, "color": "black", "linewidths": 1.4},
}
"""How a trial is drawn, by how it ended."""
WINNER: dict[str, Any] = {
    "marker": "*",
    "s": 150,
    "facecolor": COLOURS[4],
    "edgecolor": "black",
    "linewidths": 0.8,
    "zorder": 6,
}


def draw_history(search: Search, metric: Metric) -> Figure | None:
    """The score of each trial in order, and the best so far; None before any trial has ended."""
    studies = [s for s in search.studies if any(t.state != RUNNING for t in s.trials)]
    if not studies:
        return None
    panels = arrange(search, studies)
    high, wide = len(panels), len(panels[0])
    size = (6.0, 3.2) if high * wide == 1 else (2.3 * wide + 1.6, 1.65 * high + 1.0)
    with style():
        sights = [_sight([s for s in row if s], metric) for row in panels]
        figure = page(search, "score by trial", size, _words(studies, sights, metric))
        grid = figure.subplots(high, wide, sharey="row", squeeze=False)
        sight_of = {id(s): sight for row, sight in zip(panels, sights, strict=True) for s in row}
        for axes, study in places(grid, panels):
            _draw_trials(axes, study, metric, sight_of[id(study)])
            if len(search.studies) > 1:
                axes.set_title(study.name, fontsize=9)
        for row in grid:
            row[0].set_ylabel(metric.heading, fontsize=9 if high == 1 else 8)
        for column in grid.T:
            [axes for axes in column if axes.axison][-1].set_xlabel("trial")
        add_legend(grid[0, -1], _signs(figure))
    return figure


def draw_front(search: Search, metric: Metric, other: Metric) -> Figure | None:
    """One objective over the other, and the front of trials that no other beats in both."""
    studies = [s for s in search.studies if _points(s.trials, other, metric)]
    if not studies:
        return None
    panels = arrange(search, studies)
    high, wide = len(panels), len(panels[0])
    size = (5.6, 3.6) if high * wide == 1 else (2.5 * wide + 1.6, 2.0 * high + 1.0)
    with style():
        sights = {id(s): _sight([s], metric) for s in studies}
        words = _words(studies, list(sights.values()), metric)
        figure = page(search, "both objectives", size, words)
        grid = figure.subplots(high, wide, squeeze=False)
        for axes, study in places(grid, panels):
            _draw_objectives(axes, study, metric, other, sights[id(study)])
            if len(search.studies) > 1:
                axes.set_title(study.name, fontsize=9)
        for row in grid:
            row[0].set_ylabel(metric.heading, fontsize=9 if high == 1 else 8)
        for column in grid.T:
            [axes for axes in column if axes.axison][-1].set_xlabel(other.heading)
        add_legend(grid[0, -1], _signs(figure))
    return figure


def _sight(studies: Sequence[Study], metric: Metric) -> Sight:
    """What the axis of these studies shows; of failed trials alone there is nothing to show."""
    return Sight.of(counting(studies, metric) or [0.0], metric)


def _words(studies: Sequence[Study], sights: Sequence[Sight], metric: Metric) -> list[str]:
    found = [score_of(trial, metric) for study in studies for trial in study.trials]
    scores = [score for score in found if score is not None]
    return [sights[0].edge] if any(sight.cuts(scores) for sight in sights) else []


def _draw_trials(axes: Axes, study: Study, metric: Metric, sight: Sight) -> None:
    """One study; trials without a score stand on the bottom axis."""
    for kind, look in LOOKS.items():
        trials = [trial for trial in study.trials if state(trial) == kind]
        pairs = [(trial.number, score_of(trial, metric)) for trial in trials]
        known = [(number, sight.place(score)) for number, score in pairs if score is not None]
        if known:
            axes.scatter(*zip(*known, strict=True), label=kind, zorder=3, clip_on=False, **look)
        lost = [number for number, score in pairs if score is None]
        if lost:
            axes.scatter(lost, [0.0] * len(lost), transform=axes.get_xaxis_transform(),
                         label=kind, zorder=3, clip_on=False, **look)  # fmt: skip
    best = _best_so_far(study, metric)
    if best:
        numbers, scores = zip(*best, strict=True)
        axes.step(numbers, [sight.place(s) for s in scores], where="post", color=COLOURS[1],
                  linewidth=1.6, zorder=2, label="best so far")  # fmt: skip
    _star(axes, study, lambda trial: trial.number, metric, sight)
    axes.set_ylim(*sight.limits)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))


def _star(axes: Axes, study: Study, place: Any, metric: Metric, sight: Sight) -> None:
    """The winner."""
    winner = study.best
    score = None if winner is None else score_of(winner, metric)
    if score is not None:
        axes.scatter([place(winner)], [sight.place(score)], label="winner", clip_on=False, **WINNER)


def _best_so_far(study: Study, metric: Metric) -> list[tuple[int, float]]:
    """After each trial the best score until then of those that can win."""
    better = max if metric.better == "higher" else min
    points: list[tuple[int, float]] = []
    for trial in study.trials:
        score = score_of(trial, metric) if trial.counts else None
        known = [points[-1][1]] if points else []
        known += [] if score is None else [score]
        if known and trial.state != RUNNING:
            points.append((trial.number, better(known)))
    return points


def _points(
    trials: Sequence[Trial], across: Metric, up: Metric
) -> list[tuple[Trial, float, float]]:
    """Complete trials with both numbers."""
    found = [(t, score_of(t, across), score_of(t, up)) for t in trials if t.state == COMPLETE]
    return [(t, x, y) for t, x, y in found if x is not None and y is not None]


def _draw_objectives(axes: Axes, study: Study, metric: Metric, other: Metric, sight: Sight) -> None:
    """Complete trials of one study, and the front as steps."""
    points = _points(study.trials, other, metric)
    for kind in (COMPLETE, DIVERGED):
        known = [(x, sight.place(y)) for trial, x, y in points if state(trial) == kind]
        if known:
            axes.scatter(*zip(*known, strict=True), label=kind, clip_on=False, **LOOKS[kind])
    front = sorted((x, sight.place(y)) for trial, x, y in points if trial.number in study.front)
    if front:
        axes.step(*zip(*front, strict=True), where="post", color=COLOURS[1], marker="D",
                  markersize=6, markerfacecolor="none", linewidth=1.4, zorder=4,
                  label="front")  # fmt: skip
    _star(axes, study, lambda trial: score_of(trial, other), metric, sight)
    axes.set_ylim(*sight.limits)
    axes.margins(x=0.08)


def _signs(figure: Figure) -> dict[str, Any]:
    """Every sign that any panel has, by its name."""
    signs: dict[str, Any] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        signs |= dict(zip(labels, handles, strict=True))
    return signs
