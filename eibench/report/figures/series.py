"""Series and panels of a table: how its rows look, and what stands above its columns."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl

from eibench.plan.suite import ABLATION, METHOD
from eibench.report.figures.palette import method_colour, nth_colour
from eibench.report.figures.style import LINES, MARKERS, OVER, SOLID
from eibench.report.model.pivot import Key, Layout, Pivot, remaining_axes
from eibench.report.model.suite_results import SuiteResults, check_fields, varies
from eibench.results.cells import Aggregate
from eibench.results.metrics import Metric

SPREAD = "± 1 standard deviation, clipped to possible values"
"""Meaning of a band or bar around a mean, in captions; computed by `spread`."""
TITLE_LINE = 34
"""Characters of a line of a panel's title, of three panels beside each other."""
NOWHERE = (math.nan, math.nan)
"""Ends of the bar of a cell without a spread."""


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
    def key(self) -> tuple[str, str, str]:
        """Label, colour and marker, for a legend."""
        return self.label, self.colour, self.marker

    @property
    def look(self) -> dict[str, Any]:
        """Line, marker and colour for matplotlib; over an equal, thinner and with open markers."""
        return {
            "label": self.label,
            "color": self.colour,
            "linestyle": self.line,
            "linewidth": mpl.rcParams["lines.linewidth"] * (0.7 if self.over else 1.0),
            "marker": self.marker,
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
        colour, marker = _colour(table, row, i), MARKERS[i % len(MARKERS)]
        shift = (i + 0.5) / len(table.rows) - 0.5
        series.append(Series(row, _label(table, row), colour, marker, line, over, shift))
    return series


def _colour(table: Pivot, row: Key, i: int) -> str:
    """Return the colour of the row's method, which may be one of several fields; else the `i`th."""
    methods = [v for f, v in zip(table.layout.rows, row, strict=True) if f == METHOD]
    return method_colour(str(methods[0])) if methods else nth_colour(i)


def _label(table: Pivot, row: Key) -> str:
    """Return the row's name, and how many of its runs have no number."""
    fields = zip(table.layout.rows, row, strict=True)
    name = ", ".join(table.suite.named(*pair) for pair in fields)
    cells = [cell for (r, _), cell in table.cells.items() if r == row]
    parts = [(sum(c.failed for c in cells), "failed"), (sum(c.missing for c in cells), "missing")]
    lacks = ", ".join(f"{count} {word}" for count, word in parts if count)
    return f"{name} ({lacks})" if lacks else name


def _equals(table: Pivot, row: Key) -> Sequence[Key]:
    """Return the rows that are the same computation as `row`, with it; none if there is none."""
    if table.layout.rows != (METHOD,):
        return []
    return [(label,) for group in table.suite.same if row[0] in group for label in group]


def facets_of(table: Pivot, depth: int) -> list[Key]:
    """Return the panels of a table: the first `depth` values of its columns, each once."""
    return list(dict.fromkeys(column[:depth] for column in table.columns))


def facet_words(table: Pivot, facet: Key) -> str:
    """Return a panel's values in words: `depth 8, time steps 4`."""
    named = table.suite.named
    return ", ".join(named(*pair) for pair in zip(table.layout.columns, facet, strict=False))


def facet_title(table: Pivot, facet: Key) -> str:
    """Return the same in lines for which a panel has room."""
    return textwrap.fill(facet_words(table, facet), TITLE_LINE)


def facet_layout(suite: SuiteResults, by: Sequence[str] | None = None) -> Layout:
    """Return a layout whose rows are series and whose columns, all other axes, are panels.

    Raises:
        UserError: a field that no run has, or one that is listed twice.
    """
    rows = choose_rows(suite, by)
    panels = [axis for axis in remaining_axes(suite, rows) if varies(suite.runs, axis)]
    return Layout(tuple(rows), tuple(panels))


def choose_rows(suite: SuiteResults, by: Sequence[str] | None) -> list[str]:
    """Return the fields of the series: ablations or methods, if none is asked for."""
    rows = [ABLATION if ABLATION in suite.axis_fields else METHOD] if by is None else list(by)
    return check_fields(suite, "--by", rows)


def spread(cell: Aggregate, metric: Metric) -> tuple[float, float] | None:
    """Return the ends of the bar around a cell's mean, both possible; None where it has none."""
    if cell.mean is None or cell.deviation is None:
        return None
    return metric.clip(cell.mean - cell.deviation), metric.clip(cell.mean + cell.deviation)
