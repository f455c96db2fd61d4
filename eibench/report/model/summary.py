"""One table over several suites: each method against the control, averaged over all conditions.

A task is a suite under one combination of its other axes: a depth, a data set. Every task counts
the same. The interval of a mean over tasks is a stratified bootstrap (Agarwal et al., NeurIPS
2021): seeds are drawn again within each cell, the control's too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eibench.errors import UserError
from eibench.plan.suite import METHOD
from eibench.report.model.document import Cell, Column, Document, Table, code, fixed
from eibench.report.model.pivot import Pivot
from eibench.results.cells import Aggregate
from eibench.results.metrics import Metric

RESAMPLES = 5000
TITLE = "Summary over suites"


@dataclass(frozen=True)
class Task:
    """A method and the control under the same conditions."""

    suite: str
    cell: Aggregate
    control: Aggregate

    @property
    def difference(self) -> float:
        """Mean of the method less that of the control."""
        assert self.cell.mean is not None
        assert self.control.mean is not None
        return self.cell.mean - self.control.mean

    def resampled(self, generator: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the difference under `RESAMPLES` draws of seeds with replacement."""
        cell, control = (np.array(list(cell.values.values())) for cell in (self.cell, self.control))
        drawn = [
            values[generator.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
            for values in (cell, control)
        ]
        return np.asarray(drawn[0] - drawn[1])

    @property
    def n(self) -> int:
        """Runs of the smaller sample."""
        return min(self.cell.n, self.control.n)

    @property
    def fails(self) -> bool:
        """True if a run of either failed, so that a mean is of those that are left."""
        return bool(self.cell.failed or self.control.failed)

    @property
    def trains(self) -> bool | None:
        """True if every planned run of the cell trains; None where that is not known."""
        return None if self.cell.trained is None else not self.cell.untrained


@dataclass(frozen=True)
class Standing:
    """A method over all its tasks."""

    method: str
    tasks: Sequence[Task]
    lacking: int
    """Tasks without a number of the method or of the control."""

    @property
    def mean(self) -> float:
        """Mean difference to the control over tasks."""
        return float(np.mean([task.difference for task in self.tasks]))

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the stratified bootstrap; None where a task has a single run, of
        which no spread is known."""
        if min(task.n for task in self.tasks) < 2:
            return None
        generator = np.random.default_rng(0)
        drawn = np.mean([task.resampled(generator) for task in self.tasks], axis=0)
        low, high = np.quantile(drawn, [0.025, 0.975])
        return float(low), float(high)

    @property
    def trained(self) -> tuple[int, int]:
        """Cells of which all runs train, and cells of which that is known."""
        known = [task.trains for task in self.tasks if task.trains is not None]
        return sum(known), len(known)

    def values(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        differences = [task.difference for task in self.tasks]
        low, high = self.interval or (None, None)
        trained, known = self.trained
        return {
            "method": self.method,
            "tasks": len(self.tasks),
            "lacking": self.lacking,
            "failing": sum(task.fails for task in self.tasks),
            "difference": self.mean,
            "difference_low": low,
            "difference_high": high,
            "least_difference": min(differences),
            "greatest_difference": max(differences),
            "cells_trained": trained,
            "cells_known": known,
        }


def summary_document(pivots: Sequence[Pivot]) -> Document:
    """Return the summary of all `pivots` whose methods are compared with one control.

    Raises:
        UserError: no suite has a control, they have several, or no method has a number.
    """
    compared = [p for p in pivots if p.layout.reference and p.layout.reference[0] == METHOD]
    controls = list(
        dict.fromkeys(str(p.layout.reference[1]) for p in compared if p.layout.reference)
    )
    if not compared:
        raise UserError("--summary: no suite here compares methods with a control")
    if len(controls) > 1:
        listed = ", ".join(controls)
        raise UserError(f"--summary: unlike controls ({listed}); --against NAME gives one for all")
    metrics = {p.metric.name: p.metric for p in compared}
    if len(metrics) > 1:
        raise UserError(f"--summary: unlike metrics: {', '.join(metrics)}")
    found = standings(compared)
    if not found:
        raise UserError(
            f"--summary: {', '.join(metrics)}: no method has a number beside the control"
        )
    suite = compared[0].suite
    control = suite.name_of(METHOD, controls[0])
    table = Table(
        (
            Column("method", stub=True),
            *map(Column, ("tasks", f"mean difference to {control}\n[95 % interval]")),
            *map(Column, ("least and greatest", "cells that train")),
        ),
        tuple(_row(one, compared[0]) for one in found),
        tuple(_notes(compared, controls[0], found)),
        tuple(_notes(compared, controls[0], found, short=True)),
        caption=f"{TITLE}: {compared[0].metric.heading}",
        label="summary",
    )
    rows = [one.values() for one in found]
    return Document(
        f"{TITLE}: {compared[0].metric.heading}",
        (table,),
        subject="summary",
        values={
            "metric": compared[0].metric.name,
            "control": controls[0],
            "suites": [p.suite.name for p in compared],
            "methods": rows,
        },
        records=rows,
        keys=("method",),
        numbers=tuple(_numbers(found, compared[0].metric)),
    )


def standings(pivots: Sequence[Pivot]) -> list[Standing]:
    """Return each method that is no control, in the order of the suites."""
    tasks: dict[str, list[Task]] = {}
    lacking: dict[str, int] = {}
    for pivot in pivots:
        assert pivot.layout.reference is not None
        fields = pivot.layout.fields
        for place, cell in pivot.cells.items():
            method = str(dict(zip(fields, (*place[0], *place[1]), strict=True))[METHOD])
            base = pivot.cells.get(pivot.layout.base_of(*place))
            if method == pivot.layout.reference[1]:
                continue
            if base is None or not base.n or not cell.n:
                lacking[method] = lacking.get(method, 0) + 1
                tasks.setdefault(method, [])
            else:
                task = Task(pivot.suite.name, cell, base)
                tasks.setdefault(method, []).append(task)
    return [Standing(m, known, lacking.get(m, 0)) for m, known in tasks.items() if known]


def _row(one: Standing, pivot: Pivot) -> tuple[Cell, ...]:
    values, digits = one.values(), pivot.metric.digits
    mean, *interval = (f"{x:+z.{digits}f}" for x in (one.mean, *(one.interval or ())))
    ends = (f"{values[f'{end}_difference']:+z.{digits}f}" for end in ("least", "greatest"))
    trained, known = one.trained
    remarks = {"without a number": one.lacking, "beside failed runs": values["failing"]}
    told = ", ".join(f"{count} {words}" for words, count in remarks.items() if count)
    return (
        Cell(pivot.suite.name_of(METHOD, one.method)),
        Cell(str(len(one.tasks)), f"({told})" if told else ""),
        Cell(fixed(f"{mean} [{', '.join(interval)}]" if interval else mean)),
        Cell(fixed(" to ".join(ends))),
        Cell(f"{trained} of {known}" if known else "not recorded"),
    )


def _numbers(found: Sequence[Standing], metric: Metric) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the difference of each method with its interval, and what names it."""
    for one in found:
        low, high = one.interval or (None, None)
        numbers = {"difference": one.mean, "low": low, "high": high}
        yield (("summary", one.method, "tasks"), str(len(one.tasks)))
        for key, number in numbers.items():
            if number is not None:
                yield (("summary", one.method, key), f"{number:+z.{metric.digits}f}")


def _notes(
    pivots: Sequence[Pivot], control: str, found: Sequence[Standing], short: bool = False
) -> list[str]:
    """Return all notes; `short` ones have titles of suites and the names of a paper."""
    n = min((task.n for one in found for task in one.tasks if one.interval), default=0)
    listed = ", ".join(code(pivot.suite.name) for pivot in pivots)
    name = code(control)
    if short:
        listed = "; ".join(pivot.suite.title for pivot in pivots)
        name = pivots[0].suite.name_of(METHOD, control)
    unit = f", in {pivots[0].metric.difference_unit}" if pivots[0].metric.difference_unit else ""
    notes = [
        f"Suites: {listed}. A task is a suite under one combination of its other axes; all count"
        f" the same. Difference to {name}{unit}.",
        "Methods with unlike tasks do not compare with each other. A mean over tasks hides where a"
        " method fails: read it with the least difference and the cells that train.",
    ]
    if n:
        notes.append(
            f"Interval: stratified bootstrap, {RESAMPLES} draws of the seeds of every cell (n = {n}"
            " at least). It covers these tasks only, and is too narrow where n is below 10."
        )
    if any(one.interval is None for one in found):
        notes.append("No interval: a task has a single run, of which no spread is known.")
    if any(task.fails for one in found for task in one.tasks):
        notes.append("A mean beside failed runs is over the others alone, which flatters it.")
    return notes
