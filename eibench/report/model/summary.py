"""One table over several suites: each method against the control, averaged over tasks.

A task is a data set and a network, see `tasks`. Every task counts the same. The interval of a mean
over tasks is a stratified bootstrap (Agarwal et al., NeurIPS 2021): seeds are drawn again within
each cell, the control's too.
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
from eibench.report.model.suite_results import SuiteResults
from eibench.report.model.tasks import Comparison, Task, find_tasks
from eibench.results.labels import counted, unlike_machines
from eibench.results.metrics import Metric

RESAMPLES = 5000
TITLE = "Summary over suites"


@dataclass(frozen=True)
class Standing:
    """A method over all its tasks."""

    method: str
    tasks: Sequence[Comparison]
    lacking: int
    """Tasks without a number of the method or of the control."""

    @property
    def mean(self) -> float:
        """Mean difference to the control over tasks."""
        return float(np.mean([task.difference for task in self.tasks]))

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the stratified bootstrap; None where no spread is known of a task:
        it has a single run, or numbers that differ and do not vary."""
        if not all(task.varies or task.equal for task in self.tasks):
            return None
        generator = np.random.default_rng(0)
        drawn = np.mean([_resampled(task, generator) for task in self.tasks], axis=0)
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


def _resampled(
    task: Comparison, generator: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the difference under `RESAMPLES` draws of seeds with replacement; 0 of the same
    computation."""
    if task.equal:
        return np.zeros(RESAMPLES)
    cell, control = (np.array(list(one.values.values())) for one in (task.cell, task.control))
    drawn = [
        values[generator.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
        for values in (cell, control)
    ]
    return np.asarray(drawn[0] - drawn[1])


def summary_document(pivots: Sequence[Pivot]) -> Document:
    """Return the summary of all `pivots` whose methods are compared with one control.

    Evaluations of networks that a suite trained, and their costs, are left out.

    Raises:
        UserError: no suite has a control, they have several, or no method has a number.
    """
    having = [p for p in pivots if p.layout.reference and p.layout.reference[0] == METHOD]
    compared = [p for p in having if not p.suite.evaluates]
    left_out = [p.suite for p in having if p.suite.evaluates]
    controls = list(
        dict.fromkeys(str(p.layout.reference[1]) for p in compared if p.layout.reference)
    )
    if not compared:
        only = "; evaluations of trained networks are left out" if left_out else ""
        raise UserError(f"--summary: no suite here compares methods with a control{only}")
    if len(controls) > 1:
        listed = ", ".join(controls)
        raise UserError(f"--summary: unlike controls ({listed}); --against NAME gives one for all")
    metrics = {p.metric.name: p.metric for p in compared}
    if len(metrics) > 1:
        raise UserError(f"--summary: unlike metrics: {', '.join(metrics)}")
    runs = [run for p in compared for run in p.suite.runs]
    metric = compared[0].metric
    if metric.by_machine and unlike_machines(run.environment for run in runs):
        raise UserError(f"--summary: {metric.name}: the suites were computed on unlike machines")
    tasks = find_tasks(p.suite for p in compared)
    found = standings(tasks, metric, controls[0])
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
        tuple(_notes(compared, controls[0], found, left_out)),
        tuple(_notes(compared, controls[0], found, left_out, short=True)),
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
            "left_out": [suite.name for suite in left_out],
            "methods": rows,
        },
        records=rows,
        keys=("method",),
        numbers=tuple(_numbers(found, compared[0].metric)),
    )


def standings(tasks: Sequence[Task], metric: Metric, control: str) -> list[Standing]:
    """Return each method that is no control, in the order of the suites."""
    methods = dict.fromkeys(method for task in tasks for method in task.methods)
    found = []
    for method in methods:
        known = [t.compare(method, control, metric) for t in tasks if method in t.methods]
        compared = [one for one in known if one is not None]
        if compared and method != control:
            found.append(Standing(method, compared, len(known) - len(compared)))
    return found


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
    pivots: Sequence[Pivot],
    control: str,
    found: Sequence[Standing],
    left_out: Sequence[SuiteResults],
    short: bool = False,
) -> Iterator[str]:
    """Yield all notes; `short` ones have titles of suites and the names of a paper."""
    listed = _listed([pivot.suite for pivot in pivots], short)
    name = pivots[0].suite.name_of(METHOD, control) if short else code(control)
    unit = f", in {pivots[0].metric.difference_unit}" if pivots[0].metric.difference_unit else ""
    yield (
        f"Suites: {listed}. A task is a data set and a network, with its time steps and epochs; it"
        f" counts once, in however many suites it is. Difference to {name}{unit}."
    )
    if left_out:
        yield f"Left out, as evaluations of trained networks: {_listed(left_out, short)}."
    yield from _choices(found, short)
    yield (
        "Methods with unlike tasks do not compare with each other. A mean over tasks hides where a"
        " method fails: read it with the least difference and the cells that train."
    )
    n = min((task.n for one in found for task in one.tasks if one.interval), default=0)
    if n:
        yield (
            f"Interval: stratified bootstrap, {RESAMPLES} draws of the seeds of every cell (n = {n}"
            " at least). It covers these tasks only, and is too narrow where n is below 10."
        )
    if any(one.interval is None for one in found):
        yield "No interval: a task has a single run, of which no spread is known."
    if any(task.fails for one in found for task in one.tasks):
        yield "A mean beside failed runs is over the others alone, which flatters it."


def _listed(suites: Sequence[SuiteResults], short: bool) -> str:
    """Return the titles of suites, or their names."""
    return "; ".join(s.title for s in suites) if short else ", ".join(code(s.name) for s in suites)


def _choices(found: Sequence[Standing], short: bool) -> Iterator[str]:
    """Yield a note where methods or the control have several settings of training."""
    choices = [task.settings for one in found for task in one.tasks]
    if all(numbers == (1, 1) for numbers in choices):
        return
    yield (
        "Of several settings of training in a task (learning rate, optimizer), each method and the"
        " control enter with their best by validation accuracy, mean over seeds. Both choose from"
        " the suites that have both."
    )
    if unlike := sum(own != other for own, other in choices):
        start = "Unequal choice" if short else "UNEQUAL CHOICE"
        yield (
            f"{start}: in {unlike} of {counted(len(choices), 'comparison')} a method had"
            " more settings or fewer than the control."
        )
