"""Accuracy against cost: time of a training step, time of a run, and peak memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eibench.report.figures.axes import end_at_percent
from eibench.report.figures.look import style
from eibench.report.figures.series import (
    SPREAD,
    Series,
    facet_layout,
    facet_title,
    facets_of,
    series_of,
    spread,
)
from eibench.report.figures.style import (
    SOLID,
    add_legend,
    legend_width,
    machines,
    open_page,
    same_computation,
)
from eibench.report.model.pivot import Key, Pivot, build_pivot
from eibench.report.model.suite_results import SuiteResults
from eibench.results.cells import Aggregate, Run
from eibench.results.metrics import Metric, find_metric

STEP = Metric("step_milliseconds", "training step", "ms", 1, "lower")
COSTS = (STEP, find_metric("seconds"), find_metric("peak_memory_mib"))
"""Metrics of the x axes."""


@style()
def draw_tradeoff(suite: SuiteResults, by: Sequence[str] | None = None) -> Figure | None:
    """Draw a row of panels for each condition: test accuracy over each cost that was measured.

    None where no run has an accuracy and a cost.

    Raises:
        UserError: as `facet_layout` and `build_pivot`.
    """
    layout = facet_layout(suite, by)
    accuracy = build_pivot(suite, find_metric("test_accuracy"), layout)
    timed = replace(suite, runs=tuple(map(with_step, suite.runs)))
    tables = [build_pivot(timed, metric, layout) for metric in COSTS]
    costs = [table for table in tables if any(both(accuracy, table, *p)[0] for p in table.cells)]
    if not costs:
        return None
    series = series_of(accuracy)
    rows = [[(facet, cost) for cost in costs] for facet in facets_of(accuracy, len(layout.columns))]
    panel = (3.2, 2.6 if len(rows) == 1 else 2.2)
    margin = (legend_width(one.label for one in series), 0.8)
    figure, grid, panels = open_page(
        suite.title, _caption(suite, accuracy), rows, panel, margin, sharey="row"
    )
    for axes, (facet, cost) in panels:
        for one in series:
            _draw_point(axes, one, accuracy, cost, facet)
        axes.set_xlim(left=0)
        axes.set_xlabel(cost.metric_heading)
        axes.set_title(facet_title(accuracy, facet))
    for axes in grid[:, 0]:
        axes.set_ylabel(accuracy.metric.heading)
        end_at_percent(axes, "y", accuracy.metric)
    add_legend(grid, handlelength=1.0)
    return figure


def with_step(run: Run) -> Run:
    """Return `run` with the time of a training step, from its throughput and its batches."""
    speed, batch = run.number("images_per_second"), run.fields.get("train.batch_size")
    step = 1e3 * batch / speed if speed and batch else None
    return replace(run, result={**run.result, STEP.name: step})


def both(accuracy: Pivot, cost: Pivot, row: Key, column: Key) -> tuple[list[float], list[float]]:
    """Return costs and accuracies of the seeds of a cell that have both."""
    nothing = Aggregate({}, {})
    scores, prices = (t.cells.get((row, column), nothing).values for t in (accuracy, cost))
    seeds = [seed for seed in scores if seed in prices]
    return [prices[seed] for seed in seeds], [scores[seed] for seed in seeds]


def _draw_point(axes: Axes, one: Series, accuracy: Pivot, cost: Pivot, facet: Key) -> None:
    """Draw the mean of a series with its spread in both directions, and its seeds."""
    prices, scores = both(accuracy, cost, one.row, facet)
    if not prices:
        axes.plot([], [], **{**one.look, "linestyle": ""})  # for the legend
        return
    cells = [Aggregate(dict(enumerate(values)), {}) for values in (prices, scores)]
    x, y = (cell.mean or 0.0 for cell in cells)
    ends = [spread(cell, table.metric) for cell, table in zip(cells, (cost, accuracy), strict=True)]
    look: Any = {"color": one.colour, "alpha": 0.6, "linewidth": 1.2, "linestyle": SOLID}
    if ends[0] and ends[1]:
        axes.plot(ends[0], [y, y], **look)
        axes.plot([x, x], ends[1], **look)
        axes.scatter(prices, scores, s=7, color=one.colour, alpha=0.5, linewidths=0)
    axes.plot([x], [y], **{**one.look, "linestyle": "", "markersize": 7})


def _caption(suite: SuiteResults, accuracy: Pivot) -> str:
    """Return n, what the signs mean, and the machines."""
    parts = [f"n = {accuracy.planned}", "marker: mean"]
    parts += [f"bars: {SPREAD}", "dots: seeds"] * (accuracy.planned > 1)
    found = machines(suite.runs)
    unlike = ["times of unlike machines do not compare"] * (len(found) > 1)
    words = "; ".join([*parts, *same_computation(suite), *unlike])
    return "\n".join([words, *found])
