"""Tables as text for a person: what stands in a cell, a terminal's table, and Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence

from tabulate import tabulate

from eibench.report.notes import footnotes
from eibench.report.tables import UNMEASURED, Cell, Key, Table
from eibench.report.words import Metric, field_words, show_field, show_value

NARROW = 13
"""Characters to which headers and remarks of a terminal's table are wrapped."""
NO_CELL = "-"
"""Stands where the plan has no runs."""


def number_text(cell: Cell, table: Table) -> str:
    """`97.2 ± 0.3`, or without the spread where there is none."""
    assert cell.mean is not None
    show = table.metric.show
    return show(cell.mean) + ("" if cell.deviation is None else f" ± {show(cell.deviation)}")


def remark_text(cell: Cell, table: Table) -> str:
    """`(n=2, 1 diverged)` behind a number, nothing for a full cell."""
    if cell.n == table.planned:
        return ""
    absent = [f"{count} {_absence(status, table.metric)}" for status, count in cell.absent.items()]
    return f"({', '.join([f'n={cell.n}', *absent])})"


def empty_text(cell: Cell, metric: Metric) -> str:
    """`diverged (2), missing (1)`: a cell without numbers."""
    return ", ".join(f"{_absence(s, metric)} ({count})" for s, count in cell.absent.items())


def _absence(status: str, metric: Metric) -> str:
    """Why a run has no number, in words."""
    return metric.unmeasured if status == UNMEASURED else status.replace("_", " ")


def stub_text(row: Key, table: Table) -> str:
    """What names a row: its values, or the metric when no field spans the rows."""
    if len(row) == 1:
        return show_value(row[0])
    fields = zip(table.layout.rows, row, strict=True)
    return ", ".join(show_field(*pair) for pair in fields) or table.metric.words


def column_texts(column: Key, table: Table) -> list[str]:
    """What heads a column: each field's value, or the metric when no field spans the columns."""
    fields = zip(table.layout.columns, column, strict=True)
    return [show_field(*pair) for pair in fields] or [table.metric.heading]


def stub_heading(table: Table) -> str:
    """The heading above the rows' names."""
    return ", ".join(field_words(field) for field in table.layout.rows)


# --------------------------------------------------------------------------------- terminal


def to_text(table: Table, width: int = 100, bold: Callable[[str], str] = str) -> str:
    """For a terminal of `width` characters: the best carry a `*`, and are passed through `bold`.

    A table that is too wide continues below with the rest of its columns.
    """
    notes = footnotes(table, "`*`")
    lines = [textwrap.fill(note, width, subsequent_indent="  ") for note in notes]
    return "\n".join([bold(table.heading), "", _blocks(table, width, bold), "", *lines]) + "\n"


def _blocks(table: Table, width: int, bold: Callable[[str], str]) -> str:
    def block(columns: Sequence[Key]) -> str:
        body = [
            [stub_text(row, table), *(_text_cell(table, row, c, bold) for c in columns)]
            for row in table.rows
        ]
        headers = [stub_heading(table), *(_column_lines(c, table) for c in columns)]
        text = tabulate(body, headers, "simple", disable_numparse=True)
        if len(columns) == 1 or _width(text) <= width:
            return text
        half = (len(columns) + 1) // 2
        return f"{block(columns[:half])}\n\n{block(columns[half:])}"

    return block(table.columns)


def _width(text: str) -> int:
    """Width of a table: that of the rule below its head."""
    return max(len(line) for line in re.findall(r"^-[- ]*$", text, re.MULTILINE))


def _column_lines(column: Key, table: Table) -> str:
    """The head of a column, narrow and one field below the other."""
    return "\n".join(_wrapped(text) for text in column_texts(column, table))


def _text_cell(table: Table, row: Key, column: Key, bold: Callable[[str], str]) -> str:
    cell = table.cells.get((row, column))
    if cell is None:
        return NO_CELL
    if not cell.n:
        return _wrapped(empty_text(cell, table.metric))
    number = number_text(cell, table)
    marked = bold(number) + " *" if cell.best else number
    return "\n".join(filter(None, [marked, _wrapped(remark_text(cell, table))]))


def _wrapped(text: str) -> str:
    return textwrap.fill(text, NARROW, break_long_words=False, break_on_hyphens=False)


# --------------------------------------------------------------------------------- Markdown


def to_markdown(table: Table) -> str:
    """For GitHub: the best in bold, notes as a list."""
    body = [
        [_escaped(stub_text(row, table)), *(_markdown_cell(table, row, c) for c in table.columns)]
        for row in table.rows
    ]
    headers = [
        stub_heading(table),
        *(_escaped(", ".join(column_texts(c, table))) for c in table.columns),
    ]
    grid = tabulate(body, headers, "github", disable_numparse=True)
    notes = "\n".join(f"- {note}" for note in footnotes(table, "Bold"))
    return f"### {_escaped(table.heading)}\n\n{grid}\n\n{notes}\n"


def _markdown_cell(table: Table, row: Key, column: Key) -> str:
    cell = table.cells.get((row, column))
    if cell is None:
        return NO_CELL
    if not cell.n:
        return empty_text(cell, table.metric)
    number = number_text(cell, table)
    return f"{f'**{number}**' if cell.best else number} {remark_text(cell, table)}".rstrip()


def _escaped(text: str) -> str:
    """`text` without a meaning in Markdown; underscores inside words have none on GitHub."""
    return re.sub(r"([\\`*\[\]<>|#~])", r"\\\1", text)
