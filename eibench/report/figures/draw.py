"""Figures of results folders on disk: what the command `plot` calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from eibench.errors import UserError
from eibench.plan.suite import ABLATION
from eibench.report.figures.layers import draw_lines, draw_map
from eibench.report.figures.search import draw_search
from eibench.report.figures.tables import draw, save
from eibench.report.model.layers import LAYER, PROBE, choose_metric
from eibench.report.model.layout import choose_axes
from eibench.report.model.pivot import build_pivot
from eibench.report.model.search_results import Search, read_searches
from eibench.report.model.suite_results import SuiteResults, read_suites
from eibench.results.metrics import find_metric
from eibench.results.paths import figures_folder


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
            paths = _save(figure, out or figures_folder(suite.folder), f"{suite.name}_{name}")
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
    for name, figure in draw_search(search, metric, x, by):
        paths = _save(figure, out or figures_folder(search.folder), f"{search.name}_{name}")
        yield Drawn(search.name, None, paths, ablated=False, searched=True)


def _save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """The files of a figure; raises `UserError` when they cannot be written."""
    try:
        return save(figure, folder / name)
    except OSError as error:
        raise UserError(f"{folder / name}: {error.strerror}") from None


def _figures(
    suite: SuiteResults, metric: str | None, x: str | None, by: Sequence[str] | None
) -> Iterator[tuple[str, str | None, bool, Figure]]:
    """Of all that is drawn of `suite`: name, field on the x axis, whether ablations take part."""
    if suite.kind == PROBE and metric is None and x is None and by is None:
        yield "layers", LAYER, False, draw_lines(suite)
        yield "gradient_map", LAYER, False, draw_map(suite, find_metric("gradient"))
        return
    known = choose_metric(suite, metric)
    field, layout = choose_axes(suite, x, by)
    figure = draw(build_pivot(suite, known, layout), field)
    yield known.name, field, ABLATION in layout.fields, figure
