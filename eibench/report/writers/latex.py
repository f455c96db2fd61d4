"""Tables as LaTeX that needs no package but booktabs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from eibench.report.model.labels import field_words, show_field, show_value
from eibench.report.model.layout import Key
from eibench.report.model.notes import footnotes
from eibench.report.model.pivot import Pivot
from eibench.report.writers.escape import latex as escape
from eibench.report.writers.escape import latex_label
from eibench.report.writers.text import (
    NO_CELL,
    column_texts,
    difference_head,
    difference_remark,
    difference_text,
    empty_text,
    number_text,
    remark_text,
    stub_text,
)
from eibench.report.writers.text import stub_heading as heading

T = TypeVar("T")
PAGE = 345.0
"""Points of a line in LaTeX's article."""
LETTER = 4.4
"""Points of a letter in small type, on average ..."""
GAP = 8.0
"""... and of the space between two columns."""

Header = list[tuple[str, int]]
"""One line of column heads: texts and the number of columns each spans."""


@dataclass(frozen=True)
class Tabular:
    """Columns side by side; all texts are LaTeX already."""

    columns: str
    head: Sequence[str]
    rows: Sequence[str]

    @property
    def lines(self) -> list[str]:
        """The lines of the environment."""
        return [
            rf"  \begin{{tabular}}{{{self.columns}}}",
            r"    \toprule",
            *(f"    {line}" for line in self.head),
            r"    \midrule",
            *(f"    {row}" for row in self.rows),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"  \par\medskip",
        ]


def to_latex(table: Pivot) -> str:
    """Return a floating table: caption, columns, and the notes in small type below.

    Columns that are too many for a page go on below the first ones.
    """
    lines = floating(
        escape(table.heading),
        table.suite.name,
        [_tabular(part) for part in _parts(table)],
        [typeset(note) for note in footnotes(table, "Bold")],
    )
    return "\n".join(lines) + "\n"


def floating(
    caption: str, label: str, tabulars: Sequence[Tabular], notes: Sequence[str]
) -> list[str]:
    """Return the lines of a floating table; caption and notes are LaTeX already."""
    return [
        r"\begin{table}",
        r"  \centering\small",
        r"  \setlength{\tabcolsep}{4pt}",
        rf"  \caption{{{caption}}}",
        rf"  \label{{tab:{latex_label(label)}}}",
        r"  \par\smallskip",
        *(line for tabular in tabulars for line in tabular.lines),
        r"  {\footnotesize\raggedright",
        *(rf"    {note}\par" for note in notes),
        r"  }",
        r"\end{table}",
    ]


def halves(columns: Sequence[T], width: Callable[[Sequence[T]], float]) -> list[Sequence[T]]:
    """Return the columns in parts that fit on a page; `width` is that of some of them, in points.

    A single column is left as it is.
    """
    if len(columns) <= 1 or width(columns) <= PAGE:
        return [columns]
    half = (len(columns) + 1) // 2
    return [*halves(columns[:half], width), *halves(columns[half:], width)]


def column_width(texts: Iterable[str]) -> float:
    """Return about how wide a column of these texts is, in points."""
    return LETTER * max(map(len, texts), default=0) + GAP


def _parts(table: Pivot) -> list[Pivot]:
    """Return the table with some columns each, as many as fit on a page."""
    stub = column_width([heading(table), *(stub_text(row, table) for row in table.rows)])
    widths = {column: sum(map(column_width, _texts(table, column))) for column in table.columns}
    parts = halves(table.columns, lambda columns: stub + sum(widths[c] for c in columns))
    return [replace(table, columns=tuple(columns)) for columns in parts]


def _texts(table: Pivot, column: Key) -> list[list[str]]:
    """Return the texts of a column, in parts: the number, and for ablations the difference."""
    places = [(row, column) for row in table.rows if (row, column) in table.cells]
    cells = [table.cells[place] for place in places]
    numbers = [number_text(c, table) if c.n else empty_text(c, table.metric) for c in cells]
    heads = map(show_value, column) if len(column) == 1 else column_texts(column, table)[-1:]
    texts = [[*heads, *numbers]]
    if not table.layout.reference:
        return texts
    differences = [difference_text(table, place) for place in places]
    return [*texts, [*difference_head(table), *differences]]


def _tabular(table: Pivot) -> Tabular:
    width = len(table.columns) * (2 if table.layout.reference else 1)
    return Tabular(f"l{'c' * width}", _head(table), [_row(table, row) for row in table.rows])


def _head(table: Pivot) -> list[str]:
    """The lines of column heads, each wide one underlined."""
    *upper, lowest = _headers(table)
    lines = []
    for header in upper:
        cells = [rf"\multicolumn{{{span}}}{{c}}{{{text}}}" for text, span in header]
        ends = list(itertools.accumulate((span for _, span in header), initial=1))
        rules = [rf"\cmidrule(lr){{{a + 1}-{b}}}" for a, b in itertools.pairwise(ends)]
        lines += [rf" & {' & '.join(cells)} \\", " ".join(rules)]
    names = " & ".join([escape(heading(table)), *(text for text, _ in lowest)])
    return [*lines, rf"{names} \\"]


def _headers(table: Pivot) -> list[Header]:
    """Heads from the outermost to the innermost; for ablations the lowest name a column's parts."""
    fields = table.layout.columns
    first = "mean" if fields else escape(table.metric.heading)
    parts = 2 if table.layout.reference else 1
    headers = [[(escape(text), parts * span) for text, span in h] for h in _field_headers(table)]
    if not table.layout.reference:
        return headers or [[(first, 1)]]
    return [*headers, [(first, 1), (stacked_head(difference_head(table)), 1)] * len(table.columns)]


def stacked_head(lines: Sequence[str]) -> str:
    """A head of several lines; in braces, since a line may start with a bracket."""
    text = r" \\ ".join(f"{{{escape(line)}}}" for line in lines)
    return rf"\begin{{tabular}}[b]{{@{{}}c@{{}}}}{text}\end{{tabular}}"


def _field_headers(table: Pivot) -> list[Header]:
    """The columns' values, neighbours with equal heads joined.

    A single field stands in words above its values.
    """
    fields = table.layout.columns
    if not fields:
        return []
    if len(fields) == 1:
        values = [(show_value(column[0]), 1) for column in table.columns]
        return [[(field_words(fields[0]), len(table.columns))], values]
    headers = [_joined(table, depth) for depth in range(1, len(fields))]
    return [*headers, [(show_field(fields[-1], column[-1]), 1) for column in table.columns]]


def _joined(table: Pivot, depth: int) -> Header:
    """The heads of the field at `depth` (from 1), one for all columns that agree up to it."""
    field = table.layout.columns[depth - 1]
    groups = itertools.groupby(table.columns, key=lambda column: column[:depth])
    return [(show_field(field, prefix[-1]), len(list(group))) for prefix, group in groups]


def _row(table: Pivot, row: Key) -> str:
    cells = [text for column in table.columns for text in _cells(table, row, column)]
    return line([escape(stub_text(row, table)), *cells])


def line(cells: Sequence[str], end: str = r"\\") -> str:
    """A row of cells that are LaTeX already."""
    text = " & ".join(cells)
    guard = "{}" if text.startswith(("[", "*")) else ""  # else an option of the line break before
    return f"{guard}{text} {end}"


def _cells(table: Pivot, row: Key, column: Key) -> list[str]:
    """The parts of a cell: the number, and for ablations the difference, with signs set as such."""
    number = _cell(table, row, column)
    if not table.layout.reference:
        return [number]
    place = (row, column)
    text = escape(difference_text(table, place))
    signed = re.sub(r"[-+](?=\d)", r"$\g<0>$", text)
    return [number, _stacked(signed, difference_remark(table, place))]


def _cell(table: Pivot, row: Key, column: Key) -> str:
    cell = table.cells.get((row, column))
    if cell is None:
        return NO_CELL
    if not cell.n:
        return escape(empty_text(cell, table.metric))
    number = escape(number_text(cell, table))
    bold = rf"\textbf{{{number}}}" if cell.best else number
    return _stacked(bold, remark_text(cell, table))


def _stacked(text: str, remark: str) -> str:
    """A cell's text with a remark, if any, in small type below."""
    below = rf"{text} \\ \scriptsize {escape(remark)}"
    return rf"\begin{{tabular}}[t]{{@{{}}c@{{}}}}{below}\end{{tabular}}" if remark else text


def typeset(note: str) -> str:
    """A footnote, its names in typewriter type, which may break after an underscore or hyphen."""
    parts = [escape(part) for part in note.split("`")]
    for i in range(1, len(parts), 2):
        breakable = parts[i].replace(r"\_", r"\_\allowbreak{}").replace("-", r"-\allowbreak{}")
        parts[i] = rf"\texttt{{{breakable}}}"
    return "".join(parts)
