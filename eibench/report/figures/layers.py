"""A probe suite drawn layer by layer: lines for each quantity, and a map of one for all networks.

Quantities of net synapses have a figure of their own, in which all panels of a quantity share their
scale: what training changes is seen side by side.

What is drawn of several seeds is their median, and in lines the range from the least to the
greatest: means of numbers that span many powers of ten say little, and some are exactly zero.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from eibench.plan.spec import PROBE
from eibench.plan.suite import LAYER, METHOD
from eibench.report.figures.axes import LogAxis, whole_ticks
from eibench.report.figures.look import style
from eibench.report.figures.series import Series, facet_title, facet_words, facets_of, series_of
from eibench.report.figures.style import (
    COLOUR_MAP,
    PANELS_IN_ROW,
    add_legend,
    in_rows,
    legend_width,
    machines,
    open_page,
    same_computation,
)
from eibench.report.model.layers import DEFAULTS, layer_pivot
from eibench.report.model.pivot import Key, Layout, Pivot, build_pivot, remaining_axes
from eibench.report.model.suite_results import SuiteResults
from eibench.results.cells import Aggregate
from eibench.results.labels import seeds_in_words
from eibench.results.metrics import LAYER_METRICS, Metric, find_metric

NET_SYNAPSE = ("net_mean", "current_mean_spread", "update_mean", "update_scale", "update_size")
"""Metrics of the figure of net synapses, from cause to effect to the update behind them."""
MAP_DECADES = 6
"""Powers of ten that a map's colours tell apart; smaller numbers have the last colour."""
TOP = 1.1
"""End of a y axis that panels share, in greatest medians."""
HEADING = 15
"""Letters of a heading in an inch of a panel."""
ZERO: dict[str, Any] = {"facecolor": "#ffffff", "edgecolor": "#D55E00", "hatch": "////"}
ABSENT: dict[str, Any] = {"facecolor": "#dddddd", "edgecolor": "#dddddd"}
"""Looks of cells of a map that have no logarithm, or no number."""


@style()
def draw_lines(suite: SuiteResults) -> Figure:
    """Draw each quantity over the layers of the deepest networks, a line for each method."""
    names = [name for name in LAYER_METRICS if name not in NET_SYNAPSE]
    tables = _measured(suite, names) or [table_by_layer(suite, find_metric(names[0]))]
    return _draw_quantities(suite, tables, ["line: median", "band: least to greatest seed"])


@style()
def draw_net_synapse(suite: SuiteResults) -> Figure | None:
    """Draw means and updates of net synapses as `draw_lines`; None where they are not measured."""
    tables = _measured(suite, NET_SYNAPSE)
    drawn = ["line: median", "band: least to greatest seed, clipped at the panel's edge"]
    return _draw_quantities(suite, tables, drawn, one_scale=True) if tables else None


def _measured(suite: SuiteResults, names: Sequence[str]) -> list[Pivot]:
    """Return the tables of the metrics `names` that have any number."""
    tables = [table_by_layer(suite, find_metric(name)) for name in names]
    return [table for table in tables if any(cell.n for cell in table.cells.values())]


def _draw_quantities(
    suite: SuiteResults, tables: Sequence[Pivot], drawn: list[str], one_scale: bool = False
) -> Figure:
    """Draw a panel of each table for each of the deepest networks.

    With `one_scale` the panels of a table have the same y axis.
    """
    layers = {facet: len(layers_of(tables[0], facet)) for facet in networks_of(tables[0])}
    deepest = [facet for facet, n in layers.items() if n == max(layers.values())]
    several = len(deepest) > 1  # then a row for each quantity, a column for each network
    panels = [(table, facet) for table in tables for facet in deepest]
    rows = in_rows(panels, len(deepest) if several else PANELS_IN_ROW)
    words = facet_words(tables[0], deepest[0])
    title = suite.title if several or not words else f"{suite.title}: {words}"
    text = _caption(suite, drawn)
    series = probe_series(suite)
    # The legend is beside the panels, where no place is empty.
    margin = legend_width(one.label for one in series) if rows[-1][-1] else 0.3
    figure, grid, pairs = open_page(title, text, rows, (3.0, 2.3), (margin, 0.8))
    letters = max(10, int(HEADING * (figure.get_figwidth() - margin) / len(rows[0])))
    for axes, (table, facet) in pairs:
        _draw_panel(axes, table, facet, series, deepest if one_scale else ())
        heading = [facet_words(table, facet)] if several else []
        heading += wrap(table.metric.heading, letters)
        axes.set_title("\n".join(heading), fontsize=7.5)
    add_legend(grid)
    return figure


@style()
def draw_map(suite: SuiteResults) -> Figure:
    """Draw log10 of the gradient by method and layer, a panel for each network."""
    metric = find_metric("gradient")
    table = table_by_layer(suite, metric)
    series, every = probe_series(suite), networks_of(table)
    maps = {facet: [profile(table, one.row, facet)[1] for one in series] for facet in every}
    facets = [f for f in every if not np.isnan(maps[f]).all()] or every[:1]
    numbers = [v for rows in maps.values() for row in rows for v in row if v > 0] or [1.0]
    greatest = math.log10(max(numbers))
    least = max(math.log10(min(numbers)), greatest - MAP_DECADES)
    norm = Normalize(math.floor(least), math.ceil(greatest))
    smaller = math.log10(min(numbers)) < math.floor(least)
    text = _caption(
        suite, ["colour: median over seeds", *["darkest colour: that or less"] * smaller]
    )
    rows = [[facet] for facet in facets]
    panel = (8.2, 0.85 + 0.22 * len(series))
    figure, grid, pairs = open_page(suite.title, text, rows, panel, (0.0, 1.0))
    for axes, facet in pairs:
        _draw_cells(axes, maps[facet], norm)
        axes.set_yticks(range(len(series)), [one.label for one in series])
        axes.set_title(facet_title(table, facet), loc="left")
    grid[-1, 0].set_xlabel("layer")
    scale = ScalarMappable(norm, COLOUR_MAP)
    bar = figure.colorbar(scale, ax=list(grid.flat), extend="min" if smaller else "neither")
    bar.set_label(f"log10 of {metric.heading}")
    patches = [Patch(**ZERO, label="exactly 0"), Patch(**ABSENT, label="no number")]
    grid[0, 0].legend(
        handles=patches, loc="lower right", bbox_to_anchor=(1.01, 0.97), ncols=2, fontsize=8
    )
    return figure


def table_by_layer(suite: SuiteResults, metric: Metric) -> Pivot:
    """Return a table of methods by the other axes, and last the layer."""
    columns = (*remaining_axes(suite, [METHOD]), LAYER)
    return layer_pivot(suite, metric, Layout((METHOD,), columns))


def probe_series(suite: SuiteResults) -> list[Series]:
    """Return the methods' looks; beside a name, how many runs have no numbers."""
    layout = Layout((METHOD,), tuple(remaining_axes(suite, [METHOD])))
    return series_of(build_pivot(suite, find_metric(DEFAULTS[PROBE]), layout))


def networks_of(table: Pivot) -> list[Key]:
    """Return the networks: values of all column fields but the layer."""
    return facets_of(table, len(table.layout.columns) - 1)


def layers_of(table: Pivot, facet: Key) -> list[Key]:
    """Return the layers of one network."""
    return [column for column in table.columns if column[:-1] == facet]


def profile(table: Pivot, row: Key, facet: Key) -> list[list[float]]:
    """Return least, median and greatest number over seeds, by layer; NaN where there is none."""
    cells = [
        table.cells.get((row, column), Aggregate({}, {})) for column in layers_of(table, facet)
    ]
    found = [list(cell.values.values()) or [math.nan] for cell in cells]
    return [[measure(values) for values in found] for measure in (min, statistics.median, max)]


def _draw_panel(
    axes: Axes, table: Pivot, facet: Key, series: Sequence[Series], scale: Sequence[Key]
) -> None:
    """Draw one quantity of one network over its layers.

    The y axis reaches over the medians of all networks in `scale`; empty: over all that is drawn.
    """
    layers = [float(column[-1] or 0) for column in layers_of(table, facet)]
    profiles = [profile(table, one.row, facet) for one in series]
    others = [profile(table, one.row, other)[1] for one in series for other in scale]
    reached = others or [line for profile in profiles for line in profile]
    log = None
    if table.metric.scientific:
        log = LogAxis.of(value for line in reached for value in line)
        profiles = [[[log.place(v) for v in line] for line in profile] for profile in profiles]
    look = {"markevery": max(1, len(layers) // 8), "markersize": 4, "linewidth": 1.5}
    for one, (low, middle, high) in zip(series, profiles, strict=True):
        axes.plot(layers, middle, **{**one.look, **look})
        axes.fill_between(layers, low, high, color=one.colour, alpha=0.15, linewidth=0)
    if log:
        log.apply(axes)
    else:
        tops = [value for line in others for value in line if value > 0]
        axes.set_ylim(0, TOP * max(tops) if tops else None)
    axes.set_xlabel("layer")
    whole_ticks(axes)


def _draw_cells(axes: Axes, rows: Sequence[Sequence[float]], norm: Normalize) -> None:
    """Draw a map of `rows`: colours of their log10; numbers without one have looks of their own."""
    numbers = np.array(rows)
    known = np.where(numbers > 0, numbers, 1.0)
    image = np.ma.masked_array(np.log10(known), ~(numbers > 0))
    extent = (0.5, numbers.shape[1] + 0.5, numbers.shape[0] - 0.5, -0.5)
    axes.imshow(image, norm=norm, cmap=COLOUR_MAP, aspect="auto", extent=extent,
                interpolation="none")  # fmt: skip
    for looks, where in ((ZERO, numbers == 0), (ABSENT, np.isnan(numbers))):
        for y, row in enumerate(where):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
            spans = [(start + 0.5, end - start) for start, end in edges.reshape(-1, 2)]
            if spans:
                axes.broken_barh(spans, (y - 0.5, 1), linewidth=0, **looks)
    axes.grid(visible=False)
    whole_ticks(axes)


def _caption(suite: SuiteResults, drawn: list[str]) -> str:
    """Return n and seeds, what is drawn, and the machines."""
    seeds = sorted({run.seed for run in suite.runs})
    n = f"n = {len(seeds)} ({seeds_in_words(seeds)})"
    parts = [n, *drawn * (len(seeds) > 1), *same_computation(suite)]
    return "\n".join(["; ".join(parts), *machines(suite.runs)])
