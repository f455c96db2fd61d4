"""A metric of a suite, pivoted: rows by columns of means over seeds, compared with a control."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace

from eibench.errors import UserError
from eibench.plan.suite import ABLATION, METHOD
from eibench.report.model.cells import Aggregate, Run, Value, aggregate
from eibench.report.model.layout import Key, Layout, Place
from eibench.report.model.statistics import Difference, Pairing, Verdict, differences, pairing
from eibench.report.model.suite_results import SuiteResults, axes, is_numeric
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
    differences: Mapping[Place, Difference]
    """Cells less that of the layout's control; none without one."""
    pairing: Pairing | None
    """Correlation over shared seeds with the control; None where it cannot be told."""
    pooled: bool = False
    """True if all samples that are compared with one control share their variance."""

    @property
    def heading(self) -> str:
        """The suite's title and the metric with its unit."""
        return f"{self.suite.title}: {self.metric.heading}"

    @property
    def margin(self) -> float | None:
        """The suite's margin of equivalence, which is one of accuracies."""
        return self.suite.margin if self.metric.unit == "%" else None

    @property
    def paired(self) -> bool:
        """True if differences are taken seed by seed."""
        return self.pairing is not None and self.pairing.helps

    def verdict(self, place: Place) -> Verdict | None:
        """Return the reading of a difference; None where a run failed or nothing has a spread.

        A mean over the runs that are left would flatter a method.
        """
        found = self.differences[place]
        cells = (self.cells[place], self.cells[self.layout.base_of(*place)])
        if found.interval is None or any(cell.failed for cell in cells):
            return None
        return found.verdict(self.metric.better, self.margin)

    @property
    def planned(self) -> int:
        """Runs that a full cell has."""
        return max(cell.n + sum(cell.absent.values()) for cell in self.cells.values())


def build_pivot(suite: SuiteResults, metric: Metric, layout: Layout, pooled: bool = False) -> Pivot:
    """Fill the cells of `layout`, mark the best and compare all with the control.

    Raises:
        UserError: runs of one seed fall into one cell, so that a mean would mix unlike runs.
    """
    groups: dict[Place, list[Run]] = {}
    for run in suite.runs:
        groups.setdefault((run.values(layout.rows), run.values(layout.columns)), []).append(run)
    _refuse_mixtures(suite, layout, groups.values())
    cells = {place: aggregate(runs, metric) for place, runs in groups.items()}
    best = _best(cells, metric, layout)
    pairing = _pairing(cells, layout)
    paired = pairing is not None and pairing.helps
    return Pivot(
        suite,
        metric,
        layout,
        tuple(dict.fromkeys(row for row, _ in cells)),
        _sorted_columns(suite, layout, cells),
        {place: replace(cell, best=place in best) for place, cell in cells.items()},
        _differences(cells, layout, pooled, paired),
        pairing,
        pooled,
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
            groups.setdefault(_rivals(layout, place), {})[place] = cell.mean
    choose = max if metric.better == "higher" else min
    return {
        place
        for means in groups.values()
        for place, mean in means.items()
        if mean == choose(means.values()) and len(set(means.values())) > 1
    }


def _pairing(cells: Mapping[Place, Aggregate], layout: Layout) -> Pairing | None:
    """Return the correlation over seeds of all cells with their controls."""
    return pairing(
        (cells[place].values, cells[base].values)
        for base, places in _compared(cells, layout).items()
        for place in places
    )


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
