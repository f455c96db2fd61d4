"""Heat maps of layers over training: firing rates by epoch, balance and rates of probes by step."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import fill

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from eibench.plan.suite import LAYER, METHOD
from eibench.report.figures.axes import whole_ticks
from eibench.report.figures.look import style
from eibench.report.figures.series import facet_layout, facet_words, facets_of, series_of
from eibench.report.figures.style import in_rows, machines, open_page
from eibench.report.model.epochs import firing_rates, read_epochs
from eibench.report.model.layers import layer_pivot
from eibench.report.model.pivot import Layout, Pivot, build_pivot
from eibench.report.model.suite_results import SuiteResults
from eibench.results.metrics import Metric, find_metric

STEPS = "probe.steps"
QUANTITIES = ("balance", "balance_drift", "firing_rate")
"""Metrics of layers that are drawn by step."""
WIDE = 5
"""Panels in a row."""
HEADING = 13
"""Letters of a heading in an inch of a panel."""
ABSENT = "#dddddd"
"""Colour of a place without a number."""
NO_BALANCE = "E/I balance by epoch is not recorded; a probe measures it by step: probe.steps"


@dataclass(frozen=True)
class LayerMap:
    """Numbers of one network of one method."""

    heading: str
    numbers: np.ndarray
    """[layers, times]; NaN where there is none."""


@dataclass(frozen=True)
class MapGroup:
    """Maps of one metric, which share their colours."""

    metric: Metric
    maps: Sequence[LayerMap]


@style()
def draw_rates(suite: SuiteResults, by: Sequence[str] | None = None) -> Figure | None:
    """Draw the firing rates of each layer by epoch, a panel for each series and condition.

    None where no run has recorded any.

    Raises:
        UserError: as `facet_layout` and `build_pivot`.
    """
    layout, metric = facet_layout(suite, by), find_metric("firing_rate")
    table = build_pivot(suite, metric, layout)
    rates = firing_rates(suite, read_epochs(suite), layout)
    facets = facets_of(table, len(layout.columns))
    maps = [
        LayerMap(_heading(one.label, facet_words(table, facet)), _means(epochs))
        for one in series_of(table)
        for facet in facets
        if any(epochs := rates.get((one.row, facet), []))
    ]
    if not maps:
        return None
    text = f"n = {table.planned}; colour: mean over seeds; {NO_BALANCE}"
    wide = len(facets) if 1 < len(facets) <= WIDE else WIDE
    return _draw([MapGroup(metric, maps)], "epoch", None, suite, text, wide)


@style()
def draw_balance(suite: SuiteResults) -> Figure | None:
    """Draw balance and firing rate of each layer by the steps of probes, a panel for each method.

    None where the probes are all of one step.
    """
    groups = balance_groups(suite)
    if not groups:
        return None
    seeds = len({run.seed for run in suite.runs})
    text = f"n = {seeds}; colour: median over seeds; balance: of methods with E-I layers"
    return _draw(groups, "step", steps_of(suite), suite, text)


def steps_of(suite: SuiteResults) -> list[int]:
    """Return the optimizer steps after which probes measured."""
    return sorted({run.fields.get(STEPS) or 0 for run in suite.runs})


def balance_groups(suite: SuiteResults) -> list[MapGroup]:
    """Return maps of layers by step for each quantity; none where the probes are of one step."""
    steps = steps_of(suite)
    if len(steps) < 2:
        return []
    panels = [field for field in facet_layout(suite, [METHOD]).columns if field != STEPS]
    layout = Layout((METHOD,), (*panels, STEPS, LAYER))
    tables = [layer_pivot(suite, find_metric(name), layout) for name in QUANTITIES]
    groups = [MapGroup(table.metric, list(_by_step(table, steps))) for table in tables]
    return [group for group in groups if group.maps]


def _means(epochs: Sequence[Sequence[Sequence[float]]]) -> np.ndarray:
    """Return means over seeds [layers, epochs]."""
    found = np.full((max(map(len, epochs)), len(epochs)), math.nan)
    for i, layers in enumerate(epochs):
        found[: len(layers), i] = [statistics.fmean(seeds) for seeds in layers]
    return found


def _by_step(table: Pivot, steps: Sequence[int]) -> Iterator[LayerMap]:
    """Yield the maps of medians that have a number."""
    for row in table.rows:
        for facet in facets_of(table, len(table.layout.columns) - 2):
            layers = [c[-1] for c in table.columns if c[:-2] == facet]
            numbers = np.full((max(int(layer or 0) for layer in layers), len(steps)), math.nan)
            for column in table.columns:
                cell = table.cells.get((row, column))
                if column[:-2] == facet and cell and cell.n:
                    place = int(column[-1] or 0) - 1, steps.index(column[-2])
                    numbers[place] = statistics.median(cell.values.values())
            if not np.isnan(numbers).all():
                yield LayerMap(
                    _heading(table.suite.name_of(METHOD, row[0]), facet_words(table, facet)),
                    numbers,
                )


def _heading(label: str, words: str) -> str:
    return f"{label}\n{words}" if words else label


def _draw(
    groups: Sequence[MapGroup],
    heading: str,
    times: Sequence[int] | None,
    suite: SuiteResults,
    text: str,
    wide: int = WIDE,
) -> Figure:
    """Draw a block of at most `wide` panels in a row for each group.

    `times` name the columns, which are epochs if None.
    """
    blocks = [in_rows(group.maps, wide) for group in groups]
    wide = max(len(row) for block in blocks for row in block)
    rows = [[*row, *[None] * (wide - len(row))] for block in blocks for row in block]
    caption = "\n".join([text, *machines(suite.runs)])
    figure, grid, panels = open_page(suite.title, caption, rows, (2.1, 2.0), (1.0, 0.8))
    letters = max(10, int(HEADING * (figure.get_figwidth() - 1.0) / wide))
    of_group = {id(one): group for group in groups for one in group.maps}
    norms = {group.metric.name: _norm(group) for group in groups}
    for axes, one in panels:
        _draw_map(axes, one, norms[of_group[id(one)].metric.name], times)
        lines = [fill(line, letters) for line in one.heading.split("\n")]
        axes.set_title("\n".join(lines), fontsize=7.5)
        axes.set_xlabel(heading, fontsize=8)
    first = 0
    for group, block in zip(groups, blocks, strict=True):
        places = grid[first : first + len(block)]
        first += len(block)
        scale = ScalarMappable(norms[group.metric.name], mpl.rcParams["image.cmap"])
        bar = figure.colorbar(scale, ax=list(places.flat), aspect=12 * len(block), pad=0.02)
        bar.set_label(fill(group.metric.heading, 26), fontsize=8)
        for axes in places[:, 0]:
            axes.set_ylabel("layer")
    return figure


def _norm(group: MapGroup) -> Normalize:
    """Return colours from zero to the greatest number of a group."""
    return Normalize(0.0, max(float(np.nanmax(one.numbers)) for one in group.maps) or 1.0)


def _draw_map(axes: Axes, one: LayerMap, norm: Normalize, times: Sequence[int] | None) -> None:
    """Draw one map, the first layer at the bottom."""
    layers, columns = one.numbers.shape
    extent = (0.5, columns + 0.5, 0.5, layers + 0.5)
    axes.set_facecolor(ABSENT)
    axes.imshow(one.numbers, norm=norm, cmap=mpl.rcParams["image.cmap"], aspect="auto",
                origin="lower", extent=extent, interpolation="none")  # fmt: skip
    axes.grid(visible=False)
    whole_ticks(axes)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    if times is not None:
        axes.set_xticks(range(1, columns + 1), [str(time) for time in times])
