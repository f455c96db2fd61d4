"""A search's landscape: the score over two numeric parameters, as cells or as coloured points."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from eibench.errors import UserError, did_you_mean
from eibench.report.figures.axes import ParameterAxis
from eibench.report.figures.look import style
from eibench.report.figures.search_panels import (
    WINNER,
    arrange,
    score_range,
    scored,
    search_page,
    with_scores,
)
from eibench.report.figures.style import COLOUR_MAP, COLOURS
from eibench.report.model.search_results import Search, Study
from eibench.results.labels import field_heading, field_words
from eibench.results.metrics import Metric

BRIGHT = 0.55
"""Share of the colours beyond which letters on them are black."""
EMPTY: dict[str, Any] = {"facecolor": "#ffffff", "edgecolor": "#bbbbbb", "hatch": "////"}
"""Look of a cell without a trial."""
FRAMES = (("white", 4.5), (COLOURS[1], 2.5))
"""Colour and width of the lines around the winner."""
CROSS = "\N{MULTIPLICATION SIGN}"
"""Written where all trials of a cell diverged."""
MOST_NUMBERS = 10
"""Cells in a row up to which each has its number written in it."""
MOST_TICKS = 11
Pair = tuple[str, str]
"""Keys of the x and of the y axis."""
Setting = tuple[Any, Any]
"""Values of the two."""


@dataclass(frozen=True)
class ScoreGrid:
    """Scores of a study whose trials form a grid."""

    xs: tuple[Any, ...]
    ys: tuple[Any, ...]
    """Values that were tried, ascending."""
    scores: Mapping[Setting, Sequence[float]]
    """Scores of completed trials; empty cells are absent."""
    diverged: frozenset[Setting]
    """Cells of which all trials did."""
    winner: Setting | None

    @classmethod
    def of(cls, study: Study, pair: Pair, metric: Metric) -> ScoreGrid | None:
        """Return the cells, or None where the trials fill no more than half of a grid."""
        scores: dict[Setting, list[float]] = {}
        good: set[Setting] = set()
        for trial, score in scored(study, metric):
            place = trial.values[pair[0]], trial.values[pair[1]]
            scores.setdefault(place, []).append(score)
            good |= {place} if trial.counts else set()
        xs, ys = (tuple(sorted({place[i] for place in scores})) for i in (0, 1))
        if min(len(xs), len(ys)) < 2 or 2 * len(scores) <= len(xs) * len(ys):
            return None
        best = study.best
        winner = None if best is None else (best.values[pair[0]], best.values[pair[1]])
        return cls(xs, ys, scores, frozenset(scores.keys() - good), winner)

    @property
    def means(self) -> np.ndarray:
        """Mean score of each cell [ys, xs]; NaN where nothing was tried."""
        nothing = [math.nan]
        return np.array(
            [[statistics.fmean(self.scores.get((x, y), nothing)) for x in self.xs] for y in self.ys]
        )


@style()
def draw_landscape(search: Search, pairs: Mapping[str, Pair] | None = None) -> Figure | None:
    """Draw a panel for each study named in `pairs`; None where none of them has a complete trial.

    Studies with the same value of the first of several axes share a row, its colours and their bar;
    otherwise all studies share one. Without `pairs` they lie over what `choose_pairs` finds.
    """
    pairs = choose_pairs(search) if pairs is None else pairs
    studies = [study for study in with_scores(search) if study.name in pairs]
    if not studies:
        return None
    metric, rows = search.metric, arrange(search, studies)
    grids = {study.name: ScoreGrid.of(study, pairs[study.name], metric) for study in studies}
    panel = (2.9, 2.5) if len(studies) > 1 else (4.8, 4.2)
    about = _about(metric, [pairs[study.name] for study in studies])
    figure, grid, found = search_page(search, about, rows, panel, _signs(studies, grids))
    for block in range(len(rows)) if len(search.axes) > 1 else [slice(None)]:
        within = set(grid[block].flat)
        shared = [(axes, study) for axes, study in found if axes in within]
        norm = _colour_bar(figure, shared, metric)
        for axes, study in shared:
            cells, keys = grids[study.name], pairs[study.name]
            if cells is None:
                x, y = (ParameterAxis.of(key, study.space[key]) for key in keys)
                _draw_points(axes, study, x, y, metric, norm)
            else:
                _draw_cells(axes, cells, metric, norm)
                axes.set(xlabel=field_heading(keys[0]), ylabel=field_heading(keys[1]))
    return figure


def _about(metric: Metric, pairs: Sequence[Pair]) -> str:
    """Return words on the axes where they are the same in all panels."""
    if len(set(pairs)) > 1:
        return f"{metric.label} over two parameters"
    x, y = pairs[0]
    return f"{metric.label} over {field_words(x)} and {field_words(y)}"


def _signs(studies: Sequence[Study], grids: Mapping[str, ScoreGrid | None]) -> list[str]:
    """Return what the signs mean that occur."""
    known = [grid for grid in grids.values() if grid is not None]
    dotted = [study for study in studies if grids[study.name] is None]
    several = any(len(scores) > 1 for grid in known for scores in grid.scores.values())
    holes = any(len(grid.scores) < len(grid.xs) * len(grid.ys) for grid in known)
    diverged = any(trial.diverged for study in dotted for trial in study.trials)
    return [
        *["frame: winner"] * any(grid.winner for grid in known),
        *["numbers and colours: means over what else varies"] * several,
        *["hatched: no complete trial"] * holes,
        *["dots: complete trials", "star: winner"] * bool(dotted),
        *["cross: diverged"] * (diverged or any(grid.diverged for grid in known)),
    ]


def _draw_cells(axes: Axes, cells: ScoreGrid, metric: Metric, norm: Normalize) -> None:
    """Draw colours, numbers where there is room, and a frame around the winner."""
    means = cells.means
    axes.pcolormesh(np.ma.masked_invalid(means), norm=norm, cmap=COLOUR_MAP, edgecolor="white",
                    linewidth=1.2)  # fmt: skip
    for (row, column), mean in np.ndenumerate(means):
        place = cells.xs[column], cells.ys[row]
        if math.isnan(mean):
            axes.add_patch(Rectangle((column, row), 1, 1, linewidth=0, **EMPTY))
        elif place in cells.diverged or max(means.shape) <= MOST_NUMBERS:
            crossed = place in cells.diverged
            text = CROSS if crossed else metric.show(mean)
            size = 11 if crossed else 8 if len(cells.xs) < 8 else 7
            colour = "black" if norm(mean) > BRIGHT else "white"
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", size=size,
                      color=colour)  # fmt: skip
        if place == cells.winner:
            for colour, width in FRAMES:
                axes.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=colour,
                                         linewidth=width, zorder=5, clip_on=False))  # fmt: skip
    for set_ticks, values in ((axes.set_xticks, cells.xs), (axes.set_yticks, cells.ys)):
        step = math.ceil(len(values) / MOST_TICKS)
        places = [i + 0.5 for i in range(0, len(values), step)]
        set_ticks(places, [f"{value:.3g}" for value in values[::step]])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)


def _draw_points(
    axes: Axes, study: Study, x: ParameterAxis, y: ParameterAxis, metric: Metric, norm: Normalize
) -> None:
    """Draw a dot for each complete trial, the best on top; the winner's star has its colour too."""
    found = scored(study, metric)
    for marker, diverged in (("X", True), ("o", False)):
        points = [(trial.values, score) for trial, score in found if trial.diverged is diverged]
        axes.scatter([x.place(values[x.key]) for values, _ in points],
                     [y.place(values[y.key]) for values, _ in points],
                     c=[score for _, score in points], norm=norm, cmap=COLOUR_MAP, marker=marker,
                     s=46, edgecolors="black", linewidths=0.5, zorder=3, clip_on=False)  # fmt: skip
    for trial, score in found:
        if trial.number == study.winner:
            colour = mpl.colormaps[COLOUR_MAP](norm(score))
            place = [x.place(trial.values[x.key])], [y.place(trial.values[y.key])]
            axes.scatter(*place, **{**WINNER, "facecolor": colour})
    x.apply(axes, "x")
    y.apply(axes, "y")


def _colour_bar(figure: Figure, panels: Sequence[tuple[Axes, Study]], metric: Metric) -> Normalize:
    """Add the colours' bar that `panels` share; it is pointed where scores lie beyond its end."""
    scores, clipped = score_range([study for _, study in panels], metric)
    worse = "min" if scores.worst < scores.best else "max"
    norm = Normalize(*scores.ends)
    bar = figure.colorbar(
        ScalarMappable(norm, COLOUR_MAP),
        ax=[axes for axes, _ in panels],
        extend=worse if clipped else "neither",
        aspect=28 if len(panels) == 1 else 20,
    )
    bar.set_label(metric.heading)
    return norm


def choose_pairs(
    search: Search, x: str | None = None, by: Sequence[str] | None = None
) -> dict[str, Pair]:
    """Return, by study, the keys that its landscape lies over; studies without a pair are absent.

    What is not asked for is the most important of the study's other numeric parameters, by the
    mean over all studies of the same space.

    Raises:
        UserError: an `x` or `by` that no study searches, or whose values are no numbers.
    """
    if by is not None and len(by) != 1:
        raise UserError(f"--by {','.join(by)}: a landscape lies over one parameter by one other")
    y = None if by is None else by[0]
    _check_key(search, "--x", x)
    _check_key(search, "--by", y)
    if x is not None and x == y:
        raise UserError(f"{x} is in both --x and --by")
    pairs = {study.name: _pair(search, study, x, y) for study in search.studies}
    if (x or y) and not any(pairs.values()):
        asked = " and ".join(filter(None, (x, y)))
        raise UserError(f"{search.name}: no study has two numbers, {asked} among them")
    return {name: pair for name, pair in pairs.items() if pair is not None}


def _check_key(search: Search, option: str, key: str | None) -> None:
    """Refuse a key that no study searches, or of which none has numbers."""
    known = dict.fromkeys(key for study in search.studies for key in study.space)
    numeric = dict.fromkeys(key for study in search.studies for key in _numeric(study))
    allowed = f"numeric parameters: {', '.join(numeric) or 'none'}"
    if key is not None and key not in known:
        hint = f"{allowed}{did_you_mean(key, list(known))}"
        raise UserError(f"{option} {key}: no study of {search.name} searches it; {hint}")
    if key is not None and key not in numeric:
        raise UserError(f"{option} {key}: its values are not numbers; {allowed}")


def _numeric(study: Study) -> list[str]:
    """Return the study's parameters with numbers."""
    return [key for key, space in study.space.items() if ParameterAxis.of(key, space).numeric]


def _pair(search: Search, study: Study, x: str | None, y: str | None) -> Pair | None:
    """Return what is asked for, completed by the most important parameters.

    In the space's order where nothing is asked for; None without two numeric parameters.
    """
    numeric, asked = _numeric(study), [key for key in (x, y) if key is not None]
    alike = [s.importances for s in search.studies if list(s.space) == list(study.space)]
    total = {key: sum((shares or {}).get(key, 0.0) for shares in alike) for key in numeric}
    ranked = sorted(numeric, key=lambda key: (key not in asked, -total[key]))
    if len(ranked) < 2 or not set(asked) <= set(numeric):
        return None
    if not asked:
        first, second = sorted(ranked[:2], key=numeric.index)
        return first, second
    return x or next(key for key in ranked if key != y), y or next(k for k in ranked if k != x)
