"""A suite's results as plain values: its plan, and for each planned run what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eibench.errors import UserError
from eibench.plan.suite import ABLATION, BASE
from eibench.results.store import (
    INTERRUPTED,
    MISSING,
    OK,
    SEARCH,
    RunFolder,
    kind_of,
    read_plan,
    suite_folders,
)

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
        """Whether it ended without a result; a run that has not ended did not fail."""
        return self.status not in (OK, MISSING, INTERRUPTED)

    def number(self, metric: str) -> float | None:
        """The metric of a run that is ok; None for other runs and where it was not measured."""
        number = self.result.get(metric) if self.status == OK else None
        return None if number is None else float(number)

    def value(self, field: str) -> Value:
        """The field's value in a form that can be a key."""
        value = self.fields.get(field)
        return value if isinstance(value, str | int | float | None) else str(value)

    def values(self, fields: Iterable[str]) -> tuple[Value, ...]:
        """The values of several fields."""
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
    """What the runs' data set is called where it is a copy of the published one."""
    metric: str
    value: float
    source: str
    fields: Mapping[str, Value]
    """What is known of its protocol as fields of a run ..."""
    notes: Mapping[str, Any]
    """... and in words; `seeds` is the number of runs behind the value."""
    runs: frozenset[str]


@dataclass(frozen=True)
class SuiteResults:
    """What is known of one suite."""

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

    @property
    def unchanged(self) -> list[Run]:
        """All runs but those of ablations, which are changed from a base run."""
        return [run for run in self.runs if run.value(ABLATION) in (None, BASE)]

    @property
    def methods(self) -> list[str]:
        """Labels of the unchanged runs' methods, in the plan's order."""
        return list(dict.fromkeys(run.fields["method"] for run in self.unchanged))


def read_suites(paths: Iterable[Path]) -> list[SuiteResults]:
    """The suites at or below `paths` (results folders or suites in them), each once, sorted.

    The trials of searches are no suites; see `eibench.report.searches`.

    Raises:
        UserError: a path holds no results, or those of another program.
    """
    folders: dict[Path, Path] = {}
    for path in paths:
        found = list(suite_folders(path))
        if not found:
            raise UserError(f"{path}: no results here; `eibench run SUITE` makes some")
        suites = [folder for folder in found if kind_of(read_plan(folder)) != SEARCH]
        folders |= {folder.resolve(): folder for folder in suites}
    return [read_suite(folder) for folder in sorted(folders.values())]


def read_suite(folder: Path) -> SuiteResults:
    """The suite whose plan lies in `folder`."""
    plan = read_plan(folder)
    planned = {run["run_id"]: run["fields"] for run in plan["runs"]}
    return SuiteResults(
        folder=folder,
        name=plan["suite"],
        title=plan["title"],
        axes=tuple(plan["axes"]),
        tuned_by=plan["tuned_by"],
        same=tuple(tuple(group) for group in plan["same"]),
        runs=tuple(read_run(folder / run_id, fields) for run_id, fields in planned.items()),
        others=sum(path.parent.name not in planned for path in folder.glob("*/record.json")),
        kind=kind_of(plan),
        references=tuple(_reference(known) for known in plan.get("references", ())),
    )


def _reference(known: Mapping[str, Any]) -> Reference:
    return Reference(**{**known, "runs": frozenset(known["runs"])})


def read_run(folder: Path, fields: Mapping[str, Any]) -> Run:
    """A planned run; fields come from the plan, as an older record may lack newer options."""
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
