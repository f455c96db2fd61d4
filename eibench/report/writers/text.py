"""Tables as text for a person: what stands in a cell, a terminal's table, and Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence

from tabulate import tabulate

from eibench.report.model.difference_notes import EXCLUDES_ZERO
from eibench.report.model.labels import field_words, show_field, show_value
from eibench.report.model.layout import Key, Place
from eibench.report.model.notes import footnotes
from eibench.report.model.pivot import UNMEASURED, Aggregate, Pivot
from eibench.report.writers.escape import markdown, markdown_note, terminal
from eibench.results.metrics import Metric

NARROW = 13
"""Characters to which headers and remarks of a terminal's table are wrapped."""
STUB = 24
"""Characters to which the rows' names are wrapped there."""
NO_CELL = "-"
"""Stands where the plan has no runs, and for the difference of the reference to itself."""


def number_text(cell: Aggregate, table: Pivot) -> str:
    """`97.2 ± 0.3`, or without the spread where there is none."""
    return spread_text(cell, table.metric)


def spread_text(cell: Aggregate, metric: Metric) -> str:
    """The same of a cell that stands in no table."""
    assert cell.mean is not None
    show = metric.show
    return show(cell.mean) + ("" if cell.deviation is None else f" ± {show(cell.deviation)}")


def remark_text(cell: Aggregate, table: Pivot) -> str:
    """`(n=2, 1 diverged)` behind a number, nothing for a full cell."""
    return absence_text(cell, table.metric, table.planned)


def absence_text(cell: Aggregate, metric: Metric, planned: int) -> str:
    """The same of a cell of `planned` runs that stands in no table."""
    if cell.n == planned:
        return ""
    absent = [f"{count} {_absence(status, metric)}" for status, count in cell.absent.items()]
    return f"({', '.join([f'n={cell.n}', *absent])})"


def empty_text(cell: Aggregate, metric: Metric) -> str:
    """`diverged (2), missing (1)`: a cell without numbers."""
    return ", ".join(f"{_absence(s, metric)} ({count})" for s, count in cell.absent.items())


def _absence(status: str, metric: Metric) -> str:
    """Why a run has no number, in words."""
    return metric.unmeasured if status == UNMEASURED else status.replace("_", " ")


def difference_head(table: Pivot) -> tuple[str, str]:
    """Two lines that head the second half of a column with differences."""
    assert table.layout.reference is not None
    return f"difference to {table.layout.reference[1]}", "[95 % CI]"


def difference_text(table: Pivot, place: Place) -> str:
    """`-4.2 [-5.1, -3.3] †`: mean difference to the reference, interval, mark if it excludes 0.

    Without an interval for a single shared seed; a dash for the reference itself, and for a cell
    without runs.
    """
    found = table.differences.get(place)
    if found is None or not table.cells[place].n:
        return NO_CELL
    if found.mean is None:
        return "no shared seed"
    mean, *ends = (f"{x:+z.{table.metric.digits}f}" for x in (found.mean, *(found.interval or ())))
    interval = f" [{', '.join(ends)}]" if ends else ""
    return f"{mean}{interval}{f' {EXCLUDES_ZERO}' if found.excludes_zero else ''}"


def difference_remark(table: Pivot, place: Place) -> str:
    """`(n=2)` behind a difference over fewer seeds than planned."""
    found = table.differences.get(place)
    return f"(n={found.n})" if found is not None and 0 < found.n < table.planned else ""


def stub_text(row: Key, table: Pivot) -> str:
    """What names a row: its values, or the metric when no field spans the rows."""
    if len(row) == 1:
        return show_value(row[0])
    fields = zip(table.layout.rows, row, strict=True)
    return ", ".join(show_field(*pair) for pair in fields) or table.metric.label


def column_texts(column: Key, table: Pivot) -> list[str]:
    """What heads a column: each field's value, or the metric when no field spans the columns."""
    fields = zip(table.layout.columns, column, strict=True)
    return [show_field(*pair) for pair in fields] or [table.metric.heading]


def stub_heading(table: Pivot) -> str:
    """The heading above the rows' names."""
    return ", ".join(field_words(field) for field in table.layout.rows)


# --------------------------------------------------------------------------------- terminal


def to_text(table: Pivot, width: int = 100, bold: Callable[[str], str] = str) -> str:
    """For a terminal of `width` characters: the best carry a `*`, and are passed through `bold`.

    A table that is too wide continues below with the rest of its columns.
    """
    notes = footnotes(table, "`*`")
    lines = [textwrap.fill(terminal(note), width, subsequent_indent="  ") for note in notes]
    title = bold(terminal(table.heading))
    return "\n".join([title, "", _blocks(table, width, bold), "", *lines]) + "\n"


def _blocks(table: Pivot, width: int, bold: Callable[[str], str]) -> str:
    def block(columns: Sequence[Key]) -> str:
        body = [
            [
                wrapped(stub_text(row, table), STUB),
                *(text for c in columns for text in _text_cells(table, row, c, bold)),
            ]
            for row in table.rows
        ]
        headers = [
            terminal(stub_heading(table)),
            *(t for c in columns for t in _column_heads(c, table)),
        ]
        text = tabulate(body, headers, "simple", disable_numparse=True)
        if len(columns) == 1 or width_of(text) <= width:
            return text
        half = (len(columns) + 1) // 2
        return f"{block(columns[:half])}\n\n{block(columns[half:])}"

    return block(table.columns)


def width_of(text: str) -> int:
    """Width of a table: that of the rule below its head."""
    return max(len(line) for line in re.findall(r"^-[- ]*$", text, re.MULTILINE))


def _column_heads(column: Key, table: Pivot) -> list[str]:
    """The heads of a column's parts, narrow and one field below the other."""
    first = "\n".join(wrapped(text) for text in column_texts(column, table))
    if not table.layout.reference:
        return [first]
    return [first, "\n".join(map(terminal, difference_head(table)))]


def _text_cells(table: Pivot, row: Key, column: Key, bold: Callable[[str], str]) -> list[str]:
    """The parts of a cell: the number, and for ablations the difference."""
    number = _text_cell(table, row, column, bold)
    if not table.layout.reference:
        return [number]
    place = (row, column)
    parts = [difference_text(table, place), difference_remark(table, place)]
    return [number, "\n".join(filter(None, parts))]


def _text_cell(table: Pivot, row: Key, column: Key, bold: Callable[[str], str]) -> str:
    cell = table.cells.get((row, column))
    if cell is None:
        return NO_CELL
    if not cell.n:
        return wrapped(empty_text(cell, table.metric))
    number = number_text(cell, table)
    marked = bold(number) + " *" if cell.best else number
    return "\n".join(filter(None, [marked, wrapped(remark_text(cell, table))]))


def wrapped(text: str, width: int = NARROW) -> str:
    """`text` in lines of at most `width` characters, broken at spaces alone."""
    return textwrap.fill(terminal(text), width, break_long_words=False, break_on_hyphens=False)


# --------------------------------------------------------------------------------- Markdown


def to_markdown(table: Pivot) -> str:
    """For GitHub: the best in bold, notes as a list."""
    body = [
        [
            markdown(stub_text(row, table)),
            *(text for c in table.columns for text in _markdown_cells(table, row, c)),
        ]
        for row in table.rows
    ]
    second = [markdown(" ".join(difference_head(table)))] if table.layout.reference else []
    heads = ([markdown(", ".join(column_texts(c, table))), *second] for c in table.columns)
    headers = [markdown(stub_heading(table)), *(text for head in heads for text in head)]
    grid = tabulate(body, headers, "github", disable_numparse=True)
    notes = "\n".join(f"- {markdown_note(note)}" for note in footnotes(table, "Bold"))
    return f"### {markdown(table.heading)}\n\n{grid}\n\n{notes}\n"


def _markdown_cells(table: Pivot, row: Key, column: Key) -> list[str]:
    """The parts of a cell: the number, and for ablations the difference."""
    number = _markdown_cell(table, row, column)
    if not table.layout.reference:
        return [number]
    place = (row, column)
    return [number, f"{difference_text(table, place)} {difference_remark(table, place)}".rstrip()]


def _markdown_cell(table: Pivot, row: Key, column: Key) -> str:
    cell = table.cells.get((row, column))
    if cell is None:
        return NO_CELL
    if not cell.n:
        return empty_text(cell, table.metric)
    number = number_text(cell, table)
    return f"{f'**{number}**' if cell.best else number} {remark_text(cell, table)}".rstrip()
