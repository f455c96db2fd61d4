"""What the commands `report` and `plot` call: from results folders to text and to figures."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from eibench.errors import UserError
from eibench.plan.suite import ABLATION
from eibench.report import exchange, latex, published, render, search_exchange, search_text
from eibench.report.layers import (
    LAYER,
    PROBE,
    by_layer,
    choose_metric,
    is_layered,
    layer_table,
)
from eibench.report.layout import check_fields, choose_axes, choose_layout
from eibench.report.searches import Search, read_searches
from eibench.report.source import SuiteResults, read_suites
from eibench.report.tables import Table, build_table
from eibench.report.words import find_metric
from eibench.results.paths import member
from eibench.results.store import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Format = Literal["table", "markdown", "latex", "csv", "json"]
WIDTH = 100
"""Characters of a line where there is no terminal to ask."""


@dataclass(frozen=True)
class Drawn:
    """A figure on disk: its suite, the field on its x axis if any, and its files."""

    suite: str
    x: str | None
    paths: list[Path]
    ablated: bool
    """Whether ablations take part."""
    searched: bool = False
    """Whether it shows a search instead of a table."""


def make_tables(
    results: Sequence[Path],
    metric: str | None,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    against: str | None = None,
) -> list[Table]:
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
) -> Table:
    if suite.kind == PROBE:
        check_fields(by_layer(suite), "--rows", rows or ())
        check_fields(by_layer(suite), "--columns", columns or ())
    if is_layered(suite, (*(rows or ()), *(columns or ()))):
        layout = choose_layout(by_layer(suite), rows, columns, against)
        return layer_table(suite, choose_metric(suite, metric, layered=True), layout)
    known = choose_metric(suite, metric)
    return build_table(suite, known, choose_layout(suite, rows, columns, against))


def render_tables(
    tables: Sequence[Table],
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
        return exchange.to_csv(tables) if tables else search_exchange.to_csv(searches)
    if form == "json":
        return exchange.to_json(tables, searches)
    sorted_ones: list[Sequence[Search | Table]] = [searches, tables]
    both = heapq.merge(*sorted_ones, key=lambda one: _folder(one).resolve())
    texts = [_text(one, form, width, bold) for one in both]
    return ("\n\n" if form == "table" else "\n").join(texts)


def _folder(one: Search | Table) -> Path:
    return one.folder if isinstance(one, Search) else one.suite.folder


def _text(one: Search | Table, form: Format, width: int, bold: Callable[[str], str]) -> str:
    """A search, or a table with its published numbers, for people."""
    if isinstance(one, Search):
        if form == "table":
            return search_text.to_text(one, width, bold)
        return search_text.to_markdown(one) if form == "markdown" else search_text.to_latex(one)
    if form == "table":
        return render.to_text(one, width, bold) + published.to_text(one, width, bold)
    if form == "markdown":
        return render.to_markdown(one) + published.to_markdown(one)
    return latex.to_latex(one) + published.to_latex(one)


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing; raises `UserError` when `path` cannot be written."""
    try:
        write_atomic(path, text.encode())
    except OSError as error:
        raise UserError(f"--out {path}: {error.strerror}") from None


def make_figures(
    results: Sequence[Path],
    metric: str | None,
    x: str | None = None,
    by: Sequence[str] | None = None,
    out: Path | None = None,
) -> Iterator[Drawn]:
    """Draw a figure of `metric` for each suite at or below `results`, one by one.

    A probe suite of which nothing else is asked is drawn layer by layer, in lines and as a map.
    A search is drawn beside its confirmed runs, unless another metric or field is asked for; where
    `x` and `by` are what it searched, its landscape over them is drawn instead of its runs.

    Without `out` a figure goes into its suite's folder.

    Raises:
        UserError: as `make_tables`; an `x` that is not a number in every run; an `out` that cannot
            be written or would hold two figures of one name.
    """
    suites, searches = read_suites(results), read_searches(results)
    both: list[SuiteResults | Search] = [*suites, *searches]
    places = {(one.folder.resolve(), one.name) for one in both}
    if out is not None and len({name for _, name in places}) < len(places):
        raise UserError(f"--out {out}: suites of one name would overwrite each other's figures")
    chosen, rest = _share_out(suites, searches, metric, [*([] if x is None else [x]), *(by or [])])
    for search in chosen:
        yield from _draw_search(search, metric, x, by, out)
    for suite in rest:
        for name, field, ablated, figure in _figures(suite, metric, x, by):
            paths = _save(figure, out or member(suite.folder, "figures"), f"{suite.name}_{name}")
            yield Drawn(suite.name, field, paths, ablated)


def _share_out(
    suites: Sequence[SuiteResults],
    searches: Sequence[Search],
    metric: str | None,
    asked: Sequence[str],
) -> tuple[list[Search], list[SuiteResults]]:
    """The searches and the suites of which something is drawn.

    A metric that is no objective and fields that were not searched are left to suites, if any.
    """
    chosen = [
        search
        for search in searches
        if not suites or (metric in (None, *search.objectives) and set(asked) <= search.keys)
    ]
    landscapes = {search.folder.resolve() for search in chosen if asked}
    return chosen, [suite for suite in suites if suite.folder.resolve() not in landscapes]


def _draw_search(
    search: Search,
    metric: str | None,
    x: str | None,
    by: Sequence[str] | None,
    out: Path | None,
) -> Iterator[Drawn]:
    """The figures of a search, one by one."""
    from eibench.report import search_figures

    for name, figure in search_figures.draw_search(search, metric, x, by):
        paths = _save(figure, out or member(search.folder, "figures"), f"{search.name}_{name}")
        yield Drawn(search.name, None, paths, ablated=False, searched=True)


def _save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """The files of a figure; raises `UserError` when they cannot be written."""
    from eibench.report import figures  # matplotlib, which tables need not wait for

    try:
        return figures.save(figure, folder / name)
    except OSError as error:
        raise UserError(f"{folder / name}: {error.strerror}") from None


def _figures(
    suite: SuiteResults, metric: str | None, x: str | None, by: Sequence[str] | None
) -> Iterator[tuple[str, str | None, bool, Figure]]:
    """Of all that is drawn of `suite`: name, field on the x axis, whether ablations take part."""
    from eibench.report import figures, propagation

    if suite.kind == PROBE and metric is None and x is None and by is None:
        yield "layers", LAYER, False, propagation.draw_lines(suite)
        yield "gradient_map", LAYER, False, propagation.draw_map(suite, find_metric("gradient"))
        return
    known = choose_metric(suite, metric)
    field, layout = choose_axes(suite, x, by)
    figure = figures.draw(build_table(suite, known, layout), field)
    yield known.name, field, ABLATION in layout.fields, figure
