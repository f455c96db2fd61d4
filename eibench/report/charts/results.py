"""Charts of a table: a metric over a numeric field or by name, differences, accuracy against cost.

They show the data of `figures.tables` and `figures.tradeoff`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import altair as alt

from eibench.plan.suite import ABLATION
from eibench.report.charts.marks import dot_chart, line_chart
from eibench.report.charts.vega import (
    NUMBER,
    Legend,
    field_axis,
    legend_of,
    limits,
    number_axis,
    short,
)
from eibench.report.figures.series import (
    SPREAD,
    Series,
    facet_layout,
    facet_words,
    facets_of,
    series_of,
    spread,
)
from eibench.report.figures.tables import choose_axes
from eibench.report.figures.tradeoff import COSTS, both, with_step
from eibench.report.model.document import Chart
from eibench.report.model.pivot import Key, Pivot, build_pivot
from eibench.report.model.suite_results import SuiteResults
from eibench.results.cells import Aggregate
from eibench.results.labels import capital, field_words
from eibench.results.metrics import Metric, find_metric

Rows = list[list[Any]]


def metric_charts(suite: SuiteResults, metric: Metric) -> Iterator[Chart]:
    """Yield the chart of a metric: lines over the first numeric axis, or a row for each name."""
    x, layout = choose_axes(suite)
    table = build_pivot(suite, metric, layout)
    if not any(cell.n for cell in table.cells.values()):
        return
    if x is None:
        if ABLATION not in layout.fields and len(table.cells) > 1:
            yield _by_name(table)
    else:
        yield _over_field(table, x)


def _over_field(table: Pivot, x: str) -> Chart:
    """Return a line for each series over the last column field, a panel for each other."""
    facets = facets_of(table, len(table.layout.columns) - 1)
    series = series_of(table)
    rows: Rows = []
    for (i, one), (j, facet) in itertools.product(enumerate(series), enumerate(facets)):
        for column in table.columns:
            cell = table.cells.get((one.row, column))
            if column[:-1] == facet and cell is not None:
                place = short(float(column[-1] or 0))
                rows += _cell_rows([i, j, place], cell, table.metric)
    places = [float(column[-1] or 0) for column in table.columns]
    return line_chart(
        f"{capital(table.metric.heading)} by {field_words(x)}",
        f"A line for each {_kind(table)} over {field_words(x)}. {_signs(table)}",
        legend_of(one.key for one in series),
        [facet_words(table, facet) for facet in facets],
        rows,
        field_axis(places, x),
        number_axis(table.metric, _drawn(rows, (3, 4, 5, 8))),
    )


def _cell_rows(start: list[Any], cell: Aggregate, metric: Metric) -> Iterator[list[Any]]:
    """Yield the row of a mean, and one for each seed if there are several."""
    low, high = spread(cell, metric) or (None, None)
    yield [*start, short(cell.mean), short(low), short(high), cell.failed, None, None]
    if cell.n > 1:
        for seed, value in cell.values.items():
            yield [*start, None, None, None, 0, seed, short(value)]


def _by_name(table: Pivot) -> Chart:
    """Return a row for each name with its mean, spread and seeds."""
    series, rows = series_of(table), []
    for (i, one), (j, facet) in itertools.product(enumerate(series), enumerate(table.columns)):
        if (cell := table.cells.get((one.row, facet))) and cell.n:
            low, high = spread(cell, table.metric) or (None, None)
            rows.append([i, j, short(cell.mean), short(low), short(high), True, None, None])
            rows += _seed_rows(i, j, cell)
    return dot_chart(
        capital(table.metric.heading),
        f"A row for each {_kind(table)}. {_signs(table, 'bar')}",
        legend_of(one.key for one in series),
        [facet_words(table, facet) for facet in table.columns],
        rows,
        table.metric.heading,
        limits(_drawn(rows, (2, 3, 4, 7)), table.metric.greatest),
    )


def _seed_rows(i: int, j: int, cell: Aggregate, less: float = 0.0) -> Iterator[list[Any]]:
    """Yield a row for each of several seeds, with its value less the control's mean."""
    if cell.n > 1:
        for seed, value in cell.values.items():
            yield [i, j, None, None, None, None, seed, short(value - less)]


def difference_charts(table: Pivot) -> Iterator[Chart]:
    """Yield the differences of a table to its control, each with its interval, if there are any."""
    reference = table.layout.reference
    if reference is None or not table.differences:
        return
    chosen = [one for one in series_of(table) if _differs(table, one)]
    panels = [c for c in table.columns if any((one.row, c) in table.differences for one in chosen)]
    rows: Rows = []
    for (i, one), (j, column) in itertools.product(enumerate(chosen), enumerate(panels)):
        found = table.differences.get((one.row, column))
        if found is not None:
            low, high = found.interval or (None, None)
            clear = found.excludes_zero
            rows.append([i, j, short(found.mean), short(low), short(high), clear, None, None])
            base = table.cells[table.layout.base_of(one.row, column)].mean or 0.0
            rows += _seed_rows(i, j, table.cells[one.row, column], base)
    control = table.suite.name_of(*reference)
    margin = f" Grey: equivalent, within {table.margin:g}." if table.margin else ""
    yield dot_chart(
        f"Difference to {control} with 95 % intervals",
        f"A row for each {_kind(table)}. Mark: difference of means; bar: 95 % confidence"
        " interval; small dots: seeds, less the mean of the control. A full mark has an interval"
        f" without 0.{margin}",
        legend_of(one.key for one in chosen),
        [facet_words(table, column) for column in panels],
        rows,
        table.metric.difference_heading(control),
        zero=table.margin or 0.0,
    )


def _differs(table: Pivot, one: Series) -> bool:
    return any((one.row, column) in table.differences for column in table.columns)


def cost_charts(suite: SuiteResults) -> Iterator[Chart]:
    """Yield accuracy over each cost that was measured, a panel for each condition."""
    layout = facet_layout(suite)
    accuracy = build_pivot(suite, find_metric("test_accuracy"), layout)
    timed = replace(suite, runs=tuple(map(with_step, suite.runs)))
    series, facets = series_of(accuracy), facets_of(accuracy, len(layout.columns))
    for metric in COSTS[::2]:  # the time of a run is in the table
        cost = build_pivot(timed, metric, layout)
        rows: Rows = []
        for (i, one), (j, facet) in itertools.product(enumerate(series), enumerate(facets)):
            rows += _cost_rows([i, j], accuracy, cost, one.row, facet)
        if len(rows) > 1:
            panels = [facet_words(accuracy, facet) for facet in facets]
            yield _cost_chart(
                metric, accuracy.metric, legend_of(one.key for one in series), panels, rows
            )


def _cost_rows(
    start: list[Any], accuracy: Pivot, cost: Pivot, row: Key, column: Key
) -> Iterator[list[Any]]:
    """Yield the mean of a cell with the spread of its accuracy."""
    prices, scores = both(accuracy, cost, row, column)
    if prices:
        x, y = (Aggregate(dict(enumerate(values)), {}) for values in (prices, scores))
        low, high = spread(y, accuracy.metric) or (None, None)
        yield [*start, short(x.mean), short(y.mean), short(low), short(high), 0, None, None]


def _cost_chart(
    cost: Metric, accuracy: Metric, legend: Legend, panels: Sequence[str], rows: Rows
) -> Chart:
    ends = limits(_drawn(rows, (2,)))
    x = alt.X("x:Q", title=cost.heading, axis=alt.Axis(format=NUMBER, grid=False),
              scale=alt.Scale(domain=[0, ends[1]], nice=False))  # fmt: skip
    return line_chart(
        f"{capital(accuracy.heading)} against {cost.label}",
        f"Mark: mean; bar of the accuracy: {SPREAD}. Times of unlike machines do not compare.",
        legend,
        panels,
        rows,
        x,
        number_axis(accuracy, _drawn(rows, (3, 4, 5, 8))),
    )


def _drawn(rows: Rows, places: Sequence[int]) -> list[float]:
    """Return the numbers at some places of all rows."""
    return [row[place] for row in rows for place in places if row[place] is not None]


def _signs(table: Pivot, mean: str = "line") -> str:
    """Return n and what the signs mean."""
    parts = [f"n = {table.planned}"]
    if table.planned > 1:
        words = "mark: mean" if mean == "bar" else "line: mean"
        parts += [words, f"{'bar' if mean == 'bar' else 'band'}: {SPREAD}", "small dots: seeds"]
    parts += ["cross: failed runs"] * any(cell.failed for cell in table.cells.values())
    return f"{'; '.join(parts)}."


def _kind(table: Pivot) -> str:
    """Return what a line or a row stands for."""
    return " and ".join(map(field_words, table.layout.rows)) or "setting"
