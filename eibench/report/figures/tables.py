"""A table drawn: lines over a numeric field, points by row without one, or intervals of ablations.

Every seed is a dot, the mean a line or a tick, one standard deviation a band or a bar; of ablations
the same for differences to the base, whose bar is a confidence interval. What has no
number is shown too: failed runs as crosses at the bottom and, like missing ones, by number beside
the name. Figures are made without pyplot, so no window and no state outlives a call.
"""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eibench.plan.suite import ABLATION
from eibench.report.figures.curves import Scale, draw_curves
from eibench.report.figures.intervals import draw_intervals, signs
from eibench.report.figures.points import draw_dots
from eibench.report.figures.style import render, series_of, style
from eibench.report.model.labels import show_field
from eibench.report.model.layout import Key
from eibench.report.model.pivot import Pivot
from eibench.report.model.provenance import machine
from eibench.report.model.search_results import Search
from eibench.report.model.suite_results import SuiteResults
from eibench.results.store import write_atomic

PANELS_IN_ROW = 3
TITLE = 0.36
"""Inches kept free for the title ..."""
TITLE_LINE = 0.18
"""... and for each further line of it."""
TITLE_WIDTH = 10
"""Characters of an inch of it."""
CAPTION_LINE = 0.14
"""Inches of each line below the axes."""
TITLE_LINES = 4
"""Lines of a title: what is longer is cut, or no space were left for the axes ..."""
CAPTION_SHARE = 1 / 3
"""... as it would be below a caption of more than this share of the height."""


def draw(table: Pivot, x: str | None) -> Figure:
    """Figure of `table`: rows are series; the last column field is `x`, earlier ones make panels.

    With x = None all column fields make panels, of points, or of intervals for ablations.
    """
    depth = len(table.layout.columns) - (x is not None)
    facets = list(dict.fromkeys(column[:depth] for column in table.columns))
    high = math.ceil(len(facets) / PANELS_IN_ROW)
    wide = math.ceil(len(facets) / high)
    with style():
        panel = (5.2 if wide == 1 else 3.0, 3.3 if x else 0.9 + 0.3 * len(table.rows))
        figure = Figure((panel[0] * wide + 1.6, panel[1] * high + 0.8))
        write_around(figure, table.suite.title, caption(table, x))
        grid = figure.subplots(high, wide, sharey=True, squeeze=False)
        for axes, facet in zip(grid.flat, facets, strict=False):
            _draw_panel(axes, table, facet, x)
        for spare in grid.flat[len(facets) :]:
            spare.set_visible(False)
        if x is not None:
            for axes in grid[:, 0]:
                axes.set_ylabel(table.metric.heading)
            grid[0, -1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.02))
    return figure


def _draw_panel(axes: Axes, table: Pivot, facet: Key, x: str | None) -> None:
    series = series_of(table)
    columns = [column for column in table.columns if column[: len(facet)] == facet]
    if _as_differences(table, x):
        draw_intervals(axes, table, columns[0])
    elif x is None:
        draw_dots(axes, table, series, columns[0])
    else:
        draw_curves(axes, table, series, columns, Scale.of(table, x))
    fields = zip(table.layout.columns, facet, strict=False)
    axes.set_title(", ".join(show_field(*pair) for pair in fields), fontsize=9)


def _as_differences(table: Pivot, x: str | None) -> bool:
    return x is None and table.layout.rows == (ABLATION,)


def write_around(figure: Figure, title: str, text: str) -> None:
    """The title above, `text` below, and the space between them for the axes."""
    width, height = figure.get_size_inches()
    title = textwrap.fill(
        title, round(TITLE_WIDTH * width), max_lines=TITLE_LINES, placeholder=" ..."
    )
    text = _first_lines(text, max(2, int(CAPTION_SHARE * height / CAPTION_LINE)))
    bottom = CAPTION_LINE * (1 + text.count("\n")) + 0.12
    left = 0.08 / width
    figure.text(left, 1 - 0.08 / height, title, va="top", size=11, weight="bold")
    figure.text(left, 0.07 / height, text, va="bottom", size=7, color="#555555")
    top = TITLE + TITLE_LINE * title.count("\n")
    rectangle = (left, bottom / height, 1 - 2 * left, 1 - (bottom + top) / height)
    figure.set_layout_engine("constrained", rect=rectangle)


def _first_lines(text: str, most: int) -> str:
    """Return `text`, or its first lines and the number of the others."""
    lines = text.split("\n")
    if len(lines) <= most:
        return text
    return "\n".join([*lines[: most - 1], f"... and {len(lines) - most + 1} more"])


def caption(table: Pivot, x: str | None = None) -> str:
    """n, the meaning of what is drawn, and the machines."""
    parts = [f"n = {table.planned}"]
    if _as_differences(table, x):
        parts += signs(table)
    elif table.planned > 1:
        parts += ["dots: seeds", "line: mean", "band or bar: ± 1 standard deviation"]
    if not _as_differences(table, x) and any(cell.failed for cell in table.cells.values()):
        parts.append("cross: failed runs")
    words = "; ".join([*parts, *equals(table.suite)]).replace("; \n", "\n")
    return "\n".join([words, *machines(table.suite)])


def equals(suite: SuiteResults) -> list[str]:
    """Which methods are the same computation."""
    return [f"{' = '.join(group)}: the same computation" for group in suite.same]


def machines(suite: SuiteResults | Search) -> list[str]:
    """What computed the runs."""
    return sorted({machine(run) for run in suite.runs if run.environment})


def save(figure: Figure, path: Path) -> list[Path]:
    """Write `path`.png and `path`.pdf; the same figure gives the same bytes on every day."""
    paths: list[Path] = []
    for suffix, metadata in (
        ("png", {"Software": None}),
        ("pdf", {"Creator": None, "Producer": None, "CreationDate": None}),
    ):
        paths.append(path.with_name(f"{path.name}.{suffix}"))
        write_atomic(paths[-1], render(figure, suffix, metadata=metadata))
    return paths
