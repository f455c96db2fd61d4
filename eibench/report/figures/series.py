"""Series and panels of a table: how its rows look, and what stands above its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eibench.plan.suite import METHOD
from eibench.report.figures.style import COLOURS, LINES, MARKERS, OVER, SOLID
from eibench.report.model.pivot import Key, Pivot
from eibench.results.labels import show_field, show_value


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


def facets_of(table: Pivot, depth: int) -> list[Key]:
    """Return the panels of a table: the first `depth` values of its columns, each once."""
    return list(dict.fromkeys(column[:depth] for column in table.columns))


def facet_words(table: Pivot, facet: Key) -> str:
    """Return a panel's values in words: `depth 8, time steps 4`."""
    return ", ".join(show_field(*pair) for pair in zip(table.layout.columns, facet, strict=False))
