"""Documents as LaTeX that needs no package but booktabs: a floating table each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from eibench.report.model.document import BEST, Cell, Column, Document, Table
from eibench.report.writers.escape import break_lines, latex, latex_label, plain

PAGE = 345.0
"""Points of a line in LaTeX's article."""
LETTER = 4.4
"""Points of a letter in small type, on average ..."""
GAP = 8.0
"""... and of the space between two columns."""
HEAD = 8
"""Letters to which the heads of narrow tables are broken."""


def to_latex(document: Document) -> str:
    """Return the tables with captions, and notes in small type below.

    Columns that are too many for a page go on below the first ones.
    """
    return "\n".join("\n".join(_floating(table)) + "\n" for table in document.tables)


def _floating(table: Table) -> Iterator[str]:
    yield from (r"\begin{table}", r"  \centering\small", r"  \setlength{\tabcolsep}{4pt}")
    yield rf"  \caption{{{latex(table.caption)}}}"
    yield rf"  \label{{tab:{latex_label(table.label)}}}"
    yield r"  \par\smallskip"
    for part in table.split(lambda part: _width(part) <= PAGE):
        yield from _tabular(part)
    yield r"  {\footnotesize\raggedright"
    yield from (rf"    {_note(note)}\par" for note in table.notes)
    yield from (r"  }", r"\end{table}")


def _width(table: Table) -> float:
    """Return about how wide the table is, in points."""
    return sum(
        column.paragraph * PAGE or LETTER * max(map(len, texts)) + GAP
        for column, texts in zip(table.columns, _texts(table), strict=True)
    )


def _texts(table: Table) -> Iterator[list[str]]:
    """Yield the texts of each column, remarks aside, as they stand in small type.

    The head that columns kept together share counts as a text of the first of them.
    """
    for i, column in enumerate(table.columns):
        first = table.together > 1 and (i - table.stubs) % table.together == 0
        shared = column.levels[-2:-1] if first else ()
        texts = (row[i].text or row[i].remark for row in table.rows)
        yield [*shared, *_lowest(column, table), *texts]


def _tabular(table: Table) -> Iterator[str]:
    columns = "".join(_kind(column) for column in table.columns)
    end = r"\tabularnewline" if table.columns[-1].paragraph else r"\\"
    yield rf"  \begin{{tabular}}{{{columns}}}"
    yield r"    \toprule"
    yield from (f"    {line}" for line in _heads(table))
    yield r"    \midrule"
    for row in table.rows:
        cells = [_cell(*pair) for pair in zip(row, table.columns, strict=True)]
        yield f"    {_line(cells, end)}"
    yield from (r"    \bottomrule", r"  \end{tabular}", r"  \par\medskip")


def _kind(column: Column) -> str:
    if column.paragraph:
        return rf"p{{{column.paragraph:g}\textwidth}}"
    return "l" if column.stub else "c"


def _heads(table: Table) -> Iterator[str]:
    """Yield lines of heads; equal neighbours above the lowest share one, underlined."""
    columns = table.columns[table.stubs :]
    for depth in range(1, max((len(column.levels) for column in columns), default=0)):
        groups = itertools.groupby(columns, key=lambda column: column.levels[:depth])
        spans = [(levels[-1], len(list(group))) for levels, group in groups]
        wide = [rf"\multicolumn{{{span}}}{{c}}{{{latex(text)}}}" for text, span in spans]
        ends = list(itertools.accumulate((span for _, span in spans), initial=table.stubs))
        yield rf"{' & ' * table.stubs}{' & '.join(wide)} \\"
        yield " ".join(rf"\cmidrule(lr){{{a + 1}-{b}}}" for a, b in itertools.pairwise(ends))
    yield _line([_stacked_head(_lowest(column, table)) for column in table.columns])


def _lowest(column: Column, table: Table) -> list[str]:
    """Return the lines of the lowest head of a column."""
    text = column.levels[-1] if column.levels else column.name
    if table.narrow:
        text = break_lines(text, HEAD)
    return text.split("\n")


def _stacked_head(lines: Sequence[str]) -> str:
    """Return a head of several lines; in braces, since a line may start with a bracket."""
    if len(lines) == 1:
        return latex(lines[0])
    return _stacked("b", (f"{{{latex(line)}}}" for line in lines))


def _stacked(place: str, lines: Iterable[str]) -> str:
    text = r" \\ ".join(lines)
    return rf"\begin{{tabular}}[{place}]{{@{{}}c@{{}}}}{text}\end{{tabular}}"


def _line(cells: Sequence[str], end: str = r"\\") -> str:
    """Return a row of cells that are LaTeX already."""
    text = " & ".join(cells)
    guard = "{}" if text.startswith(("[", "*")) else ""  # else an option of the line break before
    return f"{guard}{text} {end}"


def _cell(cell: Cell, column: Column) -> str:
    """Return a cell, its signed numbers as mathematics; a remark stands in small type below."""
    text = latex(plain(cell.text))
    if not column.stub:
        text = re.sub(r"(?<![\w.$\\-])[-+](?=\d)", r"$\g<0>$", text)
    if column.paragraph:
        return rf"\raggedright {text}"
    if cell.best:
        text = rf"\textbf{{{text}}}"
    if not cell.text or not cell.remark:
        return text or latex(cell.remark)
    return _stacked("t", [text, rf"\scriptsize {latex(cell.remark)}"])


def _note(note: str) -> str:
    """Return a note; names in typewriter type may break after an underscore or hyphen."""
    text = f"Bold: {note.removeprefix(BEST)}" if note.startswith(BEST) else note
    parts = [latex(part) for part in text.split("`")]
    for i in range(1, len(parts), 2):
        breakable = parts[i].replace(r"\_", r"\_\allowbreak{}").replace("-", r"-\allowbreak{}")
        parts[i] = rf"\texttt{{{breakable}}}"
    return "".join(parts)
