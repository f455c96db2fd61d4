"""Charts of probes: numbers by layer as lines, gradients as a map, balance by layer and step."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from eibench.report.charts.marks import line_chart, map_chart
from eibench.report.charts.vega import (
    MOST_COLUMNS,
    MOST_ROWS,
    counted_axis,
    legend_of,
    number_axis,
    power_axis,
    short,
    thinned,
    value_colour,
)
from eibench.report.figures.axes import LogAxis
from eibench.report.figures.layers import (
    MAP_DECADES,
    layers_of,
    networks_of,
    probe_series,
    profile,
    table_by_layer,
)
from eibench.report.figures.maps import MapGroup, balance_groups, steps_of
from eibench.report.figures.series import Series, facet_words
from eibench.report.model.document import Chart
from eibench.report.model.pivot import Key, Pivot
from eibench.report.model.suite_results import SuiteResults
from eibench.results.labels import capital
from eibench.results.metrics import LAYER_METRICS, find_metric


def layer_charts(suite: SuiteResults) -> Iterator[Chart]:
    """Yield the map of gradients, each quantity by layer, and maps by layer and step."""
    series = probe_series(suite)
    tables = [table_by_layer(suite, find_metric(name)) for name in LAYER_METRICS]
    measured = [table for table in tables if any(cell.n for cell in table.cells.values())]
    for table in measured:
        if table.metric.name == "gradient":
            yield _map(table, series)
    for table in measured:
        yield _lines(table, series)
    for group in balance_groups(suite):
        yield _by_step(suite, group)


def _lines(table: Pivot, series: Sequence[Series]) -> Chart:
    """Return medians over seeds by layer, in a band from the least to the greatest."""
    facets = networks_of(table)
    pairs = itertools.product(enumerate(series), enumerate(facets))
    profiles = {(i, j): profile(table, one.row, facet) for (i, one), (j, facet) in pairs}
    log = None
    if table.metric.scientific:
        every = (v for found in profiles.values() for line in found for v in line)
        log = LogAxis.of(every)
    rows: list[list[Any]] = []
    most = max(8, MOST_ROWS // max(1, len(profiles)))
    for (i, j), found in profiles.items():
        layers = [int(column[-1] or 0) for column in layers_of(table, facets[j])]
        for layer, low, middle, high in thinned(list(zip(layers, *found, strict=True)), most):
            ends = [log.place(v) if log else v for v in (middle, low, high)]
            if not math.isnan(middle):
                rows.append([i, j, layer, *map(short, ends), 0, None, None])
    heading = table.metric.heading
    y = power_axis(heading, log) if log else number_axis(
        table.metric, (row[k] for row in rows for k in (3, 4, 5)))  # fmt: skip
    return line_chart(
        f"{capital(heading)} by layer",
        f"A line for each of {len(series)} methods over the layers. Line: median over seeds; band:"
        " least to greatest seed." + " Powers of ten; exact zeros stand below." * bool(log),
        legend_of(one.key for one in series),
        [facet_words(table, facet) for facet in facets],
        rows,
        counted_axis("layer", max((row[2] for row in rows), default=1)),
        y,
    )


def _map(table: Pivot, series: Sequence[Series]) -> Chart:
    """Return the median by method and layer, a panel for each network."""
    facets, names = networks_of(table), [name for name, *_ in legend_of(one.key for one in series)]
    rows: list[list[Any]] = []
    for (i, one), (j, facet) in itertools.product(enumerate(series), enumerate(facets)):
        rows += [[i, j, *cell] for cell in _cells(table, one.row, facet)]
    positive = [row[4] for row in rows if row[4]] or [1.0]
    high = math.ceil(math.log10(max(positive)))
    low = max(math.floor(math.log10(min(positive))), high - MAP_DECADES)
    return map_chart(
        f"{capital(table.metric.heading)}: heat map",
        f"A row for each of {len(series)} methods, a column for each layer. Colour: median over"
        f" seeds, the darkest for 1e{low} or less; orange: exactly 0; empty: no number.",
        [facet_words(table, facet) for facet in facets],
        rows,
        "layer",
        None,
        value_colour(table.metric.heading, [10.0**low, 10.0 ** max(high, low + 1)], log=True),
        names,
    )


def _cells(table: Pivot, row: Key, facet: Key) -> Iterator[list[Any]]:
    """Yield layer, no y, and the median of the layers that are kept."""
    layers = [int(column[-1] or 0) for column in layers_of(table, facet)]
    medians = profile(table, row, facet)[1]
    for layer, value in thinned(list(zip(layers, medians, strict=True)), MOST_COLUMNS):
        if not math.isnan(value):
            yield [layer, None, short(value)]


def _by_step(suite: SuiteResults, group: MapGroup) -> Chart:
    """Return maps of a metric by layer and optimizer step."""
    steps = steps_of(suite)
    rows: list[list[Any]] = [
        [0, j, steps[column], layer + 1, short(float(number))]
        for j, one in enumerate(group.maps)
        for (layer, column), number in np.ndenumerate(one.numbers)
        if not math.isnan(number)
    ]
    greatest = max((row[4] for row in rows), default=0.0) or 1.0
    heading = group.metric.heading
    return map_chart(
        f"{capital(heading)} by layer and step",
        f"{len(group.maps)} maps of layer by step. Colour: median over seeds; the first layer is at"
        " the bottom.",
        [one.heading.replace("\n", ", ") for one in group.maps],
        rows,
        "step",
        "layer",
        value_colour(heading, [0.0, greatest]),
    )
