"""Learning curves: loss and accuracy of training and validation by epoch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from eibench.report.figures.axes import end_at_percent, whole_ticks
from eibench.report.figures.look import style
from eibench.report.figures.series import (
    NOWHERE,
    SPREAD,
    Series,
    facet_layout,
    facet_title,
    facets_of,
    series_of,
    spread,
)
from eibench.report.figures.style import (
    DASHED,
    GREY,
    SOLID,
    add_legend,
    in_rows,
    legend_width,
    machines,
    open_page,
    same_computation,
)
from eibench.report.model.epochs import learning_pivots, read_epochs
from eibench.report.model.pivot import Key, Pivot, build_pivot
from eibench.report.model.suite_results import SuiteResults
from eibench.results.cells import Aggregate
from eibench.results.metrics import find_metric

WAYS, QUANTITIES = ("train", "validation"), ("loss", "accuracy")
"""Rows of panels; each is drawn in training and in validation."""
WIDE = 4
"""Panels in a row."""
DECADES = 1.3
"""Powers of ten of losses beyond which their axis is a log scale."""
AIR = 0.04
"""Share of all epochs that stays free at each end."""
LOWER = 0.8
"""Lower end of a log scale, in the least mean."""
MARKS = 8
"""Markers on a line."""
VALIDATION: dict[str, Any] = {"linestyle": SOLID, "linewidth": 1.5, "markersize": 4}
TRAINING: dict[str, Any] = {"linestyle": DASHED, "linewidth": 1.1}
"""Looks of lines, whose colour and marker are those of their series."""
Tables = Mapping[str, Pivot]


@style()
def draw_learning(suite: SuiteResults, by: Sequence[str] | None = None) -> Figure | None:
    """Draw a line for each series and a column of panels for each other condition.

    None where no run has recorded an epoch.

    Raises:
        UserError: as `facet_layout` and `build_pivot`.
    """
    lines = read_epochs(suite)
    if not any(lines.values()):
        return None
    layout = facet_layout(suite, by)
    runs = build_pivot(suite, find_metric("test_accuracy"), layout)
    tables, series = learning_pivots(suite, lines, layout), series_of(runs)
    rows = [
        [facet and (quantity, facet[0]) for facet in row]
        for row in in_rows([(facet,) for facet in facets_of(runs, len(layout.columns))], WIDE)
        for quantity in QUANTITIES
    ]
    panel = (4.0 if len(rows[0]) == 1 else 2.6, 2.3)
    margin = (legend_width([*(one.label for one in series), "validation"]), 0.8)
    text = _caption(suite, tables)
    figure, grid, panels = open_page(suite.title, text, rows, panel, margin, sharey="row")
    for axes, (quantity, facet) in panels:
        _draw_panel(axes, tables, series, quantity, facet)
        axes.set_title(facet_title(runs, facet))
    for axes, (quantity, _) in ((row[0], names[0]) for row, names in zip(grid, rows, strict=True)):
        _set_scale(axes, [tables[f"{way}_{quantity}"] for way in WAYS])
    signs = {one.label: Line2D([], [], **{**one.look, **VALIDATION}) for one in series}
    for name, look in (("validation", VALIDATION), ("training", TRAINING)):
        signs[name] = Line2D([], [], color=GREY, **look)
    add_legend(grid, signs)
    return figure


def _draw_panel(
    axes: Axes, tables: Tables, series: Sequence[Series], quantity: str, facet: Key
) -> None:
    """Draw one quantity under one condition; crosses at the bottom say where runs failed."""
    found = log_range([tables[f"{way}_{quantity}"] for way in WAYS])
    floor = LOWER * found[0] if found else 0.0  # a band that reaches zero has no end on a log scale
    for one, way in itertools.product(series, WAYS):
        table = tables[f"{way}_{quantity}"]
        epochs, cells = zip(*_cells(table, one.row, facet), strict=True)
        low, high = zip(*(spread(cell, table.metric) or NOWHERE for cell in cells), strict=True)
        means = [math.nan if cell.mean is None else cell.mean for cell in cells]
        trained = way == "train"
        look = {**one.look, **VALIDATION, "markevery": max(1, len(epochs) // MARKS)}
        if trained:
            look |= {**TRAINING, "color": one.colour, "marker": ""}
        axes.fill_between(
            epochs,
            np.maximum(low, floor),
            high,
            color=one.colour,
            alpha=0.06 if trained else 0.15,
            linewidth=0,
        )
        axes.plot(epochs, means, **look)
        failed = [epoch for epoch, cell in zip(epochs, cells, strict=True) if cell.failed]
        axes.scatter(failed, [0.0] * len(failed), transform=axes.get_xaxis_transform(), marker="x",
                     s=30, linewidths=1.5, color=one.colour, clip_on=False, zorder=6)  # fmt: skip
    air = AIR * max(epochs)
    axes.set(xlim=(1 - air, max(epochs) + air), xlabel="epoch")
    whole_ticks(axes)


def _cells(table: Pivot, row: Key, facet: Key) -> Iterator[tuple[float, Aggregate]]:
    """Yield the epochs of one line, each with its cell."""
    for column in table.columns:
        if column[:-1] == facet:
            yield float(column[-1] or 0), table.cells.get((row, column), Aggregate({}, {}))


def log_range(tables: Sequence[Pivot]) -> tuple[float, float] | None:
    """Return the least and the greatest mean of losses of several powers of ten; else None."""
    means = [
        cell.mean for table in tables for cell in table.cells.values() if cell.mean is not None
    ]
    least, greatest = min(means, default=0.0), max(means, default=0.0)
    several = 0 < least * 10**DECADES < greatest and tables[0].metric.unit != "%"
    return (least, greatest) if several else None


def _set_scale(axes: Axes, tables: Sequence[Pivot]) -> None:
    """Name a y axis, and give losses of several powers of ten a log scale."""
    metric = tables[-1].metric
    axes.set_ylabel(metric.heading.removeprefix("validation "))
    if found := log_range(tables):
        axes.set_yscale("log")
        axes.set_ylim(LOWER * found[0], found[1] / LOWER)
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    end_at_percent(axes, "y", metric)


def _caption(suite: SuiteResults, tables: Tables) -> str:
    """Return n, what the signs mean, and the machines."""
    table = tables["train_loss"]
    parts = [f"n = {table.planned}", "solid: validation, dashed: training"]
    parts += ["line: mean", f"band: {SPREAD}"] * (table.planned > 1)
    failed = any(cell.failed for cell in table.cells.values())
    parts += ["cross: a run failed there, and the mean is of the others"] * failed
    return "\n".join(["; ".join([*parts, *same_computation(suite)]), *machines(suite.runs)])
