"""All figures of suites and searches by short name, in memory or as files.

`figures_of` yields the figures of results that have been read; of results folders, `draw` writes
one figure by the name that a suite's `report:` gives it, and `make_figures` all.

Names: those of `SEARCH_FIGURES` for a search, of `PROBE_FIGURES` for a probe suite, of
`TRAIN_FIGURES` for any other, and for every suite each metric, such as `test_accuracy`. A figure is
OUT/SUITE_NAME.png and .pdf, or those of both that `formats` names, with equal bytes for equal
results; nothing else is written.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure

from eibench.errors import UserError, did_you_mean
from eibench.plan.spec import PROBE
from eibench.plan.suite import LAYER
from eibench.report.figures.curves import draw_learning
from eibench.report.figures.layers import draw_lines, draw_map, draw_net_synapse
from eibench.report.figures.look import current_look
from eibench.report.figures.maps import draw_balance, draw_rates
from eibench.report.figures.search_landscape import Pair, choose_pairs, draw_landscape
from eibench.report.figures.search_parameters import draw_importances, draw_parallel, draw_slices
from eibench.report.figures.search_trials import draw_confirmed, draw_history
from eibench.report.figures.style import FORMATS, FigureTooSmall, save
from eibench.report.figures.tables import draw_results
from eibench.report.figures.tradeoff import draw_tradeoff
from eibench.report.model.layers import choose_metric
from eibench.report.model.search_results import Search, read_searches
from eibench.report.model.suite_results import SuiteResults, read_suites
from eibench.results.metrics import METRICS
from eibench.results.paths import figures_folder

Results = SuiteResults | Search
SEARCH_FIGURES: Mapping[str, Callable[[Search], Figure | None]] = {
    "history": draw_history,
    "slices": draw_slices,
    "parallel": draw_parallel,
    "landscape": draw_landscape,
    "confirmed": draw_confirmed,
    "importances": draw_importances,
}
"""Figures of a search; a function returns None where there is nothing to show."""
PROBE_FIGURES: Mapping[str, Callable[[SuiteResults], Figure | None]] = {
    "layers": draw_lines,
    "gradient_map": draw_map,
    "net_synapse": draw_net_synapse,
    "balance_map": draw_balance,
}
"""Figures of a probe suite; a function returns None where there is nothing to show."""


TRAIN_FIGURES: Mapping[str, Callable[[SuiteResults, Sequence[str] | None], Figure | None]] = {
    "curves": draw_learning,
    "rate_map": draw_rates,
    "cost": draw_tradeoff,
}
"""Figures of a suite that trains, with fields of the lines; of no single metric either."""


@dataclass(frozen=True)
class NamedFigure:
    """A figure and its short name."""

    suite: str
    name: str
    figure: Figure
    x: str | None = None
    """Field of the x axis, if any."""
    points: bool = False
    """True for a table drawn as points, for want of a numeric axis."""
    paths: Sequence[Path] = ()
    """Files, once it is saved."""
    problem: str = ""
    """Reason for which there are no files: the size that the user wants is too small."""

    @property
    def caption(self) -> str:
        """Text below: n, what the signs mean, and the machines."""
        return self.figure.texts[1].get_text()

    def save(self, folder: Path, formats: Iterable[str] = FORMATS) -> NamedFigure:
        """Write the files; raises `UserError` where they cannot be written."""
        stem = folder / f"{self.suite}_{self.name}"
        try:
            return replace(self, paths=save(self.figure, stem, formats))
        except FigureTooSmall as error:
            if current_look().size is None:
                raise
            return replace(self, problem=str(error))


def figures_of(
    results: Results,
    metric: str | None = None,
    x: str | None = None,
    by: Sequence[str] | None = None,
    name: str | None = None,
) -> Iterator[NamedFigure]:
    """Yield the figures that have something to show: all, or the one called `name`.

    `x` and `by` are the field of the x axis and those of the lines; of a search, the parameters
    that its landscape, which alone is drawn then, lies over. A probe suite of which nothing is
    asked is drawn layer by layer, any other suite by `metric` or by what its kind is about.

    Raises:
        UserError: a `metric`, `x` or `by` that the results do not have, or that is not a number.
    """
    suite = results.name
    if isinstance(results, Search):
        _check_objective(results, metric)
        if x is not None or by is not None:
            pairs = choose_pairs(results, x, by)
            found = {_landscape_name(pairs): draw_landscape(results, pairs)}
        else:
            kinds = [kind for kind in SEARCH_FIGURES if name in (None, kind)]
            found = {kind: SEARCH_FIGURES[kind](results) for kind in kinds}
        yield from (NamedFigure(suite, kind, one) for kind, one in found.items() if one)
    elif name is not None and name in _kinds(results) and results.kind != PROBE:
        if drawn := TRAIN_FIGURES[name](results, by):
            yield NamedFigure(suite, name, drawn)
    elif results.kind == PROBE and (metric, x, by) == (None, None, None):
        for kind, draw_probe in PROBE_FIGURES.items():
            if name in (None, kind) and (drawn := draw_probe(results)):
                yield NamedFigure(suite, kind, drawn, LAYER)
    else:
        chosen = choose_metric(results, metric)
        yield NamedFigure(suite, chosen.name, *draw_results(results, chosen, x, by))


def _check_objective(search: Search, metric: str | None) -> None:
    """Refuse a metric that is no objective of the search."""
    known = search.metric.name
    if metric not in (None, known):
        raise UserError(f"--metric {metric}: no objective of {search.name}; objectives: {known}")


def _landscape_name(pairs: Mapping[str, Pair]) -> str:
    """Return the name of a landscape that was asked for, so that it overwrites no other."""
    keys = dict.fromkeys(key for pair in pairs.values() for key in pair)
    return "_".join(["landscape", *(key.rpartition(".")[2] for key in keys)])


def _kinds(results: Results) -> Iterable[str]:
    """Return the names of the figures that are of no single metric."""
    if isinstance(results, Search):
        return SEARCH_FIGURES
    return PROBE_FIGURES if results.kind == PROBE else TRAIN_FIGURES


def draw(
    name: str,
    results: Sequence[Path],
    out: Path,
    x: str | None = None,
    by: Sequence[str] | None = None,
    formats: Iterable[str] = FORMATS,
) -> list[Path]:
    """Write the figure called `name` of each suite and search at `results` that has it.

    `x` and `by` are as in `figures_of`. A figure with nothing to show yet is not written. Returns
    the files.

    Raises:
        UserError: none of `results` has a figure of this name, or it cannot be drawn or written.
    """
    paths: list[Path] = []
    allowed: dict[str, None] = {}
    both: list[Results] = [*read_suites(results), *read_searches(results)]
    for one in both:
        kinds = _kinds(one)
        metrics = () if isinstance(one, Search) else METRICS
        allowed |= dict.fromkeys([*kinds, *metrics])
        if name in kinds:
            if (x or (by and name not in TRAIN_FIGURES)) and name != "landscape":
                raise UserError(f"{name}: this figure takes no x and no by")
            found = figures_of(one, None, x, by, name)
        else:
            found = figures_of(one, name, x, by) if name in metrics else iter(())
        paths += [path for figure in found for path in figure.save(out, formats).paths]
    if name not in allowed:
        hint = f"allowed: {', '.join(allowed)}{did_you_mean(name, allowed)}"
        raise UserError(f"{name}: no such figure; {hint}")
    return paths


def make_figures(
    results: Sequence[Path],
    metric: str | None,
    x: str | None = None,
    by: Sequence[str] | None = None,
    out: Path | None = None,
    formats: Iterable[str] = FORMATS,
    names: Sequence[str] = (),
) -> Iterator[NamedFigure]:
    """Write the figures of each suite and search at or below `results`, one by one.

    With `names` those of `TRAIN_FIGURES` alone that are called so, and have something to show. A
    search is drawn beside its confirmed runs, unless another metric or field is asked for; where
    `x` and `by` are what it searched, its landscape over them is drawn instead of its runs.
    Without `out` a figure goes into its suite's folder. One without room for its axes has a
    `problem` in place of files.

    Raises:
        UserError: as `figures_of`; an `out` that cannot be written or would hold two figures of
            one name.
    """
    suites, searches = read_suites(results), read_searches(results)
    if not current_look().title:
        suites = [replace(suite, displayed=True) for suite in suites]
    both: list[Results] = [*suites, *searches]
    places = {(one.folder.resolve(), one.name) for one in both}
    if out is not None and len({name for _, name in places}) < len(places):
        raise UserError(f"--out {out}: suites of one name would overwrite each other's figures")
    if names:
        trained = [suite for suite in suites if suite.kind != PROBE]
        for suite, name in itertools.product(trained, names):
            for found in figures_of(suite, None, None, by, name):
                yield found.save(out or figures_folder(suite.folder), formats)
        return
    asked = {*([] if x is None else [x]), *(by or [])}
    for one in _share_out(suites, searches, metric, asked):
        for found in figures_of(one, metric, x, by):
            yield found.save(out or figures_folder(one.folder), formats)


def _share_out(
    suites: Sequence[SuiteResults],
    searches: Sequence[Search],
    metric: str | None,
    asked: set[str],
) -> list[Results]:
    """Return the searches and the suites of which something is drawn.

    A metric that is no objective and fields that were not searched are left to suites, if any.
    """
    chosen = [
        search
        for search in searches
        if not suites or (metric in (None, search.metric.name) and asked <= search.keys)
    ]
    landscapes = {search.folder.resolve() for search in chosen if asked}
    return [*chosen, *(suite for suite in suites if suite.folder.resolve() not in landscapes)]
