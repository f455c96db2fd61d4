"""Charts of epochs: loss and accuracy of training and validation, firing rates by layer."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt

from eibench.report.charts.marks import line_chart, map_chart
from eibench.report.charts.vega import (
    MOST_ROWS,
    NUMBER,
    Legend,
    counted_axis,
    legend_of,
    limits,
    short,
    thinned,
    value_colour,
)
from eibench.report.figures.curves import LOWER, QUANTITIES, log_range
from eibench.report.figures.series import (
    SPREAD,
    Series,
    facet_layout,
    facet_words,
    facets_of,
    series_of,
    spread,
)
from eibench.report.model.document import Chart
from eibench.report.model.epochs import Lines, firing_rates, learning_pivots, read_epochs
from eibench.report.model.pivot import Key, Layout, Pivot, build_pivot
from eibench.report.model.suite_results import SuiteResults
from eibench.results.cells import Aggregate
from eibench.results.metrics import Metric, find_metric

WAYS = ("validation", "train")
MOST_MAPS = 24
"""Panels of firing rates, beyond which a page leaves them to `eibench plot --curves`."""
NOTHING = Aggregate({}, {})


def learning_charts(suite: SuiteResults) -> Iterator[Chart]:
    """Yield loss and accuracy by epoch, and firing rates; nothing where no epoch is recorded."""
    lines = read_epochs(suite)
    if not any(lines.values()):
        return
    layout = facet_layout(suite)
    runs = build_pivot(suite, find_metric("test_accuracy"), layout)
    tables, series = learning_pivots(suite, lines, layout), series_of(runs)
    facets = facets_of(runs, len(layout.columns))
    panels = [facet_words(runs, facet) for facet in facets]
    for quantity in reversed(QUANTITIES):
        if chart := _curves(tables, series, facets, panels, quantity):
            yield chart
    yield from _rates(suite, lines, layout, series, facets, panels)


def _curves(
    tables: Mapping[str, Pivot],
    series: Sequence[Series],
    facets: Sequence[Key],
    panels: Sequence[str],
    quantity: str,
) -> Chart | None:
    """Return one quantity by epoch, in validation and in training."""
    both = [tables[f"{way}_{quantity}"] for way in WAYS]
    most = max(2, MOST_ROWS // (len(series) * len(facets) * len(both)))
    rows: list[list[Any]] = []
    for (i, one), (j, facet), (k, table) in itertools.product(
        enumerate(series), enumerate(facets), enumerate(both)
    ):
        columns = [column for column in table.columns if column[:-1] == facet]
        kept = {*thinned(columns, most)}
        for column in columns:
            cell = table.cells.get((one.row, column), NOTHING)
            if (column in kept and cell.n) or cell.failed:
                low, high = spread(cell, table.metric) or (None, None)
                numbers = map(short, (float(column[-1] or 0), cell.mean, low, high))
                rows.append([i, j, *numbers, cell.failed, None, None, k])
    if not rows:
        return None
    return line_chart(
        f"Learning curves: {quantity}",
        f"{quantity.capitalize()} by epoch. Solid: validation, dashed: training;"
        f" n = {both[0].planned}; line: mean; band: {SPREAD};"
        " cross: a run failed there, and the mean is of the others.",
        legend_of(one.key for one in series),
        panels,
        rows,
        counted_axis("epoch", max(row[2] for row in rows)),
        _scale(both, rows),
        WAYS,
    )


def _scale(tables: Sequence[Pivot], rows: Sequence[Sequence[Any]]) -> alt.Y:
    """Return the y axis: a log scale for losses of several powers of ten."""
    metric = tables[0].metric
    title = metric.heading.removeprefix("validation ")
    if found := log_range(tables):
        scale: Any = {"type": "log", "domain": [LOWER * found[0], found[1] / LOWER]}
    else:
        drawn = [row[i] for row in rows for i in (3, 4, 5)]
        scale = {"domain": limits(drawn, metric.greatest)}
    return alt.Y("mean:Q", title=title, scale=alt.Scale(**scale, nice=False),
                 axis=alt.Axis(format=NUMBER, tickCount=5))  # fmt: skip


def _rates(
    suite: SuiteResults,
    lines: Lines,
    layout: Layout,
    series: Sequence[Series],
    facets: Sequence[Key],
    panels: Sequence[str],
) -> Iterator[Chart]:
    """Yield the map of firing rates by layer and epoch, if it has few panels enough."""
    found = firing_rates(suite, lines, layout)
    places = [(one, facet) for one in series for facet in facets if found.get((one.row, facet))]
    if not 0 < len(places) <= MOST_MAPS:
        return
    metric: Metric = find_metric("firing_rate")
    names = legend_of(one.key for one in series)
    rows: list[list[Any]] = []
    heads: list[str] = []
    cells = max(len(e) * max(map(len, e)) for e in (found[one.row, f] for one, f in places))
    for j, (one, facet) in enumerate(places):
        heads.append(
            ", ".join(filter(None, (_name(names, series, one), panels[facets.index(facet)])))
        )
        epochs = list(enumerate(found[one.row, facet], start=1))
        for epoch, layers in thinned(
            epochs, max(5, MOST_ROWS // len(places) * len(epochs) // cells)
        ):
            rows += [
                [0, j, epoch, layer, short(statistics.fmean(seeds))]
                for layer, seeds in enumerate(layers, start=1)
            ]
    greatest = max((row[4] for row in rows), default=0.0) or 1.0
    yield map_chart(
        "Firing rates by layer",
        f"{len(heads)} maps of layer by epoch. Colour: mean over seeds; the first layer is at the"
        " bottom.",
        heads,
        rows,
        "epoch",
        "layer",
        value_colour(metric.heading, [0.0, greatest]),
    )


def _name(names: Legend, series: Sequence[Series], one: Series) -> str:
    return names[series.index(one)][0]
