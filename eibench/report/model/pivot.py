"""A metric of a suite, pivoted: rows by columns of means over seeds, compared with each other."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace

from eibench.errors import UserError
from eibench.report.model import statistics
from eibench.report.model.layout import Key, Layout, Place, axes, is_numeric
from eibench.report.model.suite_results import (
    METHOD,
    Aggregate,
    Run,
    SuiteResults,
    Value,
    aggregate,
)
from eibench.results.metrics import Metric


@dataclass(frozen=True)
class Pivot:
    """One metric of one suite."""

    suite: SuiteResults
    metric: Metric
    layout: Layout
    rows: tuple[Key, ...]
    """In the plan's order."""
    columns: tuple[Key, ...]
    """Numbers ascending, words in the plan's order."""
    cells: Mapping[Place, Aggregate]
    """By row and column; combinations outside the plan have no cell."""
    comparisons: tuple[statistics.Comparison[Place], ...]
    """Empty beside differences: there no best is sought."""
    differences: Mapping[Place, statistics.Difference]
    """Cells less that of the layout's reference; none without one."""

    @property
    def heading(self) -> str:
        """The suite's title and the metric with its unit."""
        return f"{self.suite.title}: {self.metric.heading}"

    @property
    def planned(self) -> int:
        """Runs that a full cell has."""
        return max(cell.n + sum(cell.absent.values()) for cell in self.cells.values())


def build_pivot(suite: SuiteResults, metric: Metric, layout: Layout) -> Pivot:
    """Fill the cells of `layout` and compare rivals.

    Raises:
        UserError: runs of one seed fall into one cell, so that a mean would mix unlike runs.
    """
    groups: dict[Place, list[Run]] = {}
    for run in suite.runs:
        groups.setdefault((run.values(layout.rows), run.values(layout.columns)), []).append(run)
    _refuse_mixtures(suite, layout, groups.values())
    cells = {place: aggregate(runs, metric) for place, runs in groups.items()}
    comparisons = _compare(cells, metric, layout)
    best = {place for comparison in comparisons for place in comparison.best}
    return Pivot(
        suite,
        metric,
        layout,
        tuple(dict.fromkeys(row for row, _ in cells)),
        _sorted_columns(suite, layout, cells),
        {place: replace(cell, best=place in best) for place, cell in cells.items()},
        comparisons,
        _differences(cells, layout),
    )


def _sorted_columns(
    suite: SuiteResults, layout: Layout, places: Iterable[Place]
) -> tuple[Key, ...]:
    ranks: list[dict[Value, int]] = []
    for field in layout.columns:
        values = list(dict.fromkeys(run.value(field) for run in suite.runs))
        if is_numeric(suite.runs, field):
            values.sort(key=lambda value: float(value or 0))
        ranks.append({value: rank for rank, value in enumerate(values)})
    columns = dict.fromkeys(column for _, column in places)
    return tuple(
        sorted(columns, key=lambda c: [r[value] for r, value in zip(ranks, c, strict=True)])
    )


def _compare(
    cells: Mapping[Place, Aggregate], metric: Metric, layout: Layout
) -> tuple[statistics.Comparison[Place], ...]:
    """The comparisons of a table: of methods all else equal, or of a column without methods."""
    if metric.better is None or layout.reference is not None:
        return ()
    groups: dict[Hashable, dict[Place, statistics.Sample]] = {}
    for place, cell in cells.items():
        groups.setdefault(_comparison_group(layout, place), {})[place] = cell.values
    return tuple(statistics.compare(group, metric.better) for group in groups.values())


def _differences(
    cells: Mapping[Place, Aggregate], layout: Layout
) -> dict[Place, statistics.Difference]:
    """Each cell less that of the reference under the same seeds."""
    if layout.reference is None:
        return {}
    nothing = Aggregate({}, {})
    return {
        place: statistics.difference(cell.values, cells.get(base, nothing).values)
        for place, cell in cells.items()
        if (base := layout.base_of(*place)) != place
    }


def _comparison_group(layout: Layout, place: Place) -> Hashable:
    """Return the key of a place: cells are compared only if all other fields agree."""
    row, column = place
    if METHOD not in layout.fields:
        return column
    pairs = zip(layout.fields, (*row, *column), strict=True)
    return tuple(value for field, value in pairs if field != METHOD)


def _refuse_mixtures(suite: SuiteResults, layout: Layout, cells: Iterable[list[Run]]) -> None:
    """Raise when two runs of a cell share a seed, naming what they differ in."""
    differing: dict[str, None] = {}
    for runs in cells:
        first: dict[int, Run] = {}
        for run in runs:
            twin = first.setdefault(run.seed, run)
            differing |= {f: None for f in run.fields if run.value(f) != twin.value(f)}
    if not differing:
        return
    named = [axis for axis in axes(suite) if axis in differing] or list(differing)
    raise UserError(
        f"{suite.name}: rows by {_listed(layout.rows)} and columns by {_listed(layout.columns)} put"
        f" runs into one cell that differ in {_listed(named)}; a mean would mix them; try"
        f" --columns {','.join((*layout.columns, *named))}"
    )


def _listed(fields: Iterable[str]) -> str:
    return ", ".join(fields) or "nothing"
