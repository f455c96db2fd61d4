"""Tables of results folders as text: what the command `report` calls."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from eibench.errors import UserError
from eibench.report.model import search_exchange
from eibench.report.model.layers import (
    PROBE,
    by_layer,
    choose_metric,
    is_layered,
    layer_pivot,
)
from eibench.report.model.layout import check_fields, choose_layout
from eibench.report.model.pivot import Pivot, build_pivot
from eibench.report.model.search_results import Search
from eibench.report.model.suite_results import SuiteResults, read_suites
from eibench.report.writers import export, latex, published, search_text
from eibench.report.writers import text as text_writer
from eibench.results.store import write_atomic

Format = Literal["table", "markdown", "latex", "csv", "json"]
WIDTH = 100
"""Characters of a line where there is no terminal to ask."""


def make_tables(
    results: Sequence[Path],
    metric: str | None,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    against: str | None = None,
) -> list[Pivot]:
    """A table of `metric` for each suite at or below `results`; by default that of its kind.

    With `against`, a method or an ablation, all others have their difference to it. Of a probe
    suite, the field `layer` among rows or columns makes a table of layers.

    Raises:
        UserError: no results, an unknown metric or field, or cells that would mix unlike runs.
    """
    return [_make_table(suite, metric, rows, columns, against) for suite in read_suites(results)]


def _make_table(
    suite: SuiteResults,
    metric: str | None,
    rows: Sequence[str] | None,
    columns: Sequence[str] | None,
    against: str | None,
) -> Pivot:
    if suite.kind == PROBE:
        check_fields(by_layer(suite), "--rows", rows or ())
        check_fields(by_layer(suite), "--columns", columns or ())
    if is_layered(suite, (*(rows or ()), *(columns or ()))):
        layout = choose_layout(by_layer(suite), rows, columns, against)
        return layer_pivot(suite, choose_metric(suite, metric, layered=True), layout)
    known = choose_metric(suite, metric)
    return build_pivot(suite, known, choose_layout(suite, rows, columns, against))


def render_tables(
    tables: Sequence[Pivot],
    form: Format,
    width: int = WIDTH,
    bold: Callable[[str], str] = str,
    searches: Sequence[Search] = (),
) -> str:
    """`tables` as text in `form`, with published numbers below a table that has any (but in CSV).

    A search stands before the table of its winners' fresh runs. CSV has the cells of tables, and
    where there are only searches, their trials. `width` and `bold` are for a terminal.
    """
    if form == "csv":
        return export.to_csv(tables) if tables else search_exchange.to_csv(searches)
    if form == "json":
        return export.to_json(tables, searches)
    sorted_ones: list[Sequence[Search | Pivot]] = [searches, tables]
    both = heapq.merge(*sorted_ones, key=lambda one: _folder(one).resolve())
    texts = [_text(one, form, width, bold) for one in both]
    return ("\n\n" if form == "table" else "\n").join(texts)


def _folder(one: Search | Pivot) -> Path:
    return one.folder if isinstance(one, Search) else one.suite.folder


def _text(one: Search | Pivot, form: Format, width: int, bold: Callable[[str], str]) -> str:
    """A search, or a table with its published numbers, for people."""
    if isinstance(one, Search):
        if form == "table":
            return search_text.to_text(one, width, bold)
        return search_text.to_markdown(one) if form == "markdown" else search_text.to_latex(one)
    if form == "table":
        return text_writer.to_text(one, width, bold) + published.to_text(one, width, bold)
    if form == "markdown":
        return text_writer.to_markdown(one) + published.to_markdown(one)
    return latex.to_latex(one) + published.to_latex(one)


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing; raises `UserError` when `path` cannot be written."""
    try:
        write_atomic(path, text.encode())
    except OSError as error:
        raise UserError(f"--out {path}: {error.strerror}") from None
