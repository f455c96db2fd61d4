"""A probe suite drawn layer by layer: lines for each quantity, and a map of one for all networks.

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
from matplotlib.ticker import MaxNLocator

from eibench.report.figures.log_axis import Powers
from eibench.report.figures.style import Series, series_of, style
from eibench.report.figures.tables import PANELS_IN_ROW, equals, machines, write_around
from eibench.report.model.labels import show_field
from eibench.report.model.layers import DEFAULTS, LAYER, PROBE, layer_pivot
from eibench.report.model.layout import METHOD, Key, Layout, remaining_axes
from eibench.report.model.pivot import Aggregate, Pivot, build_pivot
from eibench.report.model.suite_results import SuiteResults
from eibench.results.metrics import LAYER_METRICS, Metric, find_metric

MAP_DECADES = 6
"""Powers of ten that a map's colours tell apart; smaller numbers have the last colour."""
COLOURS = "viridis"
HEADING_WIDTH = 52
"""Letters that a panel has room for."""
ZERO: dict[str, Any] = {"facecolor": "#ffffff", "edgecolor": "#D55E00", "hatch": "////"}
ABSENT: dict[str, Any] = {"facecolor": "#dddddd", "edgecolor": "#dddddd"}
"""How cells of a map look that have no logarithm, or no number."""


def draw_lines(suite: SuiteResults) -> Figure:
    """Each quantity over the layers of the deepest networks: a panel each, a line for a method."""
    tables = [_table(suite, find_metric(name)) for name in LAYER_METRICS]
    tables = [t for t in tables if any(cell.n for cell in t.cells.values())] or tables[:1]
    layers = {facet: len(_columns(tables[0], facet)) for facet in _facets(tables[0])}
    deepest = [facet for facet, n in layers.items() if n == max(layers.values())]
    several = len(deepest) > 1  # then a row for each quantity, a column for each network
    wide = len(deepest) if several else min(len(tables), PANELS_IN_ROW)
    panels = [(table, facet) for table in tables for facet in deepest]
    high = math.ceil(len(panels) / wide)
    with style():
        figure = Figure((3.0 * wide + 1.7, 2.3 * high + 0.8))
        drawn = ["line: median", "band: least to greatest seed"]
        title = suite.title if several else _title(suite, tables[0], deepest[0])
        write_around(figure, title, _caption(suite, drawn))
        grid = figure.subplots(high, wide, squeeze=False)
        for axes, (table, facet) in zip(grid.flat, panels, strict=False):
            _draw_panel(axes, table, facet, _series(suite))
            lines = [_facet_text(table, facet)] if several else []
            lines += wrap(table.metric.heading, HEADING_WIDTH)
            axes.set_title("\n".join(lines), fontsize=7.5)
        for spare in grid.flat[len(panels) :]:
            spare.set_visible(False)
        grid[0, -1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.02))
    return figure


def draw_map(suite: SuiteResults, metric: Metric) -> Figure:
    """log10 of `metric` by method and layer, a panel for each network."""
    table = _table(suite, metric)
    series, every = _series(suite), _facets(table)
    maps = {facet: [_profile(table, one.row, facet)[1] for one in series] for facet in every}
    facets = [f for f in every if not np.isnan(maps[f]).all()] or every[:1]
    numbers = [v for rows in maps.values() for row in rows for v in row if v > 0] or [1.0]
    greatest = math.log10(max(numbers))
    least = max(math.log10(min(numbers)), greatest - MAP_DECADES)
    norm = Normalize(math.floor(least), math.ceil(greatest))
    smaller = math.log10(min(numbers)) < math.floor(least)
    with style():
        figure = Figure((8.2, (0.85 + 0.22 * len(series)) * len(facets) + 1.0))
        drawn = ["colour: median over seeds", *["darkest colour: that or less"] * smaller]
        write_around(figure, suite.title, _caption(suite, drawn))
        grid = figure.subplots(len(facets), 1, squeeze=False)
        for axes, facet in zip(grid.flat, facets, strict=True):
            _draw_cells(axes, maps[facet], norm)
            axes.set_yticks(range(len(series)), [one.label for one in series])
            axes.set_title(_facet_text(table, facet), fontsize=9, loc="left")
        grid[-1, 0].set_xlabel("layer")
        scale = ScalarMappable(norm, COLOURS)
        bar = figure.colorbar(scale, ax=list(grid.flat), extend="min" if smaller else "neither")
        bar.set_label(f"log10 of {metric.heading}")
        patches = [Patch(**ZERO, label="exactly 0"), Patch(**ABSENT, label="no number")]
        grid[0, 0].legend(
            handles=patches, loc="lower right", bbox_to_anchor=(1.01, 0.97), ncols=2, fontsize=8
        )
    return figure


def _table(suite: SuiteResults, metric: Metric) -> Pivot:
    """Rows are methods; columns the other axes, and last the layer."""
    columns = (*remaining_axes(suite, [METHOD]), LAYER)
    return layer_pivot(suite, metric, Layout((METHOD,), columns))


def _series(suite: SuiteResults) -> list[Series]:
    """The methods' looks; beside a name, how many runs have no numbers."""
    layout = Layout((METHOD,), tuple(remaining_axes(suite, [METHOD])))
    return series_of(build_pivot(suite, find_metric(DEFAULTS[PROBE]), layout))


def _facets(table: Pivot) -> list[Key]:
    """The networks: values of all column fields but the layer."""
    return list(dict.fromkeys(column[:-1] for column in table.columns))


def _columns(table: Pivot, facet: Key) -> list[Key]:
    """The layers of one network."""
    return [column for column in table.columns if column[:-1] == facet]


def _facet_text(table: Pivot, facet: Key) -> str:
    fields = zip(table.layout.columns, facet, strict=False)
    return ", ".join(show_field(*pair) for pair in fields)


def _title(suite: SuiteResults, table: Pivot, facet: Key) -> str:
    return ": ".join(filter(None, [suite.title, _facet_text(table, facet)]))


def _profile(table: Pivot, row: Key, facet: Key) -> list[list[float]]:
    """Least, median and greatest number over seeds, by layer; NaN where there is none."""
    cells = [table.cells.get((row, column), Aggregate({}, {})) for column in _columns(table, facet)]
    found = [list(cell.values.values()) or [math.nan] for cell in cells]
    return [[measure(values) for values in found] for measure in (min, statistics.median, max)]


def _draw_panel(axes: Axes, table: Pivot, facet: Key, series: Sequence[Series]) -> None:
    """One quantity of one network over its layers."""
    layers = [float(column[-1] or 0) for column in _columns(table, facet)]
    profiles = [_profile(table, one.row, facet) for one in series]
    powers = None
    if table.metric.scientific:
        powers = Powers.of(v for profile in profiles for line in profile for v in line)
    for one, profile in zip(series, profiles, strict=True):
        placed = [[powers.place(v) for v in line] for line in profile] if powers else profile
        low, middle, high = placed
        look = {
            **one.look,
            "markevery": max(1, len(layers) // 8),
            "markersize": 4,
            "linewidth": 1.5,
        }
        axes.plot(layers, middle, **look)
        axes.fill_between(layers, low, high, color=one.colour, alpha=0.15, linewidth=0)
    if powers:
        powers.apply(axes)
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel("layer")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))


def _draw_cells(axes: Axes, rows: Sequence[Sequence[float]], norm: Normalize) -> None:
    """A map of `rows` of numbers: colours of their log10, and what has none in its own look."""
    numbers = np.array(rows)
    known = np.where(numbers > 0, numbers, 1.0)
    image = np.ma.masked_array(np.log10(known), ~(numbers > 0))
    extent = (0.5, numbers.shape[1] + 0.5, numbers.shape[0] - 0.5, -0.5)
    axes.imshow(image, norm=norm, cmap=COLOURS, aspect="auto", extent=extent, interpolation="none")
    for looks, where in ((ZERO, numbers == 0), (ABSENT, np.isnan(numbers))):
        for y, row in enumerate(where):
            for start, length in _stretches(row):
                axes.broken_barh([(start + 0.5, length)], (y - 0.5, 1), linewidth=0, **looks)
    axes.grid(visible=False)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))


def _stretches(row: Any) -> list[tuple[int, int]]:
    """Start and length of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return [(int(a), int(b - a)) for a, b in edges.reshape(-1, 2)]


def _caption(suite: SuiteResults, drawn: list[str]) -> str:
    """n and seeds, what is drawn, and the machines."""
    seeds = sorted({run.seed for run in suite.runs})
    named = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    parts = [f"n = {len(seeds)} ({named})", *drawn * (len(seeds) > 1), *equals(suite)]
    return "\n".join(["; ".join(parts), *machines(suite)])
