"""Page of a figure: title above, caption below, panels in rows, legend in the corner."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eibench.report.model.labels import show_field
from eibench.report.model.layout import Key
from eibench.report.model.provenance import machine
from eibench.report.model.search_results import Search
from eibench.report.model.suite_results import SuiteResults

PANELS_IN_ROW = 3
TITLE, TITLE_LINE, TITLE_WIDTH = 0.36, 0.18, 10.5
"""Inches of a title, of each further line of it, and characters of an inch."""
CAPTION_LINE, CAPTION_WIDTH = 0.14, 20
"""Inches of a line below the axes, and characters of an inch."""
TITLE_LINES, CAPTION_SHARE = 4, 1 / 3
"""Lines of a title and share of the height for a caption: with more, no axes were left."""


def write_around(figure: Figure, title: str, text: str) -> None:
    """Write the title above and `text` below, and leave the space between them to the axes."""
    width, height = figure.get_size_inches()
    title = textwrap.fill(
        title, round(TITLE_WIDTH * width), max_lines=TITLE_LINES, placeholder=" ..."
    )
    lines = [textwrap.fill(line, round(CAPTION_WIDTH * width)) for line in text.split("\n") if line]
    text = _first_lines("\n".join(lines), max(2, int(CAPTION_SHARE * height / CAPTION_LINE)))
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


def same_computation(suite: SuiteResults) -> list[str]:
    """Return words on each group of methods that compute the same."""
    return [f"{' = '.join(group)}: the same computation" for group in suite.same]


def machines(results: SuiteResults | Search) -> list[str]:
    """Return the machines that computed the runs."""
    return sorted({machine(run) for run in results.runs if run.environment})


def facets_of(columns: Sequence[Key], depth: int) -> list[Key]:
    """Return the panels of a table: the first `depth` values of its columns, each once."""
    return list(dict.fromkeys(column[:depth] for column in columns))


def facet_words(fields: Sequence[str], facet: Key) -> str:
    """Return a panel's values in words: `depth 8, time steps 4`."""
    return ", ".join(show_field(*pair) for pair in zip(fields, facet, strict=False))


def in_rows(items: Sequence[Any], most: int = PANELS_IN_ROW) -> list[list[Any]]:
    """Return `items` in rows of nearly one length, None where the last row ends."""
    high = math.ceil(len(items) / most)
    wide = math.ceil(len(items) / high)
    filled = [*items, *[None] * (high * wide - len(items))]
    return [filled[i : i + wide] for i in range(0, len(filled), wide)]


def open_page(
    title: str,
    text: str,
    rows: Sequence[Sequence[Any]],
    panel: tuple[float, float],
    margin: tuple[float, float],
    **options: Any,
) -> tuple[Figure, Any, list[tuple[Axes, Any]]]:
    """Return a figure with `rows` of panels, its grid of axes, and each panel with its axes.

    `panel` and `margin` are width and height in inches, of one and of all around them. A place that
    is None stays empty, but can hold a legend.
    """
    figure = Figure((panel[0] * len(rows[0]) + margin[0], panel[1] * len(rows) + margin[1]))
    write_around(figure, title, text)
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False, **options)
    pairs = list(zip(grid.flat, itertools.chain(*rows), strict=True))
    for axes, item in pairs:
        if item is None:
            axes.set_axis_off()
    return figure, grid, [pair for pair in pairs if pair[1] is not None]


def add_legend(grid: Any, signs: Mapping[str, Any] | None = None, **options: Any) -> None:
    """Add a legend of `signs`, else of the first panel: in an empty place, or right of the grid."""
    if signs is None:
        handles, labels = grid[0, 0].get_legend_handles_labels()
        signs = dict(zip(labels, handles, strict=True))
    empty = next((axes for axes in grid[:, -1] if not axes.axison), None)
    place = {"bbox_to_anchor": (1.02, 1.04)} if empty is None else {"bbox_to_anchor": (0.0, 1.0)}
    corner = grid[0, -1] if empty is None else empty
    corner.legend(signs.values(), signs.keys(), loc="upper left", **place, **options)
