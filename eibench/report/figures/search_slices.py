"""A search by its parameters: the score over each of them, the winners marked.

Studies of one method share their panels and have a colour each.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from eibench.report.figures.search_axes import Parameter, Sight
from eibench.report.figures.search_history import WINNER
from eibench.report.figures.search_panels import (
    Group,
    counting,
    groups,
    labels,
    name_looks,
    page,
    places,
    scored,
    with_scores,
    wrap,
)
from eibench.report.figures.style import COLOURS, MARKERS, style
from eibench.report.model.search_results import Search, Study
from eibench.results.metrics import Metric

DIVERGED = "X"
"""Its marker."""
SPREAD = 0.4
"""Share of the way from one choice to the next over which studies are spread."""


@dataclass(frozen=True)
class Slice:
    """A panel: one parameter of the studies of a group."""

    group: Group
    parameter: Parameter
    sight: Sight


def draw_slices(search: Search, metric: Metric) -> Figure | None:
    """The score over each parameter, the winner marked; None without a complete trial."""
    found = groups(search, with_scores(search, metric))
    if not found:
        return None
    rows = [_row(group, metric) for group in found]
    panels = _fill(rows)
    high, wide = len(panels), len(panels[0])
    with style():
        size = ((2.3 if wide < 4 else 2.0) * wide + 1.5, 2.0 * high + 1.0)
        figure = page(search, "score by parameter", size, _words(rows, metric))
        grid = figure.subplots(high, wide, squeeze=False)
        for axes, panel in places(grid, panels):
            _draw_slice(axes, panel, labels(found), metric)
        for row, slices in zip(grid, panels, strict=True):
            row[0].set_ylabel(metric.heading, fontsize=9 if high == 1 else 8)
            for axes, (left, panel) in zip(row[1:], itertools.pairwise(slices), strict=True):
                axes.tick_params(labelleft=bool(left and panel and left.group != panel.group))
        name_looks(grid[0, -1], labels(found), MARKERS)
    return figure


def _row(group: Group, metric: Metric) -> list[Slice]:
    sight = Sight.of(counting(group.studies, metric), metric)
    return [Slice(group, Parameter.of(*item), sight) for item in group.space.items()]


def _fill(rows: Sequence[list[Slice]]) -> list[list[Slice | None]]:
    """A row of panels for each group; a single row, or a single column, is wrapped."""
    wide = max(map(len, rows))
    if len(rows) == 1 or wide == 1:
        return wrap(list(itertools.chain(*rows)))
    return [[*row, *[None] * (wide - len(row))] for row in rows]


def _words(rows: Sequence[list[Slice]], metric: Metric) -> list[str]:
    """What the signs mean that occur."""
    pairs = [
        (row[0].sight, trial, score)
        for row in rows
        for study in row[0].group.studies
        for trial, score in scored(study.trials, metric)
    ]
    return [
        "dots: complete trials",
        "star: winner",
        *["cross: diverged"] * any(trial.diverged for _, trial, _ in pairs),
        *[rows[0][0].sight.edge] * any(sight.cuts([score]) for sight, _, score in pairs),
    ]


def _draw_slice(axes: Axes, panel: Slice, looks: Sequence[str], metric: Metric) -> None:
    """One parameter of all studies that share the panel."""
    for label, study in panel.group.members.items():
        i = looks.index(label)
        beside = SPREAD * ((i + 0.5) / len(looks) - 0.5) if panel.parameter.choices else 0.0
        _draw_study(axes, panel, study, i, beside, metric, len(looks) > 1)
    panel.parameter.apply_x(axes)
    axes.set_title(panel.group.name, fontsize=9)
    axes.set_xlabel(panel.parameter.heading, fontsize=8)
    axes.set_ylim(*panel.sight.limits)
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _draw_study(
    axes: Axes, panel: Slice, study: Study, i: int, beside: float, metric: Metric, several: bool
) -> None:
    """The trials of one study, and its winner: in the study's colour where there are several."""
    colour, key = COLOURS[i % len(COLOURS)], panel.parameter.key
    for trial, score in scored(study.trials, metric):
        place = (panel.parameter.place(trial.values[key]) + beside, panel.sight.place(score))
        marker = DIVERGED if trial.diverged else MARKERS[i % len(MARKERS)]
        axes.scatter(*place, s=26 if trial.diverged else 16, marker=marker, color=colour,
                     alpha=0.75, linewidths=0, clip_on=False, zorder=3)  # fmt: skip
        if trial.number == study.winner:
            own = {"facecolor": colour} if several else {}
            axes.scatter(*place, clip_on=False, **{**WINNER, **own})
