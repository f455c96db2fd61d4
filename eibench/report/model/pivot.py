"""A metric of a suite, pivoted: rows by columns of means over seeds, compared with each other.

By default ablations are rows, or methods in a suite without ablations, and the suite's other axes
are columns, save training fields that a method determines: a learning rate for each method is not a
column but a footnote.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from eibench.errors import UserError, did_you_mean
from eibench.plan.suite import ABLATION, BASE, METHOD
from eibench.report.model import statistics
from eibench.report.model.suite_results import (
    Aggregate,
    Run,
    SuiteResults,
    Value,
    aggregate,
    axes,
    is_numeric,
    varies,
)
from eibench.results.metrics import Metric

Key = tuple[Value, ...]
"""Values of the row fields, or of the column fields."""
Place = tuple[Key, Key]


@dataclass(frozen=True)
class Layout:
    """Fields of the rows and of the columns, outermost first."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    against: tuple[str, Value] | None = None
    """A field and its value: the cells beside which the others are set, if asked for."""

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields; together with the seed they must determine a run."""
        return (*self.rows, *self.columns)

    @property
    def reference(self) -> tuple[str, Value] | None:
        """The field and value of the cells from which differences are taken: of ablations the base.

        None: there are no differences, and the best is sought.
        """
        if self.against is None and ABLATION in self.fields:
            return ABLATION, BASE
        return self.against

    def base_of(self, row: Key, column: Key) -> Place:
        """Return the place of the reference under the same other conditions."""
        assert self.reference is not None
        key, name = self.reference
        pairs = list(zip(self.fields, (*row, *column), strict=True))
        values = tuple(name if field == key else value for field, value in pairs)
        return values[: len(row)], values[len(row) :]


def choose_layout(
    suite: SuiteResults,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    against: str | None = None,
) -> Layout:
    """Return the layout asked for, the rest filled in from the suite's axes.

    Raises:
        UserError: a field that no run has, one that is listed twice, or nothing called `against`.
    """
    check_fields(suite, "--rows", rows or ())
    check_fields(suite, "--columns", columns or ())
    if rows is None:
        rows = _default_rows(suite, columns or ())
    if columns is None:
        columns = remaining_axes(suite, rows)
    for field in rows:
        if field in columns:
            raise UserError(f"{field} is in both --rows and --columns")
    layout = Layout(tuple(rows), tuple(columns))
    return layout if against is None else replace(layout, against=_against(suite, layout, against))


def _against(suite: SuiteResults, layout: Layout, name: str) -> tuple[str, Value]:
    """Return the field, ablation or method, one of whose values is `name`."""
    field = ABLATION if ABLATION in layout.fields else METHOD
    if field not in layout.fields:
        raise UserError(f"--against {name}: neither rows nor columns are methods or ablations")
    known = list(dict.fromkeys(str(run.value(field)) for run in suite.runs))
    if name not in known:
        hint = f"allowed: {', '.join(known)}{did_you_mean(name, known)}"
        raise UserError(f"--against {name}: no {field} of {suite.name}; {hint}")
    return field, name


def choose_axes(
    suite: SuiteResults, x: str | None = None, by: Sequence[str] | None = None
) -> tuple[str | None, Layout]:
    """Return a figure's x field, and a layout: series are rows, panels by x are columns.

    Without `x` it is the first axis that holds numbers, or None where there is no such axis, or
    where rows are ablations: these are drawn as differences.

    Raises:
        UserError: a field that no run has, one that is listed twice, or an `x` without numbers.
    """
    rows = [ABLATION if ABLATION in axes(suite) else METHOD] if by is None else list(by)
    check_fields(suite, "--by", rows)
    if x is None and rows != [ABLATION]:
        numeric = (a for a in axes(suite) if a not in rows and is_numeric(suite.runs, a))
        x = next(numeric, None)
    elif x is not None:
        check_fields(suite, "--x", [x])
        if not is_numeric(suite.runs, x):
            raise UserError(f"--x {x}: not a number in every run of {suite.name}")
        if x in rows:
            raise UserError(f"{x} is in both --x and --by")
    last = [] if x is None else [x]
    panels = [a for a in remaining_axes(suite, [*rows, *last]) if varies(suite.runs, a, last)]
    return x, Layout(tuple(rows), (*panels, *last))


def check_fields(suite: SuiteResults, option: str, fields: Sequence[str]) -> None:
    """Refuse fields that no run of the suite has, and repeats."""
    known = list(dict.fromkeys(field for run in suite.runs for field in run.fields))
    for i, field in enumerate(fields):
        if field not in known:
            vary = ", ".join(f for f in known if varies(suite.runs, f))
            hint = f"fields that vary: {vary}{did_you_mean(field, known)}"
            raise UserError(f"{option} {field}: no run of {suite.name} has this field; {hint}")
        if field in fields[:i]:
            raise UserError(f"{option}: {field} is listed twice")


def remaining_axes(suite: SuiteResults, fixed: Sequence[str]) -> list[str]:
    """Return the suite's axes other than `fixed` fields.

    Without training fields that those, the method and the axes before them determine: a learning
    rate for each method, or for each method and batch size.
    """
    left = [axis for axis in axes(suite) if axis not in fixed]
    known = [*fixed, *(METHOD for axis in left if axis == METHOD)]
    kept: list[str] = []
    for axis in left:
        if not axis.startswith("train.") or varies(suite.runs, axis, [*known, *kept]):
            kept.append(axis)
    return kept


def _default_rows(suite: SuiteResults, columns: Sequence[str]) -> list[str]:
    """Return ablations, else methods where they vary, else the first axis."""
    left = [axis for axis in axes(suite) if axis not in columns]
    if ABLATION in left:
        return [ABLATION]
    if METHOD not in columns and (METHOD in left or not left):
        return [METHOD]
    return left if columns else left[:1]


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
    """Compare methods, all else equal, or the cells of a column without methods."""
    if metric.better is None or layout.reference is not None:
        return ()
    groups: dict[Hashable, dict[Place, statistics.Sample]] = {}
    for place, cell in cells.items():
        groups.setdefault(_comparison_group(layout, place), {})[place] = cell.values
    return tuple(statistics.compare(group, metric.better) for group in groups.values())


def _differences(
    cells: Mapping[Place, Aggregate], layout: Layout
) -> dict[Place, statistics.Difference]:
    """Return each cell less that of the reference under the same seeds."""
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
