"""Documents for a terminal."""

from __future__ import annotations

import io
import textwrap

from rich.box import Box
from rich.console import Console
from rich.measure import Measurement
from rich.style import Style
from rich.table import Table as Grid
from rich.text import Text

from eibench.report.model.document import BEST, Cell, Column, Document, Table
from eibench.report.writers.escape import break_lines, plain, terminal

HEAD, NARROW, STUB = 8, 13, 24
"""Characters to which heads of narrow tables, other heads and cells, and rows' names are broken."""
LEAST = 20
"""Characters that running text has even on a narrow terminal."""
GAP = 2
"""Characters between two columns."""
WIDEST = 100_000
"""Characters of a line for what is broken into lines already."""
RULED = Box("    \n    \n -  \n    \n    \n    \n    \n    \n", ascii=True)
"""A rule below the head, and no other lines."""
BOLD = Style(bold=True)


def to_text(document: Document, width: int, styled: bool = False) -> str:
    """Return the document in lines of `width` characters: the best cells carry a `*`.

    With `styled` they and the titles are bold. A table that is too wide goes on below with the rest
    of its columns.
    """
    blocks: list[Text | Grid] = [Text(terminal(document.title), BOLD)]
    for table in document.tables:
        if table.title:
            blocks.append(Text(terminal(table.title), BOLD))
        blocks += [_grid(part, width) for part in table.split(lambda part: _fits(part, width))]
        if table.notes:
            blocks.append(Text("\n".join(_note(note, width) for note in table.notes)))
    return "\n\n".join(_print(block, styled) for block in blocks) + "\n"


def _note(note: str, width: int) -> str:
    text = f"`*`: {note.removeprefix(BEST)}" if note.startswith(BEST) else note
    return textwrap.fill(terminal(text), width, subsequent_indent="  ")


def _print(block: Text | Grid, styled: bool) -> str:
    out = io.StringIO()
    console = Console(
        file=out,
        width=WIDEST,
        force_terminal=styled,
        color_system="standard" if styled else None,
        legacy_windows=False,
    )
    console.print(block, soft_wrap=isinstance(block, Text))
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").split("\n"))


def _fits(table: Table, width: int) -> bool:
    console = Console(file=io.StringIO(), width=WIDEST)
    return Measurement.get(console, console.options, _grid(table, width)).maximum <= width


def _grid(table: Table, width: int) -> Grid:
    grid = Grid(
        box=RULED, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style=None
    )
    columns = [
        [_head(column, table), *(_lines(row[i], column) for row in table.rows)]
        for i, column in enumerate(table.columns)
    ]
    if table.columns[-1].paragraph:
        taken = sum(max(map(_longest, column)) + GAP for column in columns[:-1])
        room = max(LEAST, width - taken)
        last = [table.columns[-1].name, *(row[-1].text for row in table.rows)]
        columns[-1] = [Text(break_lines(terminal(text), room)) for text in last]
    for head, *_ in columns:
        grid.add_column(head, no_wrap=True)
    for row in zip(*(cells for _, *cells in columns), strict=True):
        grid.add_row(*row)
    return grid


def _longest(text: Text) -> int:
    return max(map(len, text.plain.splitlines()), default=0)


def _head(column: Column, table: Table) -> Text:
    width = STUB if column.stub and column.paragraph else HEAD if table.narrow else NARROW
    lines = (break_lines(terminal(line), width) for line in column.name.split("\n"))
    return Text("\n".join(lines))


def _lines(cell: Cell, column: Column) -> Text:
    """Return the cell's text and its remark below; text that is kept together is not broken."""
    if column.stub:
        return Text(break_lines(terminal(cell.text), STUB))
    text = plain(break_lines(terminal(cell.text), NARROW, keep_fixed=True))
    parts = [Text.assemble((text, BOLD), " *") if cell.best else Text(text)] if text else []
    remark = break_lines(terminal(cell.remark), NARROW)
    return Text("\n").join([*parts, *([Text(remark)] if remark else [])])
