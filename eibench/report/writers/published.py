"""The small table of published numbers below a table, in each format for people."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

from tabulate import tabulate

from eibench.report.model.pivot import Pivot
from eibench.report.model.published import Published, published, reference_notes, sources
from eibench.report.writers.escape import latex as escape
from eibench.report.writers.escape import markdown, terminal
from eibench.report.writers.latex import Tabular, floating
from eibench.report.writers.text import (
    NARROW,
    NO_CELL,
    STUB,
    empty_text,
    number_text,
    remark_text,
    wrapped,
)

TITLE = "Published numbers"
HEADS = ("cell", "ours", "published", "difference", "what differs: ours for theirs")
NOTHING = "nothing that is recorded differs"
NUMBERS = 42
"""Characters of a terminal's line that the numbers and the gaps between columns take."""
LEAST = 24
"""Characters that the words on protocol have even on a narrow terminal."""


def to_text(table: Pivot, width: int = 100, bold: Callable[[str], str] = str) -> str:
    """For a terminal of `width` characters, to stand below the table; empty without numbers."""
    found = published(table)
    if not found:
        return ""
    room = max(LEAST, width - STUB - NUMBERS)
    widths = (STUB, NARROW, NARROW, NARROW, room)
    body = [[wrapped(t, w) for t, w in zip(row, widths, strict=True)] for row in _rows(table)]
    grid = tabulate(body, HEADS, "simple", disable_numparse=True)
    notes = reference_notes(table, found)
    lines = [textwrap.fill(terminal(note), width, subsequent_indent="  ") for note in notes]
    return "\n".join(["", bold(TITLE), "", grid, "", *lines]) + "\n"


def to_markdown(table: Pivot) -> str:
    """For GitHub, to stand below the table; empty without numbers."""
    found = published(table)
    if not found:
        return ""
    body = [[markdown(text) for text in row] for row in _rows(table)]
    grid = tabulate(body, HEADS, "github", disable_numparse=True)
    notes = "\n".join(f"- {markdown(note)}" for note in reference_notes(table, found))
    return f"\n#### {TITLE}\n\n{grid}\n\n{notes}\n"


def to_latex(table: Pivot) -> str:
    """A floating table of its own; empty without numbers."""
    found = published(table)
    if not found:
        return ""
    lines = floating(
        f"{escape(table.heading)}; {TITLE.lower()}",
        f"{table.suite.name}-published",
        [
            Tabular(
                r"p{0.2\textwidth}cccp{0.3\textwidth}",
                [rf"{' & '.join(HEADS)} \\"],
                [_latex_row(row) for row in _rows(table)],
            )
        ],
        [escape(note) for note in reference_notes(table, found)],
    )
    return "\n".join(["", *lines]) + "\n"


def _latex_row(row: list[str]) -> str:
    """A row whose first and last cell are paragraphs, so that the row cannot end in two slashes."""
    cell, ours, theirs, difference, protocol = map(escape, row)
    signed = f"${difference}$" if difference != NO_CELL else difference
    first, last = (rf"\raggedright {text}" for text in (cell, protocol))
    return rf"{' & '.join([first, ours, theirs, signed, last])} \tabularnewline"


def _rows(table: Pivot) -> list[list[str]]:
    """The texts below `HEADS`, a row for each published number."""
    found = published(table)
    numbered = {text: i for i, text in enumerate(sources(found), start=1)}
    return [
        [
            ", ".join(one.names),
            _ours(one, table),
            f"{one.reference.value:g} [{numbered[one.reference.source]}]",
            _difference(one, table),
            "; ".join(one.protocol) or NOTHING,
        ]
        for one in found
    ]


def _ours(one: Published, table: Pivot) -> str:
    """`85.2 ± 0.3 (n=3)`, or why there is no number."""
    if not one.cell.n:
        return empty_text(one.cell, table.metric)
    remark = remark_text(one.cell, table) or f"(n={one.cell.n})"
    return f"{number_text(one.cell, table)} {remark}"


def _difference(one: Published, table: Pivot) -> str:
    if one.difference is None:
        return NO_CELL
    return f"{one.difference:+z.{table.metric.digits}f}"
