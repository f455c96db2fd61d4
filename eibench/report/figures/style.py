"""Page of all figures: title, caption, panels and legend; markers and lines; and files.

Series differ in colour, marker and line at once, for print and for colour-blind readers. No figure
goes through pyplot: no window and no state stays.
"""

from __future__ import annotations

import bisect
import functools
import io
import itertools
import math
import textwrap
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from kiwisolver import UnsatisfiableConstraint
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.text import Text

from eibench.errors import UserError, printable, shorten
from eibench.plan.suite import METHOD
from eibench.report.figures.look import OWN, current_look, style
from eibench.report.model.suite_results import SuiteResults
from eibench.results.cells import Run
from eibench.results.labels import machine_label
from eibench.results.store import write_file

LONGEST_LINE, LONGEST_LABEL = 300, 60
"""Characters of a line of text in a figure, and of a name in a legend."""
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}
"""Entries left out of each format, so that equal figures have equal bytes."""
FORMATS = tuple(METADATA)

COLOURS: Sequence[str] = [entry["color"] for entry in OWN["axes.prop_cycle"]]
"""Colours of marks that have one meaning in all figures, and of things that are no methods."""
GREY = "#777777"
COLOUR_MAP = "viridis"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h")
SOLID = "-"
NO_ROOM = (UserWarning, UnsatisfiableConstraint)
"""Errors of a layout whose space is too small, or negative."""
DASHED = (0, (5, 3))
LINES = (SOLID, (0, (6, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 1.5, 1, 1.5)))
OVER = (0, (4, 3))
"""Line of a series over its equal, with gaps in which the other shows."""
ABOVE = 0.2
"""Lines by which the seeds' dots stand above a bar."""
PANELS_IN_ROW = 3
TITLE, TITLE_LINE, TITLE_WIDTH = 0.36, 0.18, 10.5
"""Inches of a title, of each further line of it, and characters of an inch."""
CAPTION_LINE, CAPTION_WIDTH = 0.14, 20
"""Inches of a line below the axes, and characters of an inch."""
LEGEND, LETTER, LEGEND_LINE = 0.7, 0.073, 1.55 / 72
"""Inches of a legend's signs, of a letter of its labels, and of a line's height for each point."""
LEGEND_SHARE, BESIDE_LEGEND = 0.45, 1.2
"""Share of the width that a legend may take, and inches of the height that it leaves."""
BESIDE = 0.02
"""Share of the width between the panels and a legend at their right."""
LEAST_SIDE, LARGEST_SIDE = 0.5, 20.0
"""Inches of axes that can be read, and of the largest figure that is advised."""
BORDER = 0.05
"""Inches around the axes of a figure without a title."""
TITLE_LINES, CAPTION_SHARE = 4, 1 / 3
"""Lines of a title and share of the height for a caption: with more, no axes were left."""


class FigureTooSmall(UserError):
    """A figure of the size that the user wants has no room for its axes."""


def save(figure: Figure, stem: Path, formats: Iterable[str] = FORMATS) -> list[Path]:
    """Write `stem` with the suffix of each format; equal figures give equal bytes on every day.

    Raises:
        FigureTooSmall: nothing is written.
        UserError: a file cannot be written.
    """
    paths = [stem.with_name(f"{stem.name}.{form}") for form in formats]
    for path in paths:
        write_figure(figure, path, path.suffix[1:])
    return paths


def write_figure(figure: Figure, path: Path, form: str, **options: Any) -> None:
    """Write a `png` or a `pdf`, whole or not at all, its texts printable and of bounded length.

    Raises:
        FigureTooSmall: there is no room for its axes.
        UserError: `path` cannot be written.
    """
    content = io.BytesIO()
    with style():
        _make_printable(figure)
        # The user's backend may open windows, or not be installed.
        backend = {"png": "agg"}.get(form, form)
        metadata = METADATA[form]
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "constrained_layout not applied")
            try:
                figure.savefig(content, format=form, backend=backend, metadata=metadata, **options)
            except NO_ROOM:
                inches = "{:g} x {:g} inches".format(*figure.get_size_inches())
                text = f"{path.stem}: {inches} leave no room for its axes{_larger(figure)}"
                raise FigureTooSmall(text) from None
    write_file(path, content.getvalue())


def _larger(figure: Figure) -> str:
    """Return words on the smallest size of a figure's shape whose axes can be read, if any."""
    width, height = figure.get_size_inches()
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]

    def inches(tenth: int) -> tuple[float, float]:
        return math.ceil(width * tenth) / 10, math.ceil(height * tenth) / 10

    def is_readable(tenth: int) -> bool:
        figure.set_size_inches(inches(tenth))
        try:
            figure.draw_without_rendering()
        except NO_ROOM:
            return False
        least = np.min([axes.get_position().size for axes in panels], axis=0)
        return bool(np.all(least * figure.get_size_inches() > LEAST_SIDE))

    tenths = range(11, int(10 * LARGEST_SIDE / max(width, height)) + 1)
    place = bisect.bisect_left(tenths, True, key=is_readable)
    return "; try --size {:g},{:g}".format(*inches(tenths[place])) if tenths[place:] else ""


def _make_printable(figure: Figure) -> None:
    """Bound and escape all texts, those of ticks when they are drawn."""
    for text in figure.findobj(Text):
        text.set_text(_lines(text.get_text()))
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            ticks = axis.get_major_formatter()
            ticks.format_ticks = functools.partial(_tick_texts, ticks.format_ticks)  # type: ignore[method-assign]


def _tick_texts(format_ticks: Callable[[Any], list[str]], values: Any) -> list[str]:
    return list(map(_lines, format_ticks(values)))


def _lines(text: str) -> str:
    return "\n".join(shorten(printable(line), LONGEST_LINE) for line in text.split("\n"))


def write_around(figure: Figure, title: str, text: str) -> None:
    """Write the title above and `text` below, and leave the space between them to the axes.

    The figure gets the size that the user wants, and where they want no title, all of the space.
    """
    look = current_look()
    if look.size:
        figure.set_size_inches(look.size)
    width, height = figure.get_size_inches()
    title = textwrap.fill(
        title, round(TITLE_WIDTH * width), max_lines=TITLE_LINES, placeholder=" ..."
    )
    lines = [textwrap.fill(line, round(CAPTION_WIDTH * width)) for line in text.split("\n") if line]
    text = _first_lines("\n".join(lines), max(2, int(CAPTION_SHARE * height / CAPTION_LINE)))
    left = 0.08 / width
    figure.text(left, 1 - 0.08 / height, title, va="top", visible=look.title,
                size=mpl.rcParams["figure.titlesize"],
                weight=mpl.rcParams["figure.titleweight"])  # fmt: skip
    figure.text(left, 0.07 / height, text, va="bottom", size=7, color="#555555", visible=look.title)
    bottom = CAPTION_LINE * (1 + text.count("\n")) + 0.12
    top = TITLE + TITLE_LINE * title.count("\n")
    if not look.title:
        bottom = top = BORDER
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
    return [f"{' = '.join(_names(suite, group))}: the same computation" for group in suite.same]


def _names(suite: SuiteResults, methods: Iterable[str]) -> list[str]:
    return [suite.name_of(METHOD, method) for method in methods]


def machines(runs: Sequence[Run]) -> list[str]:
    """Return the machines that computed the runs."""
    return sorted({machine_label(run.environment) for run in runs if run.environment})


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


def legend_width(labels: Iterable[str]) -> float:
    """Return the inches that a legend of `labels` needs beside the panels."""
    return LEGEND + LETTER * min(LONGEST_LABEL, max(map(len, labels), default=0))


def add_legend(grid: Any, signs: Mapping[str, Any] | None = None, **options: Any) -> None:
    """Add a legend of `signs`, else of all panels' labels: in an empty place, or right of all.

    Its letters are as small as the figure needs.
    """
    if signs is None:
        found = [axes.get_legend_handles_labels() for axes in grid.flat]
        signs = {name: handle for pair in found for handle, name in zip(*pair, strict=True)}
    empty = next((axes for axes in grid[:, -1] if not axes.axison), None)
    corner, place = (grid[0, -1], (1 + BESIDE, 1.04)) if empty is None else (empty, (0.0, 1.0))
    width, height = corner.figure.get_size_inches()
    size = FontProperties(size=mpl.rcParams["legend.fontsize"]).get_size_in_points()
    down = (height - BESIDE_LEGEND) / (LEGEND_LINE * size * max(1, len(signs)))
    across = LEGEND_SHARE * width / legend_width(signs)
    options = {"fontsize": size * min(1.0, down, across), "bbox_to_anchor": place, **options}
    names = [shorten(printable(name), LONGEST_LABEL) for name in signs]
    legend = corner.legend(signs.values(), names, loc="upper left", **options)
    if empty is None:
        _leave_room(corner.figure, legend)


def _leave_room(figure: Figure, legend: Legend) -> None:
    """Keep the panels left of a legend, which may be higher than the panel that it belongs to."""
    legend.set_in_layout(False)
    engine: Any = figure.get_layout_engine()
    left, bottom, width, height = engine.get()["rect"]
    extent = legend.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    pad = legend.borderaxespad * legend.prop.get_size_in_points() * figure.dpi / 72
    taken = (extent.width + pad) / figure.bbox.width + BESIDE
    engine.set(rect=(left, bottom, width - taken, height))
