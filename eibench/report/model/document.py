"""Document model: what a report says, before it is text in any format.

A document is a title and tables of cells with notes below; beside them stand the same contents as
plain values, for formats that programs read. All texts are raw: escaping is the writers' part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from eibench.plan.suite import NoteLevel

NO_CELL = "-"
"""Stands where there is nothing: combinations outside the plan, a reference's own difference."""
BEST = "Best: "
"""Begins the note on the mark of the best cells; each writer puts its own mark there."""
FIXED = "\N{NO-BREAK SPACE}"
"""A space at which a line is broken only where it would not fit otherwise."""


@dataclass(frozen=True)
class Cell:
    """Text of a cell, with a remark behind or below it if there is one."""

    text: str
    remark: str = ""
    best: bool = False
    mark: str | None = None
    """The remark as a sign or none, for pages; the table's legend explains it."""
    below: Cell | None = None
    """Cell of a second column, where it is printed below this one; see `Table.folded`."""


@dataclass(frozen=True)
class Column:
    """Head of a column, and what kind of cells it has."""

    name: str
    """The whole head; a line break divides its parts."""
    levels: tuple[str, ...] = ()
    """The head over several lines, outermost first, where equal neighbours share a wide head."""
    stub: bool = False
    """Names the rows: it leads the others, and is repeated where a wide table is broken."""
    paragraph: float = 0.0
    """Share of the page's width that running text has; 0 for short cells."""


@dataclass(frozen=True)
class Table:
    """Rows of cells, and the notes that belong to them, in which names stand between backticks."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    short: tuple[str, ...] | None = None
    """Notes for a paper: no names of files, commands or runs. None: `notes` are such."""
    legend: tuple[str, ...] = ()
    """Notes on the marks of cells, where those are printed."""
    title: str = ""
    """Stands above it; empty where the document's title says it all."""
    caption: str = ""
    """Title where it stands alone."""
    label: str = ""
    """Name by which a text can refer to it."""
    together: int = 1
    """Columns that are kept side by side where a wide table is broken."""
    narrow: bool = False
    """Heads are broken into short lines."""

    def at(self, level: NoteLevel) -> Table:
        """Return the table with no notes, those that its reader needs, or all that is known."""
        if level == "none":
            return replace(self, notes=(), legend=())
        short = level == "short" and self.short is not None
        return replace(self, notes=self.short or ()) if short else self

    def folded(self) -> Table:
        """Return the table with the second of each two columns below the first, in its cells."""
        if self.together != 2:
            return self
        first = range(self.stubs, len(self.columns), 2)
        heads = (self.columns[i] for i in first)
        columns = (replace(c, levels=c.levels[:-1] or (c.name,)) for c in heads)
        rows = (
            (*row[: self.stubs], *(replace(row[i], below=row[i + 1]) for i in first))
            for row in self.rows
        )
        stubs = self.columns[: self.stubs]
        return replace(self, columns=(*stubs, *columns), rows=tuple(rows), together=1)

    @property
    def stubs(self) -> int:
        """Number of leading columns, which name the rows."""
        return sum(column.stub for column in self.columns)

    def split(self, fits: Callable[[Table], bool]) -> list[Table]:
        """Return the table in the fewest parts that fit, each with all rows and the stubs.

        Columns that cannot be divided further are returned whether they fit or not.
        """
        units = (len(self.columns) - self.stubs) // self.together
        for count in range(1, units):
            if all(map(fits, parts := list(self._parts(units, count)))):
                return parts
        return list(self._parts(units, max(1, units)))

    def _parts(self, units: int, count: int) -> Iterator[Table]:
        """Yield the table in `count` parts of about equally many columns, the larger ones first."""
        start = self.stubs
        for i in range(count):
            end = start + -(-(units - i) // count) * self.together
            yield self._part([*range(self.stubs), *range(start, end)])
            start = end

    def _part(self, chosen: Sequence[int]) -> Table:
        columns = tuple(self.columns[i] for i in chosen)
        rows = tuple(tuple(row[i] for i in chosen) for row in self.rows)
        return replace(self, columns=columns, rows=rows)


def text_cells(texts: Iterable[str]) -> tuple[Cell, ...]:
    """Return cells of plain texts."""
    return tuple(map(Cell, texts))


def fixed(text: str) -> str:
    """Return `text` with spaces that keep it on one line."""
    return text.replace(" ", FIXED)


def bolded(note: str) -> str:
    """Return a note of a format that sets the best cells in bold."""
    return f"Bold: {note.removeprefix(BEST)}" if note.startswith(BEST) else note


def code(text: str) -> str:
    """Return `text` as a name in a note: between backticks, on one line."""
    return "`" + " ".join(text.replace("`", "'").split()) + "`"


@dataclass(frozen=True)
class Page:
    """Page of a paper for which a table is laid out."""

    width: float = 345.0
    """Points of a line; the default is that of LaTeX's article."""
    starred: bool = False
    """True for a float across all columns of the page (`table*`)."""


@dataclass(frozen=True)
class Chart:
    """Picture that a page draws: a Vega-Lite spec, and the rows of numbers that it reads."""

    title: str
    text: str
    """Description, which also stands for the picture where it cannot be seen."""
    spec: Mapping[str, Any]
    """Reads the data set `rows`, in which `name` and `panel` are words."""
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    """Numbers by column; those of `name` and `panel` are places in `series` and `panels`."""
    series: tuple[tuple[str, str, str, str], ...]
    """Name, colour, sign and shape of each line, for a legend."""
    panels: tuple[str, ...] = ("",)
    """Names of the pictures, which share the spec and stand side by side."""


@dataclass(frozen=True)
class SourceText:
    """Text of a file, such as a suite."""

    title: str
    text: str


@dataclass(frozen=True)
class Document:
    """Report of one suite, search or profile."""

    title: str
    tables: tuple[Table, ...]
    subject: str = ""
    """Documents of one subject are one object in JSON."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """All of it as plain values, unrounded."""
    records: Sequence[Mapping[str, Any]] = ()
    """Tidy rows for CSV."""
    keys: tuple[str, ...] = ()
    """Columns of the records that come first."""
    numbers: tuple[tuple[tuple[str, ...], str], ...] = ()
    """Single numbers, rounded, each under the words that name it, outermost first."""
    page: Page = Page()
    under: str = ""
    """Title of the subject, under which a page has several documents; empty: `title` is it."""
    lead: tuple[str, ...] = ()
    """Notes above the tables; on pages, as are charts and listings."""
    charts: tuple[Chart, ...] = ()
    listings: tuple[SourceText, ...] = ()

    def at(self, level: NoteLevel) -> Document:
        """Return the document with the notes of `level`."""
        return replace(self, tables=tuple(table.at(level) for table in self.tables))
