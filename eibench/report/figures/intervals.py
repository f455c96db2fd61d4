"""Ablations drawn: a line each, with its difference to the base and the interval around it."""

from __future__ import annotations

import textwrap
from collections import Counter

from matplotlib.axes import Axes

from eibench.plan.suite import BASE
from eibench.report.figures.style import COLOURS
from eibench.report.model.labels import show_value
from eibench.report.model.layout import Key
from eibench.report.model.pivot import Pivot
from eibench.report.model.statistics import Difference
from eibench.report.writers.text import empty_text, remark_text

CLEAR, UNCLEAR, FAILED = COLOURS[0], "#8a8a8a", COLOURS[1]
"""Intervals that exclude zero, those that do not, and words on failures."""
ABOVE = 0.2
"""Lines by which the seeds' dots stand above the bar."""
LABEL = 30
"""Characters to which names and the axis label are wrapped."""


def draw_intervals(axes: Axes, table: Pivot, column: Key) -> None:
    """One panel: the ablations of `column`, the first on top, those without a number in words."""
    rows = [row for row in table.rows if row != (BASE,)]
    axes.axvline(0, color="black", linewidth=1, zorder=1)
    for y, row in enumerate(rows):
        cell = table.cells.get((row, column))
        if cell is None:
            continue
        found = table.differences[row, column]
        if found.mean is None:
            words = "no shared seed" if cell.n else empty_text(cell, table.metric)
            axes.text(0.02, y, words, transform=axes.get_yaxis_transform(), size=8, color=FAILED,
                      va="center", bbox={"color": "white", "pad": 1})  # fmt: skip
            continue
        _draw_one(axes, y, found, found.mean)
        axes.annotate(remark_text(cell, table), (found.mean, y), (0, -8), size=6.5, color=FAILED,
                      textcoords="offset points", ha="center", va="top")  # fmt: skip
    axes.set_yticks(range(len(rows)), [textwrap.fill(show_value(row[0]), LABEL) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(textwrap.fill(table.metric.difference_heading(BASE), LABEL))


def _draw_one(axes: Axes, y: int, found: Difference, mean: float) -> None:
    """Mean, interval, and the difference under each seed; filled where zero is excluded."""
    colour = CLEAR if found.excludes_zero else UNCLEAR
    if found.interval:
        axes.plot(found.interval, [y, y], color=colour, linewidth=2, solid_capstyle="butt")
    if found.n > 1:
        axes.scatter(list(found.values.values()), [y - ABOVE] * found.n, s=10, color=colour,
                     alpha=0.7, linewidths=0)  # fmt: skip
    axes.plot([mean], [y], marker="D", markersize=6, color=colour, zorder=4,
              markerfacecolor=colour if found.excludes_zero else "white")  # fmt: skip


def signs(table: Pivot) -> list[str]:
    """What the figure's signs mean, for its caption, and which base runs are lacking."""
    parts = ["diamond: mean difference over shared seeds"]
    if table.planned > 1:
        parts.append("dots: seeds")
    k = sum(found.interval is not None for found in table.differences.values())
    if k:
        parts.append("\nbar: 95 % confidence interval by the paired t distribution")
        parts.append(f"{k} of them, not corrected for their number")
        parts.append("filled: excludes 0")
    base = [cell for place, cell in table.cells.items() if place not in table.differences]
    if lacking := sum((Counter(cell.absent) for cell in base), Counter()):
        listed = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in lacking.items())
        parts.append(f"\nbase runs without a number, left out with their seeds: {listed}")
    return parts
