"""Ablations drawn: a line each, with its difference to the base and the interval around it."""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes

from eibench.plan.suite import BASE
from eibench.report.layout import Key
from eibench.report.render import empty_text, remark_text
from eibench.report.statistics import Difference
from eibench.report.styles import COLOURS
from eibench.report.tables import Table
from eibench.report.words import show_value

CLEAR, UNCLEAR, FAILED = COLOURS[0], "#8a8a8a", COLOURS[1]
"""Intervals that exclude zero, those that do not, and words on failures."""
LABEL = 30
"""Characters to which names and the axis label are wrapped."""


def draw_intervals(axes: Axes, table: Table, column: Key) -> None:
    """One panel: the ablations of `column`, the first on top, those without a number in words."""
    rows = [row for row in table.rows if row != (BASE,)]
    axes.axvline(0, color="black", linewidth=1, zorder=1)
    for y, row in enumerate(rows):
        cell = table.cells.get((row, column))
        if cell is None:
            continue
        found = table.differences[row, column]
        if found.mean is None:
            words = "no shared seed" if cell.n else empty_text(cell)
            axes.text(0.02, y, words, transform=axes.get_yaxis_transform(), size=8, color=FAILED,
                      va="center", bbox={"color": "white", "pad": 1})  # fmt: skip
            continue
        _draw_one(axes, y, found, found.mean)
        axes.annotate(remark_text(cell, table), (found.mean, y), (0, -8), size=6.5, color=FAILED,
                      textcoords="offset points", ha="center", va="top")  # fmt: skip
    axes.set_yticks(range(len(rows)), [textwrap.fill(show_value(row[0]), LABEL) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(textwrap.fill(table.metric.difference_heading, LABEL))


def _draw_one(axes: Axes, y: int, found: Difference, mean: float) -> None:
    """Mean, interval, and the difference under each seed; filled where zero is excluded."""
    colour = CLEAR if found.excludes_zero else UNCLEAR
    if found.interval:
        axes.plot(found.interval, [y, y], color=colour, linewidth=2, solid_capstyle="butt")
    if found.n > 1:
        axes.scatter(list(found.values.values()), [y] * found.n, s=12, color=colour, alpha=0.5,
                     linewidths=0, zorder=3)  # fmt: skip
    axes.plot([mean], [y], marker="D", markersize=6, color=colour, zorder=4,
              markerfacecolor=colour if found.excludes_zero else "white")  # fmt: skip
