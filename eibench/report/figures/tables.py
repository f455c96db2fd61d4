"""A table drawn: curves over a numeric field, points by row without one, or differences.

Every seed is a dot. Runs without a number are shown too: failed ones as crosses at the bottom and,
like missing ones, by number beside the name.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eibench.errors import UserError
from eibench.plan.suite import ABLATION, BASE
from eibench.report.figures.axes import FieldAxis, end_at_percent, name_rows
from eibench.report.figures.look import style
from eibench.report.figures.series import (
    NOWHERE,
    SPREAD,
    Series,
    choose_rows,
    facet_title,
    facets_of,
    series_of,
    spread,
)
from eibench.report.figures.style import (
    ABOVE,
    COLOURS,
    add_legend,
    in_rows,
    legend_width,
    machines,
    open_page,
    same_computation,
)
from eibench.report.model.pivot import Key, Layout, Pivot, build_pivot, remaining_axes
from eibench.report.model.suite_results import SuiteResults, check_fields, is_numeric, varies
from eibench.results.cells import Aggregate
from eibench.results.labels import show_value
from eibench.results.metrics import Metric

BESIDE = 0.3
"""Share of the least distance on the x axis over which the dots of all series are spread."""
CLEAR, UNCLEAR, FAILED = COLOURS[0], "#8a8a8a", COLOURS[1]
"""Intervals that exclude zero, those that do not, and words on failures."""
LABEL = 30
"""Characters to which names and the axis label are wrapped."""


def draw_results(
    suite: SuiteResults, metric: Metric, x: str | None = None, by: Sequence[str] | None = None
) -> tuple[Figure, str | None, bool]:
    """Return a figure of `metric`, the field on its x axis, and if it shows points for want of one.

    Raises:
        UserError: as `choose_axes` and `build_pivot`.
    """
    field, layout = choose_axes(suite, x, by)
    figure = draw_table(build_pivot(suite, metric, layout), field)
    return figure, field, field is None and ABLATION not in layout.fields


def choose_axes(
    suite: SuiteResults, x: str | None = None, by: Sequence[str] | None = None
) -> tuple[str | None, Layout]:
    """Return a figure's x field, and a layout: series are rows, panels by x are columns.

    Without `x` it is the first axis that holds numbers, in evaluations the last one: conditions
    follow the axes of the networks. It is None where there is no such axis, or where rows are
    ablations: these are drawn as differences.

    Raises:
        UserError: a field that no run has, one that is listed twice, or an `x` without numbers.
    """
    rows = choose_rows(suite, by)
    if x is None and rows != [ABLATION]:
        numeric = [a for a in suite.axis_fields if a not in rows and is_numeric(suite.runs, a)]
        if numeric:
            x = numeric[-1 if suite.evaluates else 0]
    elif x is not None:
        (x,) = check_fields(suite, "--x", [x])
        if not is_numeric(suite.runs, x):
            raise UserError(f"--x {x}: not a number in every run of {suite.name}")
        if x in rows:
            raise UserError(f"{x} is in both --x and --by")
    last = [] if x is None else [x]
    panels = [a for a in remaining_axes(suite, [*rows, *last]) if varies(suite.runs, a, last)]
    layout = Layout(tuple(rows), (*panels, *last))
    return x, replace(layout, reference=(ABLATION, BASE) if ABLATION in layout.fields else None)


@style()
def draw_table(table: Pivot, x: str | None) -> Figure:
    """Draw `table`: rows are series; the last column field is `x`, earlier ones make panels.

    With x = None all column fields make panels, of points, or of differences for ablations.
    """
    depth = len(table.layout.columns) - (x is not None)
    rows = in_rows(facets_of(table, depth))
    series = series_of(table)
    panel = (5.2 if len(rows[0]) == 1 else 3.0, 3.3 if x else 0.9 + 0.3 * len(table.rows))
    margin = (legend_width(one.label for one in series), 0.8)
    figure, grid, panels = open_page(
        table.suite.title, caption(table, x), rows, panel, margin, sharey=True
    )
    for axes, facet in panels:
        _draw_panel(axes, table, series, facet, x)
    if x is not None:
        for axes in grid[:, 0]:
            axes.set_ylabel(table.metric_heading)
        add_legend(grid)
    return figure


def _draw_panel(
    axes: Axes, table: Pivot, series: Sequence[Series], facet: Key, x: str | None
) -> None:
    columns = [column for column in table.columns if column[: len(facet)] == facet]
    if x is not None:
        draw_curves(axes, table, series, columns, FieldAxis.of(table.columns, x))
    elif _as_differences(table, x):
        draw_differences(axes, table, columns[0])
    else:
        draw_dots(axes, table, series, columns[0])
    axes.set_title(facet_title(table, facet))


def _as_differences(table: Pivot, x: str | None) -> bool:
    return x is None and table.layout.rows == (ABLATION,)


def caption(table: Pivot, x: str | None) -> str:
    """Return n, the meaning of what is drawn, and the machines."""
    parts = [f"n = {table.planned}"]
    if _as_differences(table, x):
        parts += difference_signs(table)
    elif table.planned > 1:
        mean, bar = ("tick", "bar") if x is None else ("line", "band or bar")
        parts += ["dots: seeds", f"{mean}: mean", f"{bar}: {SPREAD}"]
    if x is not None and any(cell.failed for cell in table.cells.values()):
        parts.append("cross: failed runs")
    words = "; ".join([*parts, *same_computation(table.suite)]).replace("; \n", "\n")
    return "\n".join([words, *machines(table.suite.runs)])


def draw_curves(
    axes: Axes, table: Pivot, series: Sequence[Series], columns: Sequence[Key], axis: FieldAxis
) -> None:
    """Draw one panel: the cells of `columns`, whose last value is the place on the x axis."""
    places = [axis.positions[float(column[-1] or 0)] for column in columns]
    for one in series:
        cells = [table.cells.get((one.row, column), Aggregate({}, {})) for column in columns]
        _draw_mean(axes, one, cells, places, table.metric)
        _draw_seeds(axes, one, cells, [place + BESIDE * axis.step * one.shift for place in places])
    axis.apply(axes)
    end_at_percent(axes, "y", table.metric)


def _draw_mean(
    axes: Axes,
    one: Series,
    cells: Sequence[Aggregate],
    places: Sequence[float],
    metric: Metric,
) -> None:
    """Draw line and band, which stop where a cell has no number; a bar shows a lonely spread."""
    means = [math.nan if cell.mean is None else cell.mean for cell in cells]
    low, high = zip(*(spread(cell, metric) or NOWHERE for cell in cells), strict=True)
    axes.fill_between(places, low, high, color=one.colour, alpha=0.13, linewidth=0)
    axes.vlines(places, low, high, color=one.colour, alpha=0.35, linewidth=1)
    axes.plot(places, means, **one.look)


def _draw_seeds(
    axes: Axes, one: Series, cells: Sequence[Aggregate], places: Sequence[float]
) -> None:
    """Draw a dot for each seed, and a cross on the bottom axis where runs of a cell failed."""
    for cell, place in zip(cells, places, strict=True):
        if cell.n > 1:
            axes.scatter([place] * cell.n, list(cell.values.values()), s=7, color=one.colour,
                         alpha=0.55, linewidths=0)  # fmt: skip
    failed = [place for cell, place in zip(cells, places, strict=True) if cell.failed]
    axes.scatter(failed, [0.0] * len(failed), transform=axes.get_xaxis_transform(), marker="x",
                 s=45, linewidths=1.8, color=one.colour, clip_on=False, zorder=6)  # fmt: skip


def draw_dots(axes: Axes, table: Pivot, series: Sequence[Series], column: Key) -> None:
    """Draw one panel: seeds, mean and spread of the cells of `column`, the first row on top."""
    for y, one in enumerate(series):
        cell = table.cells.get((one.row, column))
        if cell is None or cell.mean is None:
            continue
        if ends := spread(cell, table.metric):
            axes.plot(ends, [y, y], color=one.colour, alpha=0.3, linewidth=7, solid_capstyle="butt")
        axes.plot([cell.mean], [y], marker="|", markersize=15, markeredgewidth=2, color=one.colour)
        axes.scatter(list(cell.values.values()), [y] * cell.n, s=26, color=one.colour,
                     marker=one.marker, edgecolors="white", linewidths=0.6, zorder=4)  # fmt: skip
    name_rows(axes, [one.label for one in series])
    axes.set_xlabel(table.metric_heading)
    end_at_percent(axes, "x", table.metric)


def draw_differences(axes: Axes, table: Pivot, column: Key) -> None:
    """Draw one panel: the ablations of `column`, those without a number in words."""
    rows = [row for row in table.rows if row != (BASE,)]
    axes.axvline(0, color="black", linewidth=1, zorder=1)
    for y, row in enumerate(rows):
        if (row, column) in table.cells:
            _draw_difference(axes, y, table, (row, column))
    name_rows(axes, [textwrap.fill(show_value(row[0]), LABEL) for row in rows])
    axes.set_xlabel(textwrap.fill(table.metric.difference_heading(BASE), LABEL))


def _draw_difference(axes: Axes, y: int, table: Pivot, place: tuple[Key, Key]) -> None:
    """Draw mean, interval, and each seed less the base's mean; filled where zero is excluded."""
    cell, found = table.cells[place], table.differences.get(place)
    if found is None:
        words = "no base" if cell.n else cell.reasons(table.metric)
        axes.text(0.02, y, words, transform=axes.get_yaxis_transform(), size=8, color=FAILED,
                  va="center", bbox={"color": "white", "pad": 1})  # fmt: skip
        return
    colour = CLEAR if found.excludes_zero else UNCLEAR
    if found.interval:
        axes.plot(found.interval, [y, y], color=colour, linewidth=2, solid_capstyle="butt")
    if cell.n > 1:
        base = table.cells[table.layout.base_of(*place)].mean or 0.0
        axes.scatter([value - base for value in cell.values.values()], [y - ABOVE] * cell.n, s=10,
                     color=colour, alpha=0.7, linewidths=0)  # fmt: skip
    axes.plot([found.mean], [y], marker="D", markersize=6, color=colour, zorder=4,
              markerfacecolor=colour if found.excludes_zero else "white")  # fmt: skip
    remark = cell.remark(table.metric, table.planned)
    axes.annotate(remark, (found.mean, y), (0, -8), size=6.5, color=FAILED,
                  textcoords="offset points", ha="center", va="top")  # fmt: skip


def difference_signs(table: Pivot) -> list[str]:
    """Return what the signs mean, for a caption, and which base runs are lacking."""
    parts = ["diamond: difference of means"]
    if table.planned > 1:
        parts.append("dots: seeds, less the base's mean")
    if any(found.interval is not None for found in table.differences.values()):
        method = "paired by seed, Bonferroni" if table.paired else "Welch, Dunnett"
        parts.append(f"\nbar: 95 % confidence interval, all of a panel together ({method})")
        parts.append("filled: excludes 0")
    base = [cell for (row, _), cell in table.cells.items() if row == (BASE,)]
    if lacking := sum((Counter(cell.absent) for cell in base), Counter()):
        listed = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in lacking.items())
        parts.append(f"\nbase runs without a number: {listed}")
    return parts
