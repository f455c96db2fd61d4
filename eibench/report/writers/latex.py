"""Documents as LaTeX that needs no package but booktabs: tables that fit the line, each a float."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from eibench.report.model.document import Document, Page, Table, bolded
from eibench.report.writers.escape import break_lines, latex_label
from eibench.report.writers.measures import FOOTNOTE, lines_of, text_width
from eibench.report.writers.tabular import Tabular, breakable, layouts

HEIGHT = 520.0
"""Points that a float may have; the page of article has 550."""
HEADER = r"% Tables need \usepackage{booktabs} in the preamble."
TOGETHER = 8
"""Tables of a whole document between two page breaks; LaTeX holds few floats back."""
NOTE_LINE = 9.5
"""Points of a line of notes."""
Block = tuple[float, list[str]]
"""Height in points and lines of source of what is not divided over pages."""


def to_latex(documents: Sequence[Document], standalone: bool = False) -> str:
    """Return every table with its caption, a label that no other has, and notes below.

    A table that is higher than a page goes on in another float under the same number. With
    `standalone` they are the body of a document that compiles.
    """
    labels: Counter[str] = Counter()
    parts = [HEADER] if not standalone else list(_preamble(documents))
    for document in documents:
        for table in document.tables:
            label = latex_label(table.label)
            labels[label] += 1
            name = label if labels[label] == 1 else f"{label}-{labels[label]}"
            parts += ["\n".join(_floats(table, document.page, name)), ""]
            if standalone and labels.total() % TOGETHER == 0:
                parts += [r"\clearpage", ""]
    return "\n".join(parts) + (r"\end{document}" + "\n" if standalone else "")


def _preamble(documents: Sequence[Document]) -> Iterator[str]:
    page = next((document.page for document in documents), Page())
    yield r"\documentclass[twocolumn]{article}" if page.starred else r"\documentclass{article}"
    yield r"\usepackage{booktabs}"
    yield rf"\setlength{{\textwidth}}{{{page.width:g}pt}}"
    yield r"\setlength{\oddsidemargin}{\dimexpr(\paperwidth-\textwidth)/2-1in\relax}"
    yield from (r"\begin{document}", "")


def _floats(table: Table, page: Page, label: str) -> Iterator[str]:
    """Yield the floats of a table; those after the first continue its number."""
    room = HEIGHT - 12.0 * lines_of(table.caption, page.width, 1.0) - 12.0
    blocks = [*_tabulars(table, page, room), *_notes(table, page, room)]
    environment = "table*" if page.starred else "table"
    for i, group in enumerate(_packed(blocks, room)):
        yield from (rf"\begin{{{environment}}}", r"  \centering\small")
        yield r"  \setlength{\tabcolsep}{4pt}\setlength{\emergencystretch}{3em}"
        if i:
            yield r"  \addtocounter{table}{-1}"
        yield rf"  \caption{{{breakable(table.caption)}{' (continued)' * bool(i)}}}"
        yield from ([] if i else [rf"  \label{{tab:{label}}}"])
        yield r"  \par\smallskip"
        yield from (f"  {line}" for line in group)
        yield rf"\end{{{environment}}}"


def _packed(blocks: Sequence[Block], room: float) -> Iterator[list[str]]:
    """Yield the lines of each float: as many blocks as it has room for."""
    group: list[str] = []
    left = room
    for height, lines in blocks:
        if group and height > left:
            yield group
            group, left = [], room
        group, left = [*group, *lines], left - height
    yield group


def _tabulars(table: Table, page: Page, room: float) -> Iterator[Block]:
    """Yield the parts of a table, by columns and, where one is higher than a page, by rows."""
    for part in layouts(table, page.width):
        for rows in _chunks(part, room):
            height = part.head_height + sum(map(part.row_height, rows))
            yield height, [*part.source(rows), r"\par\medskip"]


def _chunks(part: Tabular, room: float) -> Iterator[range]:
    """Yield ranges of rows that are no higher than `room`, of about equal height."""
    heights = [part.row_height(i) for i in range(len(part.table.rows))]
    space = max(room - part.head_height, room / 2)
    share = sum(heights) / max(1, -(-sum(heights) // space))
    start, used = 0, 0.0
    for i, height in enumerate(heights):
        if i > start and (used + height > space or used >= share):
            yield range(start, i)
            start, used = i, 0.0
        used += height
    yield range(start, len(heights))


def _notes(table: Table, page: Page, room: float) -> Iterator[Block]:
    """Yield the notes in small type; one that is longer than a page is divided."""
    most = int(0.8 * room / NOTE_LINE * page.width / text_width("n", FOOTNOTE))
    for note in (*table.notes[:1], *table.legend, *table.notes[1:]):
        for text in break_lines(note, most).split("\n"):
            height = NOTE_LINE * lines_of(text, page.width)
            yield height, [rf"{{\footnotesize\raggedright {_note(text)}\par}}"]


def _note(note: str) -> str:
    """Return a note, its names in typewriter type."""
    parts = [breakable(part) for part in bolded(note).split("`")]
    for i in range(1, len(parts), 2):  # typewriter type does not break at hyphens by itself
        broken = parts[i].replace("-", r"-\allowbreak{}")
        parts[i] = rf"\texttt{{{broken}}}"
    return "".join(parts)
