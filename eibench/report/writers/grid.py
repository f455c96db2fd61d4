"""A table of plain texts in each format for people: heads, rows, and notes below.

Results over seeds are `eibench.report.model.pivot`; this is for whatever else is told in rows.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tabulate import tabulate

from eibench.report.writers.escape import FIXED, markdown, markdown_note, terminal
from eibench.report.writers.escape import latex as escape
from eibench.report.writers.latex import (
    PAGE,
    Tabular,
    column_width,
    floating,
    halves,
    line,
    stacked_head,
    typeset,
)
from eibench.report.writers.text import NARROW, STUB, width_of, wrapped

HEAD = 8
"""Characters to which heads are wrapped, where their words are no longer."""
LEAST = 20
"""Characters that running text has even on a narrow terminal."""
RUNNING = 0.3
"""Share of a page's width that running text has."""
GAP = 2
"""Characters between two columns."""


@dataclass(frozen=True)
class Grid:
    """Rows of texts; names within notes stand between backticks."""

    title: str
    label: str
    """Of the LaTeX table."""
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    stub: int = 1
    """Leading columns, which tell what a row is: they are repeated where the table is broken."""
    running: bool = False
    """Whether the last column is running text."""

    @property
    def columns(self) -> list[tuple[str, ...]]:
        """The columns, each its head and then its cells."""
        return list(zip(self.heads, *self.rows, strict=True))


# --------------------------------------------------------------------------------- terminal


def to_text(grid: Grid, width: int = 100, bold: Callable[[str], str] = str) -> str:
    """For a terminal of `width` characters; what is too wide goes on below."""
    notes = [textwrap.fill(terminal(note), width, subsequent_indent="  ") for note in grid.notes]
    body = _fitted(_narrow(grid, width), grid.stub, width)
    title = bold(terminal(grid.title))
    return "\n".join([title, "", body, *([""] if notes else []), *notes]) + "\n"


def _narrow(grid: Grid, width: int) -> list[list[str]]:
    """The columns with their lines broken, running text to the room that the others leave."""
    columns = [
        [_broken(head, HEAD), *(_broken(text, STUB if i < grid.stub else NARROW) for text in cells)]
        for i, (head, *cells) in enumerate(grid.columns)
    ]
    if grid.running:
        taken = sum(max(map(_longest, column)) + GAP for column in columns[:-1])
        columns[-1] = [_broken(text, max(LEAST, width - taken)) for text in grid.columns[-1]]
    return columns


def _broken(text: str, width: int) -> str:
    """`text` in lines, at a fixed space only where a line would be too long without."""
    kept = wrapped(text, width)
    broken = kept if _longest(kept) <= width else wrapped(_plain(text), width)
    return _plain(broken)


def _longest(text: str) -> int:
    return max(map(len, text.splitlines()), default=0)


def _plain(text: str) -> str:
    return text.replace(FIXED, " ")


def _fitted(columns: Sequence[Sequence[str]], stub: int, width: int) -> str:
    """Columns side by side; in halves, one below the other, while they are too wide."""
    head, *rows = zip(*columns, strict=True)
    rule = ["-" * max(map(_longest, column)) for column in columns]
    text = tabulate([head, rule, *rows], tablefmt="plain", disable_numparse=True)
    names, others = columns[:stub], columns[stub:]
    if len(others) <= 1 or width_of(text) <= width:
        return text
    half = (len(others) + 1) // 2
    parts = ([*names, *part] for part in (others[:half], others[half:]))
    return "\n\n".join(_fitted(part, stub, width) for part in parts)


# ---------------------------------------------------------------------- Markdown and LaTeX


def to_markdown(grid: Grid) -> str:
    """For GitHub, as part of a section; notes as a list."""
    body = [[markdown(_plain(text)) for text in row] for row in grid.rows]
    heads = [markdown(head) for head in grid.heads]
    text = tabulate(body, heads, "github", disable_numparse=True)
    notes = "".join(f"- {markdown_note(note)}\n" for note in grid.notes)
    return f"#### {markdown(grid.title)}\n\n{text}\n" + (f"\n{notes}" if notes else "")


def to_latex(grid: Grid, title: str) -> str:
    """Return a floating table of its own, captioned with `title` and its own.

    Columns that are too many for a page go on below the first ones.
    """
    lines = floating(
        escape(f"{title}: {grid.title[:1].lower()}{grid.title[1:]}"),
        grid.label,
        [_tabular(part) for part in _parts(grid)],
        [typeset(note) for note in grid.notes],
    )
    return "\n".join(lines) + "\n"


def _parts(grid: Grid) -> list[Grid]:
    """Return the grid with some columns each behind the leading ones, as many as fit on a page."""
    widths = [_latex_width(head, cells) for head, *cells in grid.columns]
    stub, count = range(grid.stub), len(grid.heads)
    if grid.running:
        widths[-1] = RUNNING * PAGE
    parts = halves(range(grid.stub, count), lambda part: sum(widths[i] for i in (*stub, *part)))
    return [_part(grid, [*stub, *part]) for part in parts]


def _part(grid: Grid, chosen: Sequence[int]) -> Grid:
    def some(row: Sequence[str]) -> tuple[str, ...]:
        return tuple(row[i] for i in chosen)

    running = grid.running and chosen[-1] == len(grid.heads) - 1
    return replace(grid, heads=some(grid.heads), rows=tuple(map(some, grid.rows)), running=running)


def _latex_width(head: str, cells: Sequence[str]) -> float:
    return column_width([*_broken(head, HEAD).splitlines(), *cells])


def _tabular(grid: Grid) -> Tabular:
    last = rf"p{{{RUNNING}\textwidth}}" if grid.running else "c"
    between = len(grid.heads) - grid.stub - 1
    return Tabular(
        f"{'l' * grid.stub}{'c' * between}{last}",
        [line([_latex_head(head) for head in grid.heads])],
        [_latex_row(grid, row) for row in grid.rows],
    )


def _latex_head(head: str) -> str:
    lines = _broken(head, HEAD).splitlines()
    return stacked_head(lines) if len(lines) > 1 else escape(head)


def _latex_row(grid: Grid, row: Sequence[str]) -> str:
    """Signed numbers as such; a row that ends in a paragraph cannot end in two slashes."""
    *cells, last = (re.sub(r"^[-+](?=\d)", r"$\g<0>$", escape(_plain(text))) for text in row)
    if not grid.running:
        return line([*cells, last])
    return line([*cells, rf"\raggedright {last}"], r"\tabularnewline")
