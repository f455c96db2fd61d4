"""A table as LaTeX's `tabular`, laid out for a line of given width.

Each cell is lines of text, and each row as many lines of the source as its longest cell has, so
that the source can be read and edited. Widths are estimated; see `measures`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from eibench.report.model.document import NO_CELL, Cell, Column, Table
from eibench.report.writers.escape import break_lines, latex, plain
from eibench.report.writers.measures import BOLD, SCRIPT, SMALL, lines_of, text_width

GAP = 8.0
"""Points between two columns."""
LIMITS = ((30, 20), (30, 12), (22, 12), (15, 12), (10, 8))
"""Characters to which the names of rows and the heads of columns are broken: the first that fit."""
WORDS, NARROW = 14, 8
"""Characters to which words in cells, and heads of narrow tables, are broken."""
LINE, TIGHT = 11.0, 9.0
"""Points of a line in small type, and of a second one in a cell."""
SHARE = 0.7
"""Part of its share of the line that running text must have."""
SLACK = 4.0
"""Points by which an estimate may be too small."""
LEAST = 0.2
"""Share of the line above which words of running text are not kept together."""
Line = tuple[str, float]
"""LaTeX and its width in points."""


def layouts(table: Table, width: float) -> list[Tabular]:
    """Return the table in the fewest parts that fit a line of `width` points.

    Columns that belong together stand side by side where that fits, else one below the other. A
    table that is still too wide is divided by columns, each part with the names of its rows.
    """
    found = []
    for form in dict.fromkeys([table, table.folded()]):
        for limits in LIMITS:

            def fits(part: Table, limits: tuple[int, int] = limits) -> bool:
                return Tabular(part, *limits, width).width <= width

            parts = form.split(fits) if form.together == 1 else [form]
            found.append([Tabular(_filled(part), *limits, width) for part in parts])
    return min(found, key=lambda parts: (any(p.width > width for p in parts), len(parts)))


@dataclass(frozen=True)
class Tabular:
    """A table, or some of its columns; names of rows and heads are broken to so many characters."""

    table: Table
    stub: int
    head: int
    line: float
    """Points of a line."""

    @cached_property
    def cells(self) -> list[list[list[Line]]]:
        """Lines of each cell, by rows."""
        columns = self.table.columns
        return [
            [self._lines(*pair) for pair in zip(row, columns, strict=True)]
            for row in self.table.rows
        ]

    @cached_property
    def heads(self) -> list[list[Line]]:
        """Lines of the lowest head of each column."""
        return [self._head(i) for i in range(len(self.table.columns))]

    @cached_property
    def width(self) -> float:
        """Estimated width in points."""
        widths = self._short_widths
        for i, column in enumerate(self.table.columns):
            widths[i] += SHARE * column.paragraph * self.line
        for spans in self._spans():
            for text, start, end in spans:
                room = sum(widths[start:end]) + GAP * (end - start - 1)
                widths[end - 1] += max(0.0, text_width(text) - room)
        return sum(widths) + GAP * (len(widths) - 1) + SLACK

    @property
    def _short_widths(self) -> list[float]:
        """Estimated widths of the columns in points; 0 for running text."""
        columns = zip(self.table.columns, self.heads, *self.cells, strict=True)
        return [
            0.0 if column.paragraph else max((w for cell in cells for _, w in cell), default=0.0)
            for column, *cells in columns
        ]

    def _running_width(self, column: Column) -> float:
        """Return the points of running text: its share of what others leave, or its length."""
        gaps = GAP * (len(self.table.columns) - 1) + SLACK
        left = self.line - sum(self._short_widths) - gaps
        whole = sum(other.paragraph for other in self.table.columns)
        place = self.table.columns.index(column)
        texts = (column.name, *(row[place].text for row in self.table.rows))
        share = max(left / whole, SHARE * self.line) * column.paragraph
        return min(share, max(map(text_width, texts)) + SLACK)

    @property
    def head_height(self) -> float:
        """Estimated height of rules and heads in points."""
        levels = sum(1 for _ in self._spans())
        return 16.0 + 15.0 * levels + TIGHT * max(map(len, self.heads)) + GAP

    def row_height(self, row: int) -> float:
        """Return the estimated height of a row in points."""
        running = (
            lines_of(cell.text, self._running_width(column), SMALL)
            for cell, column in zip(self.table.rows[row], self.table.columns, strict=True)
            if column.paragraph
        )
        lines = max([*map(len, self.cells[row]), *running])
        return LINE + (lines - 1) * (LINE if self._has_running_text else TIGHT) + 2.0

    def source(self, rows: range) -> Iterator[str]:
        """Yield the lines of the source with some of the rows."""
        kinds = "".join(map(self._kind, self.table.columns))
        yield rf"\begin{{tabular}}{{@{{}}{kinds}@{{}}}}"
        yield r"  \toprule"
        yield from (f"  {line}" for line in self._head_lines())
        yield r"  \midrule"
        for row in rows:
            yield from (f"  {line}" for line in self._row(self.cells[row]))
        yield from (r"  \bottomrule", r"\end{tabular}")

    # ----------------------------------------------------------------------------- cells

    @property
    def _has_running_text(self) -> bool:
        return any(column.paragraph for column in self.table.columns)

    def _kind(self, column: Column) -> str:
        if column.paragraph:
            return rf"p{{{self._running_width(column) / self.line:.2f}\linewidth}}"
        return "l" if column.stub else "c"

    def _lines(self, cell: Cell, column: Column) -> list[Line]:
        """Return the lines of a cell: text, remark, and what stands below."""
        if column.paragraph:
            long = any(text_width(part) > LEAST * self.line for part in cell.text.split(" "))
            return [(rf"\raggedright {breakable(plain(cell.text) if long else cell.text)}", 0.0)]
        if column.stub:
            broken = break_lines(cell.text, self.stub).split("\n")
            return [(latex(text), text_width(text)) for text in broken]
        lines = self._value(cell)
        if cell.below is not None and cell.below.text not in ("", NO_CELL):
            text, mark = _powers(plain(cell.below.text)), cell.below.mark or ""
            width = text_width(text, SCRIPT, True) + text_width(mark, SCRIPT)
            lines.append((rf"\scriptsize {_numbers(text)}{_mark(mark)}", width))
        return lines

    def _value(self, cell: Cell) -> list[Line]:
        """Return the lines of a cell of numbers, or of words in place of them."""
        text = "--" if cell.text == NO_CELL else _powers(plain(cell.text))
        remark = cell.remark if cell.mark is None or not text else ""
        small = [
            (rf"\scriptsize {latex(part)}" if cell.text else latex(part), text_width(part))
            for part in break_lines(remark, WORDS).split("\n")
            if part
        ]
        if not text:
            return small or [("", 0.0)]
        shown = rf"\textbf{{{_numbers(text)}}}" if cell.best else _numbers(text)
        width = text_width(text, SMALL * (BOLD if cell.best else 1), True)
        mark = cell.mark or ""
        return [(shown + _mark(mark), width + text_width(mark, SCRIPT)), *small]

    def _row(self, cells: Sequence[Sequence[Line]], below: bool = False) -> Iterator[str]:
        """Yield a row of the table as rows of the source; heads stand `below` their cells' top."""
        texts = [[text for text, _ in lines] for lines in cells]
        if self._has_running_text:
            end = r" \tabularnewline" if self.table.columns[-1].paragraph else r" \\"
            yield _guarded([_stacked(lines, "b" if below else "t") for lines in texts]) + end
            return
        height = max(map(len, texts))
        blank = [[""] * (height - len(lines)) for lines in texts]
        whole = [[*b, *t] if below else [*t, *b] for t, b in zip(texts, blank, strict=True)]
        for i, line in enumerate(zip(*whole, strict=True), start=1):
            last = r" \\" if below or height == 1 else r" \\[2pt]"
            yield _guarded(line) + (last if i == height else r" \\[-2pt]")

    # ----------------------------------------------------------------------------- heads

    def _head(self, i: int) -> list[Line]:
        """Return the lines of the lowest head of a column, not much wider than its cells."""
        column = self.table.columns[i]
        text = column.levels[-1] if column.levels else column.name
        longest = max((len(row[i].text) for row in self.table.rows), default=0)
        if column.paragraph:
            return [(latex(text), 0.0)]
        limit = NARROW if self.table.narrow else max(self.head, longest)
        limit = self.stub if column.stub else limit
        lines = (break_lines(part, limit).split("\n") for part in text.split("\n"))
        return [(latex(line), text_width(line)) for part in lines for line in part]

    def _spans(self) -> Iterator[list[tuple[str, int, int]]]:
        """Yield the heads above the lowest, level by level: text, first column, one past the last.

        Equal neighbours share one.
        """
        stubs = self.table.stubs
        columns = self.table.columns[stubs:]
        for depth in range(1, max((len(column.levels) for column in columns), default=0)):
            groups = itertools.groupby(columns, key=lambda column: column.levels[:depth])
            spans = [(levels[-1], len(list(group))) for levels, group in groups]
            ends = list(itertools.accumulate((span for _, span in spans), initial=stubs))
            yield [
                (text, *ends_)
                for (text, _), ends_ in zip(spans, itertools.pairwise(ends), strict=True)
            ]

    def _head_lines(self) -> Iterator[str]:
        """Yield all heads; those above the lowest are underlined."""
        for spans in self._spans():
            wide = [rf"\multicolumn{{{b - a}}}{{c}}{{{latex(text)}}}" for text, a, b in spans]
            yield rf"{' & ' * self.table.stubs}{' & '.join(wide)} \\"
            yield " ".join(rf"\cmidrule(lr){{{a + 1}-{b}}}" for _, a, b in spans)
        yield from self._row(self.heads, below=True)


def _filled(part: Table) -> Table:
    """Return the table without rows that have no cell in its columns, if any row has one."""
    rows = tuple(
        row for row in part.rows if any(cell.text != NO_CELL for cell in row[part.stubs :])
    )
    return replace(part, rows=rows or part.rows)


def _numbers(text: str) -> str:
    """Return text whose signed numbers are set as mathematics."""
    return re.sub(r"(?<![\w.$\\-])[-+](?=\d)", r"$\g<0>$", latex(text))


def _powers(text: str) -> str:
    """Return `1e-05` as `1·10⁻⁵`."""
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return re.sub(
        r"(?<=\d)e([-+])0*(\d+)\b",
        lambda found: "·10" + f"{found[1]}{found[2]}".removeprefix("+").translate(raised),
        text,
    )


def _mark(mark: str) -> str:
    """Return letters and digits raised, and signs on the line."""
    if any(map(str.isalnum, mark)):
        return rf"\textsuperscript{{{latex(mark)}}}"
    return rf"\,{latex(mark)}" if mark else ""


def breakable(text: str) -> str:
    """Return running text whose names may break after an underscore, as after a hyphen."""
    return re.sub(r"\\_(?=\w)", r"\\_\\allowbreak{}", latex(text))


def _stacked(lines: Sequence[str], place: str) -> str:
    if len(lines) == 1:
        return lines[0]
    text = r" \\ ".join(f"{{{line}}}" for line in lines)  # in braces: one may start with a bracket
    return rf"\begin{{tabular}}[{place}]{{@{{}}c@{{}}}}{text}\end{{tabular}}"


def _guarded(cells: Sequence[str]) -> str:
    """Return a row; what begins like an option of the line break before it is none."""
    text = " & ".join(cells)
    return ("{}" if text.startswith(("[", "*")) else "") + text
