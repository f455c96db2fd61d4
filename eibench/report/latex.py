"""Tables as LaTeX that needs no package but booktabs."""

from __future__ import annotations

import itertools

from eibench.report.notes import footnotes
from eibench.report.render import NO_CELL, empty_text, number_text, remark_text, stub_text
from eibench.report.render import stub_heading as heading
from eibench.report.tables import Key, Table
from eibench.report.words import field_words, show_field, show_value

_SPECIAL = {
    **{char: f"\\{char}" for char in "_%&#${}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "±": r"$\pm$",
    "\u00d7": r"$\times$",
    "\u2013": "--",
}
"""What LaTeX would misread, and signs that an 8-bit TeX may lack."""

Header = list[tuple[str, int]]
"""One line of column heads: texts and the number of columns each spans."""


def escape(text: str) -> str:
    """`text` as LaTeX prints it; line breaks become spaces."""
    return "".join(_SPECIAL.get(char, " " if char.isspace() else char) for char in text)


def to_latex(table: Table) -> str:
    """A floating table: caption, columns, and the notes in small type below."""
    width = len(table.columns)
    lines = [
        r"\begin{table}",
        r"  \centering\small",
        r"  \setlength{\tabcolsep}{4pt}",
        rf"  \caption{{{escape(table.heading)}}}",
        rf"  \label{{tab:{table.suite.name}}}",
        r"  \par\smallskip",
        rf"  \begin{{tabular}}{{l{'c' * width}}}",
        r"    \toprule",
        *(f"    {line}" for line in _head(table)),
        r"    \midrule",
        *(f"    {_row(table, row)}" for row in table.rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"  \par\medskip",
        r"  {\footnotesize\raggedright",
        *(rf"    {_note(note)}\par" for note in footnotes(table, "Bold")),
        r"  }",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _head(table: Table) -> list[str]:
    """The lines of column heads, each wide one underlined."""
    *upper, lowest = _headers(table)
    lines = []
    for header in upper:
        cells = [rf"\multicolumn{{{span}}}{{c}}{{{escape(text)}}}" for text, span in header]
        ends = list(itertools.accumulate((span for _, span in header), initial=1))
        rules = [rf"\cmidrule(lr){{{a + 1}-{b}}}" for a, b in itertools.pairwise(ends)]
        lines += [rf" & {' & '.join(cells)} \\", " ".join(rules)]
    names = " & ".join([escape(heading(table)), *(escape(text) for text, _ in lowest)])
    return [*lines, rf"{names} \\"]


def _headers(table: Table) -> list[Header]:
    """Heads from the outermost to the innermost, neighbours with equal heads joined.

    A single field stands in words above its values.
    """
    fields = table.layout.columns
    if not fields:
        return [[(table.metric.heading, 1)]]
    if len(fields) == 1:
        values = [(show_value(column[0]), 1) for column in table.columns]
        return [[(field_words(fields[0]), len(table.columns))], values]
    headers = [_joined(table, depth) for depth in range(1, len(fields))]
    return [*headers, [(show_field(fields[-1], column[-1]), 1) for column in table.columns]]


def _joined(table: Table, depth: int) -> Header:
    """The heads of the field at `depth` (from 1), one for all columns that agree up to it."""
    field = table.layout.columns[depth - 1]
    groups = itertools.groupby(table.columns, key=lambda column: column[:depth])
    return [(show_field(field, prefix[-1]), len(list(group))) for prefix, group in groups]


def _row(table: Table, row: Key) -> str:
    cells = [_cell(table, row, column) for column in table.columns]
    return rf"{' & '.join([escape(stub_text(row, table)), *cells])} \\"


def _cell(table: Table, row: Key, column: Key) -> str:
    cell = table.cells.get((row, column))
    if cell is None:
        return NO_CELL
    if not cell.n:
        return escape(empty_text(cell, table.metric))
    number = escape(number_text(cell, table))
    bold = rf"\textbf{{{number}}}" if cell.best else number
    remark = escape(remark_text(cell, table))
    stack = rf"\begin{{tabular}}[t]{{@{{}}c@{{}}}}{bold} \\ \scriptsize {remark}\end{{tabular}}"
    return stack if remark else bold


def _note(note: str) -> str:
    """A footnote, its names in typewriter type, which may break after an underscore or hyphen."""
    parts = [escape(part) for part in note.split("`")]
    for i in range(1, len(parts), 2):
        breakable = parts[i].replace(r"\_", r"\_\allowbreak{}").replace("-", r"-\allowbreak{}")
        parts[i] = rf"\texttt{{{breakable}}}"
    return "".join(parts)
