"""A metric of a suite, pivoted: rows by columns of means over seeds, compared with a control.

By default rows are ablations, or methods in a suite without, and columns the suite's other axes,
save training fields that a method determines: such a learning rate is a footnote.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from eibench.errors import UserError, did_you_mean
from eibench.plan.suite import ABLATION, BASE, METHOD, NOTHING
from eibench.report.model.suite_results import (
    SuiteResults,
    check_fields,
    is_numeric,
    refuse_mixtures,
    varies,
)
from eibench.results.cells import SCORE_DIGITS, Aggregate, Run, Value, aggregate
from eibench.results.labels import unlike_machines
from eibench.results.metrics import Metric
from eibench.results.statistics import Difference, Pairing, Verdict, differences, pairing

Key = tuple[Value, ...]
"""Values of the row fields, or of the column fields."""
Place = tuple[Key, Key]
UNCOMPARED = "Computed on unlike machines: none is marked as best, and none compared with another."
COMPARED = ("train", "cost")
"""Kinds of suites whose methods are compared with a control where none is named."""


@dataclass(frozen=True)
class Layout:
    """Fields of the rows and of the columns, outermost first."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    reference: tuple[str, Value] | None = None
    """Field and value of the control: the cells to which all others have their difference.

    None: there are no differences.
    """

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields; together with the seed they must determine a run."""
        return (*self.rows, *self.columns)

    def base_of(self, row: Key, column: Key) -> Place:
        """Return the place of the control under the same other conditions."""
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
    rows = rows if rows is None else check_fields(suite, "--rows", rows)
    columns = columns if columns is None else check_fields(suite, "--columns", columns)
    if rows is None:
        rows = _default_rows(suite, columns or ())
    if columns is None:
        columns = remaining_axes(suite, rows)
    for field in rows:
        if field in columns:
            raise UserError(f"{field} is in both --rows and --columns")
    layout = Layout(tuple(rows), tuple(columns))
    return replace(layout, reference=_reference(suite, layout, against))


def _reference(suite: SuiteResults, layout: Layout, name: str | None) -> tuple[str, Value] | None:
    """Return the field and value of the control: what is asked for, else of ablations the base,
    else the suite's control where a suite that trains has it under several seeds."""
    if name == NOTHING:
        return None
    field = ABLATION if ABLATION in layout.fields else METHOD
    if name is None:
        if field == ABLATION:
            return ABLATION, BASE
        several = len(suite.methods) > 1 and len({run.seed for run in suite.runs}) > 1
        there = METHOD in layout.fields and suite.control in suite.methods
        return (METHOD, suite.control) if several and there and suite.kind in COMPARED else None
    if field not in layout.fields:
        raise UserError(f"--against {name}: neither rows nor columns are methods or ablations")
    known = list(dict.fromkeys(str(run.value(field)) for run in suite.runs))
    if name not in known:
        hint = f"allowed: {', '.join(known)}{did_you_mean(name, known)}"
        raise UserError(f"--against {name}: no {field} of {suite.name}; {hint}")
    return field, name


def remaining_axes(suite: SuiteResults, fixed: Sequence[str]) -> list[str]:
    """Return the suite's axes other than `fixed` fields.

    Without training fields that those, the method and the axes before them determine: a learning
    rate for each method, or for each method and batch size.
    """
    left = [axis for axis in suite.axis_fields if axis not in fixed]
    known = [*fixed, *(METHOD for axis in left if axis == METHOD)]
    kept: list[str] = []
    for axis in left:
        if not axis.startswith("train.") or varies(suite.runs, axis, [*known, *kept]):
            kept.append(axis)
    return kept


def _default_rows(suite: SuiteResults, columns: Sequence[str]) -> list[str]:
    """Return ablations, else methods where they vary, else the first axis."""
    left = [axis for axis in suite.axis_fields if axis not in columns]
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
    differences: Mapping[Place, Difference]
    """Cells less that of the layout's control; none without one."""
    pairing: Pairing | None
    """Correlation over shared seeds with the control; None where it cannot be told."""
    pooled: bool = False
    """True if all samples that are compared with one control share their variance."""
    mixed: bool = False
    """True if the numbers depend on the machine and are of unlike ones; none is compared."""

    @property
    def heading(self) -> str:
        """The suite's title and the metric with its unit."""
        return f"{self.suite.title}: {self.metric_heading}"

    @property
    def metric_heading(self) -> str:
        """The metric with its unit, and whether it is of unlike machines."""
        return self.metric.heading + ", on unlike machines" * self.mixed

    @property
    def margin(self) -> float | None:
        """The suite's margin of equivalence, which is one of accuracies."""
        return self.suite.margin if self.metric.unit == "%" else None

    @property
    def paired(self) -> bool:
        """True if differences are taken seed by seed."""
        return self.pairing is not None and self.pairing.helps

    @property
    def pairs_some(self) -> bool:
        """True if a paired difference leaves out seeds that one side lacks."""
        bases = {place: self.cells[self.layout.base_of(*place)] for place in self.differences}
        unlike = (self.cells[p].values.keys() != base.values.keys() for p, base in bases.items())
        return self.paired and any(unlike)

    def verdict(self, place: Place) -> Verdict | None:
        """Return the reading of a difference; None where a run failed or nothing has a spread.

        A mean over the runs that are left would flatter a method.
        """
        found = self.differences[place]
        cells = (self.cells[place], self.cells[self.layout.base_of(*place)])
        if found.interval is None or any(cell.failed for cell in cells):
            return None
        return found.verdict(self.metric.better, self.margin)

    def some_fail(self, place: Place) -> bool:
        """Return whether some seeds of a cell or its control stay at chance and others train.

        Such accuracies are far from normal: what more seeds would show cannot be told.
        """
        cells = (self.cells[place], self.cells[self.layout.base_of(*place)])
        accuracy = self.metric.unit == "%"
        return accuracy and any(0 < cell.untrained < cell.planned for cell in cells)

    def needed(self, place: Place) -> int | None:
        """Return the seeds that would decide an undecided difference, where that can be told."""
        if self.verdict(place) is not Verdict.UNDECIDED or self.some_fail(place):
            return None
        return self.differences[place].needed(self.margin)

    @property
    def planned(self) -> int:
        """Runs that a full cell has."""
        return max(cell.planned for cell in self.cells.values())


def build_pivot(suite: SuiteResults, metric: Metric, layout: Layout, pooled: bool = False) -> Pivot:
    """Fill the cells of `layout`, mark the best and compare all with the control.

    Times, speeds and memory of unlike machines are neither ranked nor compared.

    Raises:
        UserError: a cell has runs of one seed, or that differ in an axis: a mean would mix them.
    """
    groups: dict[Place, list[Run]] = {}
    for run in suite.runs:
        groups.setdefault((run.values(layout.rows), run.values(layout.columns)), []).append(run)
    refuse_mixtures(suite, layout.rows, layout.columns, groups.values())
    cells = {place: aggregate(runs, metric) for place, runs in groups.items()}
    mixed = metric.by_machine and unlike_machines(run.environment for run in suite.runs)
    layout = replace(layout, reference=None) if mixed else layout
    best = set() if mixed else _best(cells, metric, layout)
    found = pairing(
        (cells[base].values, [cells[place].values for place in places])
        for base, places in _compared(cells, layout).items()
    )
    paired = found is not None and found.helps
    return Pivot(
        suite,
        metric,
        layout,
        tuple(dict.fromkeys(row for row, _ in cells)),
        _sorted_columns(suite, layout, cells),
        {place: replace(cell, best=place in best) for place, cell in cells.items()},
        _differences(cells, layout, pooled, paired),
        found,
        pooled,
        mixed,
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


def _best(cells: Mapping[Place, Aggregate], metric: Metric, layout: Layout) -> set[Place]:
    """Return the best of the methods, all else equal, or of each column without methods.

    A mean beside failed runs is no rival; nor is there a best where all means are equal.
    """
    if metric.better is None or ABLATION in layout.fields:
        return set()
    groups: dict[Hashable, dict[Place, float]] = {}
    for place, cell in cells.items():
        if cell.mean is not None and not cell.failed:
            mean = round(cell.mean, SCORE_DIGITS)  # equal numbers may be summed in another order
            groups.setdefault(_rivals(layout, place), {})[place] = mean
    choose = max if metric.better == "higher" else min
    return {
        place
        for means in groups.values()
        for place, mean in means.items()
        if mean == choose(means.values()) and len(set(means.values())) > 1
    }


def _differences(
    cells: Mapping[Place, Aggregate], layout: Layout, pooled: bool, paired: bool
) -> dict[Place, Difference]:
    """Return each cell less its control."""
    return {
        place: found
        for base, places in _compared(cells, layout).items()
        for place, found in differences(
            cells[base].values, {place: cells[place].values for place in places}, pooled, paired
        ).items()
    }


def _compared(cells: Mapping[Place, Aggregate], layout: Layout) -> dict[Place, list[Place]]:
    """Return, by the place of each control, the places that are compared with it."""
    found: dict[Place, list[Place]] = {}
    for place in cells if layout.reference is not None else ():
        base = layout.base_of(*place)
        if base != place and base in cells:
            found.setdefault(base, []).append(place)
    return found


def _rivals(layout: Layout, place: Place) -> Hashable:
    """Return the key of a place: cells are rivals only if all other fields agree."""
    row, column = place
    if METHOD not in layout.fields:
        return column
    pairs = zip(layout.fields, (*row, *column), strict=True)
    return tuple(value for field, value in pairs if field != METHOD)


def best_scope(table: Pivot) -> str:
    """Return in words among which cells the best is sought."""
    if METHOD not in table.layout.fields or table.layout.rows == (METHOD,):
        return "each column"
    return "each row" if table.layout.columns == (METHOD,) else "all methods under like conditions"
