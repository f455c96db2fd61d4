"""A suite's results as plain values: its plan, and for each planned run what became of it."""

from __future__ import annotations

import dataclasses
import functools
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from eibench.errors import UserError
from eibench.plan.suite import ABLATION, BASE, DEFAULT_CONTROL, METHOD
from eibench.results.metrics import Metric
from eibench.results.paths import suite_folders
from eibench.results.store import (
    INTERRUPTED,
    MISSING,
    OK,
    SEARCH,
    RunFolder,
    kind_of,
    read_plan,
    recorded_runs,
)

GUESSES = 0.999
"""Share of guessers that a run must beat to count as one that trains."""
UNMEASURED = "not_measured"
"""Stands beside the statuses: the run is ok, but this metric does not exist for it."""
T = TypeVar("T")
Value = str | float | bool | None
"""A field's value; None where the run has no such field."""


@dataclass(frozen=True)
class Run:
    """A planned run: its fields, how it ended, its numbers, and what computed it."""

    run_id: str
    fields: Mapping[str, Any]
    status: str
    reason: str
    result: Mapping[str, Any]
    environment: Mapping[str, Any]
    """Empty while the run has no record."""
    layers: Sequence[Mapping[str, Any]] = ()
    """A probe's layers in forward order."""

    @property
    def seed(self) -> int:
        """The seed, over which a cell's mean is taken."""
        return int(self.fields["seed"])

    @property
    def failed(self) -> bool:
        """True if it ended without a result; a run that has not ended did not fail."""
        return self.status not in (OK, MISSING, INTERRUPTED)

    @property
    def trains(self) -> bool | None:
        """True if more test images are right than `GUESSES` of all guesses reach; False for failed
        runs, None where the record does not tell."""
        if self.failed:
            return False
        images, classes = self.result.get("test_images"), self.result.get("classes")
        accuracy = self.number("test_accuracy")
        if accuracy is None or not images or not classes:
            return None
        return accuracy > most_guessed(int(images), int(classes))

    def number(self, metric: str) -> float | None:
        """Return the metric; None for runs that are not ok, and where it was not measured."""
        number = self.result.get(metric) if self.status == OK else None
        return None if number is None else float(number)

    def value(self, field: str) -> Value:
        """Return the field's value in a form that can be a key."""
        value = self.fields.get(field)
        return value if isinstance(value, str | int | float | None) else str(value)

    def values(self, fields: Iterable[str]) -> tuple[Value, ...]:
        """Return the values of several fields."""
        return tuple(self.value(field) for field in fields)


@dataclass(frozen=True)
class Reference:
    """A published number, and the planned runs of its method, network and data set."""

    method: str
    """A label."""
    model: Mapping[str, Value]
    """The name, and the options that the source states."""
    data: str
    data_title: str | None
    """Name of the runs' data set where it is a copy of the published one."""
    metric: str
    value: float
    source: str
    fields: Mapping[str, Value]
    """Its protocol as fields of a run ..."""
    notes: Mapping[str, Any]
    """... and in words; `seeds` is the number of runs behind the value."""
    runs: frozenset[str]


@dataclass(frozen=True)
class SuiteResults:
    """Results of one suite."""

    folder: Path
    name: str
    title: str
    axes: tuple[str, ...]
    tuned_by: str | None
    same: tuple[tuple[str, ...], ...]
    runs: tuple[Run, ...]
    """Planned runs in the plan's order."""
    others: int
    """Runs in the folder that are not in the plan."""
    kind: str = "train"
    """`train`, or `probe`: then runs have layers."""
    references: tuple[Reference, ...] = ()
    control: str | None = None
    """Method to which all others have their difference."""
    margin: float | None = None
    """Difference in percentage points up to which two accuracies count as equivalent."""

    @property
    def unchanged(self) -> list[Run]:
        """All runs but those of ablations, which are changed from a base run."""
        return [run for run in self.runs if run.value(ABLATION) in (None, BASE)]

    @property
    def methods(self) -> list[str]:
        """Labels of the unchanged runs' methods, in the plan's order."""
        return list(dict.fromkeys(run.fields["method"] for run in self.unchanged))


@dataclass(frozen=True)
class Aggregate:
    """The runs of one cell, which differ in nothing but their seed."""

    values: Mapping[int, float]
    """The metric by seed, of the runs that have it."""
    absent: Mapping[str, int]
    """Number of the other runs, by status."""
    best: bool = False
    trained: frozenset[int] | None = None
    """Seeds whose run trains; None where that is not known of every run."""

    @property
    def n(self) -> int:
        """Runs behind the mean."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """Mean over seeds; None without numbers."""
        return statistics.fmean(self.values.values()) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation over seeds; None for n < 2."""
        return statistics.stdev(self.values.values()) if self.n > 1 else None

    @property
    def missing(self) -> int:
        """Runs that have not ended."""
        return self.absent.get(MISSING, 0) + self.absent.get(INTERRUPTED, 0)

    @property
    def unmeasured(self) -> int:
        """Runs that ended well and lack this metric."""
        return self.absent.get(UNMEASURED, 0)

    @property
    def failed(self) -> int:
        """Runs that ended without a result."""
        return sum(self.absent.values()) - self.missing - self.unmeasured

    @property
    def summary(self) -> dict[str, Any]:
        """The numbers as plain values."""
        numbers = {"mean": self.mean, "std": self.deviation, "n": self.n}
        trained = None if self.trained is None else len(self.trained)
        counts = {"failed": self.failed, "missing": self.missing, "trained": trained}
        return {**numbers, **counts}

    def number(self, metric: Metric) -> str:
        """Return `97.2 ± 0.3`, or without the spread where there is none."""
        assert self.mean is not None
        spread = "" if self.deviation is None else f" ± {metric.show(self.deviation)}"
        return metric.show(self.mean) + spread

    def remark(self, metric: Metric, planned: int) -> str:
        """Return `(n=2, 1 diverged)` where fewer than `planned` runs have the number, and
        `(3 of 5 train: 97.9)` where some do not train."""
        absent = [f"{count} {_absence(s, metric)}" for s, count in self.absent.items()]
        parts = [] if self.n == planned else [f"n={self.n}", *absent]
        if metric.unit == "%" and self.trained is not None and len(self.trained) < planned:
            parts.append(f"{len(self.trained)} of {planned} train{self._of_trained(metric)}")
        return f"({', '.join(parts)})" if parts else ""

    def _of_trained(self, metric: Metric) -> str:
        """Return the mean of the seeds that train, where it says more than the mean of all."""
        values = [self.values[seed] for seed in self.trained or () if seed in self.values]
        more = 0 < len(values) < self.n
        return f": {metric.show(statistics.fmean(values))}" if more else ""

    def reasons(self, metric: Metric) -> str:
        """Return `diverged (2), missing (1)`, in place of a number."""
        return ", ".join(f"{_absence(s, metric)} ({count})" for s, count in self.absent.items())


def _absence(status: str, metric: Metric) -> str:
    return metric.unmeasured if status == UNMEASURED else status.replace("_", " ")


def aggregate(runs: Iterable[Run], metric: Metric) -> Aggregate:
    """Return the metric of runs that differ in their seed alone."""
    values: dict[int, float] = {}
    absent: Counter[str] = Counter()
    runs = [*runs]
    for run in runs:
        number = run.number(metric.name)
        if number is None:
            absent[UNMEASURED if run.status == OK else run.status] += 1
        else:
            values[run.seed] = number
    ends = {run.seed: run.trains for run in runs}
    known = all(end is not None for end in ends.values())
    trained = frozenset(seed for seed, end in ends.items() if end) if known else None
    return Aggregate(values, absent, trained=trained)


@functools.cache
def most_guessed(images: int, classes: int) -> float:
    """Return the accuracy in percent that `GUESSES` of all guessers stay at or below."""
    from scipy.stats import binom  # takes a while to load

    return 100 * float(binom.ppf(GUESSES, images, 1 / classes)) / images


def axes(suite: SuiteResults) -> list[str]:
    """Return the suite's axes as fields of a run.

    An axis may be a part of a run (`model`, `train`): then those of its fields that vary, each
    only if the ones before it do not determine it. Options of a method are in its label, unless
    ablations change it too.
    """
    fields: list[str] = []
    for axis in suite.axes:
        option = axis.startswith(f"{METHOD}.") and ABLATION in suite.axes
        if axis.partition(".")[0] == METHOD and not option:
            fields.append(METHOD)
            continue
        kept: list[str] = []
        for field in dict.fromkeys(field for run in suite.runs for field in run.fields):
            if f"{field}.".startswith(f"{axis}.") and varies(suite.runs, field, kept):
                kept.append(field)
        fields += kept
    return list(dict.fromkeys(fields))


def varies(runs: Sequence[Run], field: str, fixed: Sequence[str] = ()) -> bool:
    """Return whether `field` varies among runs that are alike in the `fixed` fields."""
    seen: dict[tuple[Value, ...], Value] = {}
    return any(seen.setdefault(r.values(fixed), r.value(field)) != r.value(field) for r in runs)


def is_numeric(runs: Sequence[Run], field: str) -> bool:
    """Return whether every run has a number in `field`."""
    values = [run.value(field) for run in runs]
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def read_suites(paths: Iterable[Path]) -> list[SuiteResults]:
    """Return the suites at or below `paths` (results folders or suites in them), each once, sorted.

    The trials of searches are no suites; see `search_results`.

    Raises:
        UserError: a path holds no results, or those of another program.
    """
    folders: dict[Path, Path] = {}
    for path in paths:
        found = list(suite_folders(path))
        if not found:
            raise UserError(f"{path}: no results here; `eibench run SUITE` makes some")
        folders |= {folder.resolve(): folder for folder in found}
    plans = {folder: read_plan(folder) for folder in sorted(folders.values())}
    return [_suite(folder, plan) for folder, plan in plans.items() if kind_of(plan) != SEARCH]


def read_suite(folder: Path) -> SuiteResults:
    """Return the suite whose plan lies in `folder`."""
    return _suite(folder, read_plan(folder))


def _suite(folder: Path, plan: Mapping[str, Any]) -> SuiteResults:
    planned = {run["run_id"]: run["fields"] for run in plan["runs"]}
    return SuiteResults(
        folder=folder,
        name=plan["suite"],
        title=plan["title"],
        axes=tuple(plan["axes"]),
        tuned_by=plan["tuned_by"],
        same=tuple(tuple(group) for group in plan["same"]),
        runs=tuple(read_run(folder / run_id, fields) for run_id, fields in planned.items()),
        others=sum(run.run_id not in planned for run in recorded_runs(folder)),
        kind=kind_of(plan),
        references=tuple(
            known_fields(Reference, known, runs=frozenset(known["runs"]))
            for known in plan.get("references", ())
        ),
        control=plan.get("control", DEFAULT_CONTROL),
        margin=plan.get("margin"),
    )


def known_fields(cls: type[T], values: Mapping[str, Any], **changed: Any) -> T:
    """Return a dataclass made of those of `values` that it has, some of them changed."""
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(**{key: v for key, v in {**values, **changed}.items() if key in names})


def read_run(folder: Path, fields: Mapping[str, Any]) -> Run:
    """Read a planned run; fields come from the plan, as older records lack newer options."""
    files = RunFolder(folder)
    record = files.outcome()
    return Run(
        run_id=files.run_id,
        fields=fields,
        status=record["status"],
        reason=record["reason"] or "",
        result={**record.get("result", {}), **record.get("cost", {})},
        environment=record.get("environment", {}),
        layers=record.get("layers", ()),
    )
