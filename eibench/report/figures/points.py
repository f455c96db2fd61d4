"""A metric by row: every seed a dot, the mean a tick, one standard deviation a bar."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from eibench.report.figures.style import Series
from eibench.report.model.layout import Key
from eibench.report.model.pivot import Pivot


def draw_dots(axes: Axes, table: Pivot, series: Sequence[Series], column: Key) -> None:
    """One panel: the cells of `column`, the first row on top."""
    for y, one in enumerate(series):
        cell = table.cells.get((one.row, column))
        if cell is None or cell.mean is None:
            continue
        if cell.deviation is not None:
            ends = [cell.mean - cell.deviation, cell.mean + cell.deviation]
            axes.plot(ends, [y, y], color=one.colour, alpha=0.3, linewidth=7, solid_capstyle="butt")
        axes.plot([cell.mean], [y], marker="|", markersize=15, markeredgewidth=2, color=one.colour)
        values = list(cell.values.values())
        axes.scatter(values, [y] * len(values), s=26, color=one.colour, marker=one.marker,
                     edgecolors="white", linewidths=0.6, zorder=4)  # fmt: skip
    axes.set_yticks(range(len(series)), [one.label for one in series])
    axes.set_ylim(len(series) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(table.metric.heading)
