"""Look of all figures, and their files.

Series differ in colour, marker and line at once, for print and for colour-blind readers. Colours
are those of Okabe and Ito (2008). No figure goes through pyplot: no window and no state stays.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.text import Text

from eibench.errors import UserError, shorten
from eibench.report.model.labels import show_field, show_value
from eibench.report.model.layout import Key
from eibench.report.model.pivot import Pivot
from eibench.report.model.suite_results import METHOD
from eibench.report.writers.escape import terminal
from eibench.results.store import write_atomic

DPI = 150
LONGEST_LINE = 300
"""Characters of a line of text in a figure."""
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.handlelength": 3.2,
    "pdf.fonttype": 42,
    "text.parse_math": False,
}
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}
"""Entries left out of each format, so that equal figures have equal bytes."""
FORMATS = tuple(METADATA)

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#777777"
COLOUR_MAP = "viridis"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h")
SOLID = "-"
DASHED = (0, (5, 3))
LINES = (SOLID, (0, (6, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 1.5, 1, 1.5)))
OVER = (0, (4, 3))
"""Line of a series over its equal, with gaps in which the other shows."""


@contextmanager
def style() -> Iterator[None]:
    """Draw with matplotlib's defaults and `STYLE`; the user's settings are back afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def save(figure: Figure, stem: Path, formats: Iterable[str] = FORMATS) -> list[Path]:
    """Write `stem` with the suffix of each format; equal figures give equal bytes on every day.

    Raises:
        UserError: a file cannot be written.
    """
    paths = [stem.with_name(f"{stem.name}.{form}") for form in formats]
    for path in paths:
        write_figure(figure, path, path.suffix[1:])
    return paths


def write_figure(figure: Figure, path: Path, form: str, **options: Any) -> None:
    """Write a `png` or a `pdf`, whole or not at all, its texts printable and of bounded length.

    Raises:
        UserError: `path` cannot be written.
    """
    content = io.BytesIO()
    with style():
        _make_printable(figure)
        # The user's backend may open windows, or not be installed.
        backend = {"png": "agg"}.get(form, form)
        metadata = METADATA[form]
        figure.savefig(content, format=form, dpi=DPI, backend=backend, metadata=metadata, **options)
    try:
        write_atomic(path, content.getvalue())
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None


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
    return "\n".join(shorten(terminal(line), LONGEST_LINE) for line in text.split("\n"))


@dataclass(frozen=True)
class Series:
    """A row of a table as it is drawn."""

    row: Key
    label: str
    colour: str
    marker: str
    line: Any
    over: int
    """Number of earlier series that compute the same: this one is drawn over them."""
    shift: float
    """Place beside the others, from -0.5 to 0.5, so that dots of several series can be told."""

    @property
    def look(self) -> dict[str, Any]:
        """Line, marker and colour for matplotlib; over an equal, thinner and with open markers."""
        return {
            "label": self.label,
            "color": self.colour,
            "linestyle": self.line,
            "linewidth": 1.4 if self.over else 2.0,
            "marker": self.marker,
            "markersize": 5,
            "markerfacecolor": "white" if self.over else self.colour,
            "zorder": 3 + self.over,
        }


def series_of(table: Pivot) -> list[Series]:
    """Return the rows of `table`, each with a look of its own."""
    series = []
    for i, row in enumerate(table.rows):
        equals = _equals(table, row)
        over = sum(other in equals for other in table.rows[:i])
        line = OVER if over else SOLID if equals else LINES[i % len(LINES)]
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        shift = (i + 0.5) / len(table.rows) - 0.5
        series.append(Series(row, _label(table, row), colour, marker, line, over, shift))
    return series


def _label(table: Pivot, row: Key) -> str:
    """Return the row's name, and how many of its runs have no number."""
    fields = zip(table.layout.rows, row, strict=True)
    name = ", ".join(show_value(v) if f == METHOD else show_field(f, v) for f, v in fields)
    cells = [cell for (r, _), cell in table.cells.items() if r == row]
    parts = [(sum(c.failed for c in cells), "failed"), (sum(c.missing for c in cells), "missing")]
    lacks = ", ".join(f"{count} {word}" for count, word in parts if count)
    return f"{name} ({lacks})" if lacks else name


def _equals(table: Pivot, row: Key) -> Sequence[Key]:
    """Return the rows that are the same computation as `row`, with it; none if there is none."""
    if table.layout.rows != (METHOD,):
        return []
    return [(label,) for group in table.suite.same if row[0] in group for label in group]
