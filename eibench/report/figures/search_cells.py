"""The cells of a landscape: mean scores of trials that form a grid, as a heat map."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from eibench.report.figures.search_panels import scored
from eibench.report.figures.style import COLOURS
from eibench.report.model.search_results import Study
from eibench.results.metrics import Metric

COLOUR_MAP = "viridis"
BRIGHT = 0.55
"""Share of the colours beyond which letters on them are black."""
EMPTY: dict[str, Any] = {"facecolor": "#ffffff", "edgecolor": "#bbbbbb", "hatch": "////"}
"""How a cell without a trial looks."""
FRAMES = (("white", 4.5), (COLOURS[1], 2.5))
"""Colour and width of the lines around the winner."""
DIVERGED = "\N{MULTIPLICATION SIGN}"
"""Written where all trials of a cell diverged."""
MOST_NUMBERS = 10
"""Cells in a row up to which each has its number written in it."""
MOST_TICKS = 11
Pair = tuple[str, str]
"""Keys of the x and of the y axis."""
Place = tuple[Any, Any]
"""Values of the two."""


@dataclass(frozen=True)
class Cells:
    """Scores of a study whose trials form a grid."""

    xs: tuple[Any, ...]
    ys: tuple[Any, ...]
    """Values that were tried, ascending."""
    scores: dict[Place, list[float]]
    """Of all complete trials of a cell; no cell is there without a trial."""
    diverged: frozenset[Place]
    """Cells of which all trials did."""
    winner: Place | None

    @classmethod
    def of(cls, study: Study, pair: Pair, metric: Metric) -> Cells | None:
        """The cells, or None where the trials fill no more than half of a grid."""
        scores: dict[Place, list[float]] = {}
        good: set[Place] = set()
        for trial, score in scored(study.trials, metric):
            place = _place(trial.values, pair)
            scores.setdefault(place, []).append(score)
            good |= {place} if trial.counts else set()
        xs, ys = (tuple(sorted({place[i] for place in scores})) for i in (0, 1))
        if min(len(xs), len(ys)) < 2 or 2 * len(scores) <= len(xs) * len(ys):
            return None
        winner = None if study.best is None else _place(study.best.values, pair)
        return cls(xs, ys, scores, frozenset(scores.keys() - good), winner)

    @property
    def full(self) -> bool:
        """Whether every cell has a trial."""
        return len(self.scores) == len(self.xs) * len(self.ys)

    @property
    def several(self) -> bool:
        """Whether any number is a mean over what else varies."""
        return any(len(scores) > 1 for scores in self.scores.values())

    def mean(self, place: Place) -> float:
        """The mean score of a cell; NaN where nothing was tried."""
        return statistics.fmean(self.scores.get(place, [math.nan]))


def _place(values: Any, pair: Pair) -> Place:
    return values[pair[0]], values[pair[1]]


def draw_cells(axes: Axes, cells: Cells, metric: Metric, norm: Normalize) -> None:
    """Colours, numbers where there is room, and a frame around the winner."""
    means = np.array([[cells.mean((x, y)) for x in cells.xs] for y in cells.ys])
    axes.pcolormesh(np.ma.masked_invalid(means), norm=norm, cmap=COLOUR_MAP, edgecolor="white",
                    linewidth=1.2)  # fmt: skip
    for (row, column), mean in np.ndenumerate(means):
        place = cells.xs[column], cells.ys[row]
        if math.isnan(mean):
            axes.add_patch(Rectangle((column, row), 1, 1, linewidth=0, **EMPTY))
        elif place in cells.diverged:
            _write(axes, column, row, DIVERGED, norm(mean), 11)
        elif max(means.shape) <= MOST_NUMBERS:
            _write(axes, column, row, metric.show(mean), norm(mean), 8 if len(cells.xs) < 8 else 7)
        if place == cells.winner:
            for colour, width in FRAMES:
                axes.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=colour,
                                         linewidth=width, zorder=5, clip_on=False))  # fmt: skip
    _tick(axes.set_xticks, cells.xs)
    _tick(axes.set_yticks, cells.ys)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)


def _write(axes: Axes, column: int, row: int, text: str, share: float, size: float) -> None:
    """A word in the middle of a cell, legible on its colour."""
    colour = "black" if share > BRIGHT else "white"
    axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", size=size, color=colour)


def _tick(set_ticks: Any, values: Sequence[Any]) -> None:
    """Labels in the middle of cells, thinned out where they are many."""
    step = math.ceil(len(values) / MOST_TICKS)
    places = [i + 0.5 for i in range(0, len(values), step)]
    set_ticks(places, [f"{value:.3g}" for value in values[::step]])
