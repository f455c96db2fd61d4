"""A suite's results as plain values: its plan, and for each planned run what became of it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from eibench.errors import UserError, did_you_mean
from eibench.plan.conditions import FROM
from eibench.plan.suite import ABLATION, BASE, DEFAULT_CONTROL, METHOD
from eibench.results.cells import Run, Value
from eibench.results.display import shown
from eibench.results.labels import field_called, field_names, show_field, show_value
from eibench.results.paths import SEARCH, suite_folders
from eibench.results.store import RunFolder, kind_of, read_plan, recorded_runs

T = TypeVar("T")
RATE = "train.lr"


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

    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Names to print in place of labels and other values, as the suite gives them."""
    area: str | None = None
    """Field over which each run's numbers are areas under curves."""
    displayed: bool = False
    """True where a paper's names are printed, False for the labels that commands take."""

    def name_of(self, field: str, value: Value) -> str:
        """Return a field's value as it is printed."""
        return shown(field, value, self.labels) if self.displayed else show_value(value)

    def named(self, field: str, value: Value) -> str:
        """Return `depth 8`, or only the name where the value is a word."""
        return self.name_of(field, value) if isinstance(value, str) else show_field(field, value)

    def listed(self, methods: Iterable[str]) -> str:
        """Return the names of methods in a row; a name may have commas."""
        return "; ".join(self.name_of(METHOD, method) for method in methods)

    @property
    def evaluates(self) -> bool:
        """True if its runs are rows of networks that another suite trained."""
        return any(f"{FROM}.run" in run.fields for run in self.runs)

    @property
    def unchanged(self) -> list[Run]:
        """All runs but those of ablations, which are changed from a base run."""
        return [run for run in self.runs if run.value(ABLATION) in (None, BASE)]

    @functools.cached_property
    def fields(self) -> list[str]:
        """All fields that a run has."""
        return list(dict.fromkeys(field for run in self.runs for field in run.fields))

    @functools.cached_property
    def axis_fields(self) -> list[str]:
        """The suite's axes as fields of a run.

        An axis may be a part of a run (`model`, `train`): then those of its fields that vary, each
        only if the ones before it do not determine it. Options of a method are in its label, unless
        ablations change it too.
        """
        fields: list[str] = []
        for axis in self.axes:
            option = axis.startswith(f"{METHOD}.") and ABLATION in self.axes
            if axis.partition(".")[0] == METHOD and not option:
                fields.append(METHOD)
                continue
            kept: list[str] = []
            for field in self.fields:
                if f"{field}.".startswith(f"{axis}.") and varies(self.runs, field, kept):
                    kept.append(field)
            fields += kept
        return list(dict.fromkeys(fields))

    @property
    def methods(self) -> list[str]:
        """Labels of the unchanged runs' methods, in the plan's order."""
        return list(dict.fromkeys(run.fields["method"] for run in self.unchanged))


def varies(runs: Sequence[Run], field: str, fixed: Sequence[str] = ()) -> bool:
    """Return whether `field` varies among runs that are alike in the `fixed` fields."""
    seen: dict[tuple[Value, ...], Value] = {}
    return any(seen.setdefault(r.values(fixed), r.value(field)) != r.value(field) for r in runs)


def check_fields(suite: SuiteResults, option: str, fields: Sequence[str]) -> list[str]:
    """Return fields by their full names; refuse those that no run of the suite has, and repeats."""
    known = suite.fields
    varying = [field for field in known if varies(suite.runs, field)]
    found: list[str] = []
    for name in fields:
        field = name if name in known else field_called(name, known, varying)
        if field is None:
            options = {f for f in varying if f.startswith(f"{METHOD}.")}  # of a method's label
            options = {f for f in options if not varies(suite.runs, f, [METHOD])}
            listed = ", ".join(field for field in varying if field not in options)
            near = did_you_mean(name.lower(), field_names(known, varying))
            hint = f"fields that vary: {listed}{near}"
            raise UserError(f"{option} {name}: no run of {suite.name} has this field; {hint}")
        if field in found:
            raise UserError(f"{option}: {field} is listed twice")
        found.append(field)
    return found


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
        labels=plan.get("labels", {}),
    )


def known_fields(cls: type[T], values: Mapping[str, Any], **changed: Any) -> T:
    """Return a dataclass made of those of `values` that it has, some of them changed."""
    names = {known.name for known in dataclasses.fields(cls)}  # type: ignore[arg-type]
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


def refuse_mixtures(
    suite: SuiteResults, rows: Sequence[str], columns: Sequence[str], cells: Iterable[list[Run]]
) -> None:
    """Raise when runs of a cell share a seed or differ in an axis, naming what they differ in."""
    differing: dict[str, None] = {}
    for runs in cells:
        first: dict[int, Run] = {}
        for run in runs:
            twin = first.setdefault(run.seed, run)
            if twin is not run:
                differing |= {f: None for f in run.fields if run.value(f) != twin.value(f)}
        differing |= dict.fromkeys(axis for axis in suite.axis_fields if varies(runs, axis))
    if not differing:
        return
    named = [axis for axis in suite.axis_fields if axis in differing] or list(differing)
    raise UserError(
        f"{suite.name}: rows by {_listed(rows)} and columns by {_listed(columns)} put"
        f" runs into one cell that differ in {_listed(named)}; a mean would mix them; try"
        f" --columns {','.join((*columns, *named))}"
    )


def _listed(fields: Iterable[str]) -> str:
    return ", ".join(fields) or "nothing"
