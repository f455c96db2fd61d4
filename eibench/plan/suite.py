"""A suite: many runs written as one file, and the plan it expands to.

    name: depth_scaling            results go to results/depth_scaling
    title: ...                     for tables
    kind: train                    or probe: networks are measured, not trained
    base: {...}                    one complete run
    grid: {key: [values], ...}     every combination
    zip: {key: [values], ...}      lists of one length, taken side by side
    ablate: {name: {key: value}}   the base run, then one named factor at a time changed in it
    ablate_pairs: true             then every two factors that set different keys
    per_method: {ei: {key: value}} overrides for a method, by name or label, in plain view
    exclude: [{key: value}, ...]   combinations to leave out
    seeds: [0, 1, 2]               every combination under each
    control: batchnorm             the method to which a report gives all others' difference
    margin: 1.0                    percentage points within which two accuracies count as equivalent
    labels: {ei: E-I (paper)}       names that a paper prints in place of labels
    tuned_by: learning_rates       the suite in which the tuned values were found
    tuned: [{where: ..., set: ...}]   values that a search found; they do not rename a method
    search: {...}                  what `eibench search` tries; see `eibench.plan.space`
    references: references.yaml    published numbers to set beside ours
    stands_for: {imagefolder: {data: cifar10, title: CIFAR-10 (JPEG)}}   a copy of another data set
    evaluate: {noise: {gaussian_noise: [0.1, 0.2]}}   conditions for the trained weights
    report: {tables: [...], figures: [...]}   what `eibench tables` makes of the results
    plugins: [my_norm.py]          files (beside the suite) or installed names that add methods ...

Keys are dotted paths into a run: `model.depth`, `train.lr`, `method`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from eibench.errors import BadSuite, UserError
from eibench.plan.layers import Origin
from eibench.plan.lengths import Length
from eibench.plan.matches import Match
from eibench.plan.names import OwnFolder, SuiteName, TableName
from eibench.plan.options import Options
from eibench.plan.options.base import Line
from eibench.plan.options.run import KEEP
from eibench.plan.plugins import Loaded
from eibench.plan.space import SearchFile, Seed
from eibench.plan.spec import RunSpec
from eibench.plan.sweeps import SECTION as EVALUATE
from eibench.plan.sweeps import Sweep, sweep_problems
from eibench.plan.validate import Invalid, validate
from eibench.plan.yaml_source import YamlDocument, load

MOST_AXES = 100
MOST_CLAUSES = 1000
"""Maximal number of ablations, and of clauses of `exclude` and `tuned`."""
MOST_RUNS = 10_000
"""Maximal number of runs of a plan, and of combinations of its axes before exclusion."""
Axis = Annotated[list[Any], Field(min_length=1)]
Kind = Literal["train", "probe"]
METHOD = "method"
SEED = "seed"
LAYER = "layer"
"""The field of a probe's layers, which tables may have in rows or columns."""
ABLATION = "ablation"
"""Axis of a suite with `ablate`, and the field of its runs with the ablation's name."""
BASE = "base"
"""Name of the ablation that changes nothing."""
NOTHING = "none"
"""In place of a method to compare with: no differences."""
DEFAULT_CONTROL = "batchnorm"
"""Label of the method with which others are compared, in suites that have it."""
JOIN = " + "
"""Separator of the two factors in the name of a pair."""


class Tuned(Options):
    """Values for some of a suite's runs, as found by a search."""

    where: dict[str, Any] = Field(default_factory=dict)
    """Fields that select the runs; empty selects all. With `seed`, those under these seeds."""
    set: dict[str, Any] = Field(min_length=1)


TableFormat = Literal["markdown", "latex", "macros", "csv", "json"]
NoteLevel = Literal["none", "short", "full"]
FieldNames = Annotated[list[str], Field(max_length=MOST_AXES)]


class TableSection(Options):
    """A table of a suite's results: the options of `eibench report`."""

    name: TableName = "table"
    """File name, without the suffix of its format."""
    metric: str | None = None
    rows: FieldNames | None = None
    columns: FieldNames | None = None
    against: str | None = None
    pooled: bool = False
    formats: list[TableFormat] = Field(default=["markdown"], min_length=1)
    notes: NoteLevel | None = None
    """None: short in LaTeX, full in other formats."""
    width: Length | None = None
    """A line in LaTeX; None for that of article."""
    starred: bool = False


class FigureSection(Options):
    """A figure of a suite's results: the options of `eibench plot`, or its short name."""

    name: str | None = None
    """Name of a figure that docs/figures.md lists; `metric` names one of a table."""
    metric: str | None = None
    x: str | None = None
    by: FieldNames | None = None


class ReportSection(Options):
    """The tables and figures to make of a suite's results; no part of any run's identity."""

    tables: list[TableSection] = Field(default=[TableSection()], max_length=MOST_AXES)
    figures: list[FigureSection] = Field(default=[FigureSection()], max_length=MOST_AXES)


class SuiteFile(Options):
    """Keys of a suite file."""

    name: OwnFolder
    title: Line
    kind: Kind = "train"
    base: dict[str, Any]
    grid: dict[str, Axis] = Field(default_factory=dict, max_length=MOST_AXES)
    zip: dict[str, Axis] = Field(default_factory=dict, max_length=MOST_AXES)
    ablate: dict[str, dict[str, Any]] = Field(default_factory=dict, max_length=MOST_CLAUSES)
    ablate_pairs: bool = False
    per_method: dict[str, dict[str, Any]] = Field(default_factory=dict, max_length=MOST_CLAUSES)
    exclude: list[dict[str, Any]] = Field(default_factory=list, max_length=MOST_CLAUSES)
    seeds: list[Seed] = Field([0], min_length=1, max_length=MOST_RUNS)
    control: str | None = DEFAULT_CONTROL
    margin: float | None = Field(None, gt=0, le=100)
    labels: dict[str, Line] = Field(default_factory=dict, max_length=MOST_CLAUSES)
    tuned_by: SuiteName | None = None
    tuned: list[Tuned] = Field(default_factory=list, max_length=MOST_CLAUSES)
    search: SearchFile | None = None
    evaluate: dict[SuiteName, dict[str, Axis]] = Field(default_factory=dict, max_length=MOST_AXES)
    report: ReportSection = ReportSection()
    plugins: list[str] = Field(default_factory=list, max_length=MOST_AXES)
    references: str | None = Field(None, min_length=1)
    stands_for: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def reporting(self, sweep: Sweep) -> SuiteFile:
        """Return the suite with the table and figure of a sweep: lines over a field that varies."""
        first, *others = sweep.varying
        table = TableSection(formats=["markdown", "latex"])
        figure = FigureSection(x=first, by=[METHOD, *others])
        report = ReportSection(tables=[table], figures=[figure])
        return self.model_copy(update={"report": report})


@dataclass(frozen=True)
class PlannedRun:
    """Run of a plan: its identity, its spec, and its names in the suite."""

    run_id: str
    spec: RunSpec
    ablation: str | None = None
    """Name of the ablation, if any; not part of the identity."""
    called: str | None = None
    """Label of the method before its options were tuned; None if they were not."""

    @property
    def method(self) -> str:
        """Return the method's label in the suite, without tuned options."""
        return self.called or self.spec.method.label

    @property
    def title(self) -> str:
        """Return the identity, followed by the ablation's name in brackets if there is one."""
        return self.run_id if self.ablation is None else f"{self.run_id} ({self.ablation})"

    def keeping(self, weights: str) -> PlannedRun:
        """Return the run that keeps the `weights` of its best or last epoch, or none."""
        train = self.spec.train.model_copy(update={KEEP: weights})
        return replace(self, spec=replace(self.spec, train=train))

    def fields(self) -> dict[str, Any]:
        """Return the spec's flat columns, and the ablation's name if there is one."""
        return self._fields.copy()

    @cached_property
    def _fields(self) -> dict[str, Any]:
        named = {} if self.ablation is None else {ABLATION: self.ablation}
        return {**named, **self.spec.fields(), METHOD: self.method}


@dataclass(frozen=True)
class Flags:
    """Changes of a suite file's plan by the command line."""

    settings: tuple[str, ...] = ()
    """KEY=VALUE of each `--set`."""
    seeds: tuple[int, ...] | None = None
    """Value of `--seeds`; None for the suite's own."""
    steps: tuple[int, ...] | None = None
    """Value of `--steps`."""


@dataclass(frozen=True)
class Plan:
    """Runs of a suite, in the order of execution."""

    name: str
    title: str
    axes: tuple[str, ...]
    runs: tuple[PlannedRun, ...]
    tuned_by: str | None = None
    control: str | None = DEFAULT_CONTROL
    margin: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    """Names that a paper prints in place of labels and other values."""
    kind: Kind = "train"
    plugins: tuple[Loaded, ...] = ()
    references: tuple[Match, ...] = ()
    """Published numbers that match the runs."""
    files: tuple[Path, ...] = ()
    """Files that the plan was read from: the suite, its references and plugins."""
    flags: Flags = Flags()
    sweeps: tuple[Sweep, ...] = ()
    """Conditions under which trained runs are evaluated."""
    notes: tuple[str, ...] = ()
    """Remarks that a dry run prints."""

    def keeping(self, weights: str) -> Plan:
        """Return the plan whose runs keep the `weights` of their best or last epoch, or none; raise
        `UserError` for none where sweeps need some."""
        if weights == "none" and self.sweeps:
            raise UserError("--keep none: `evaluate` of this suite needs weights; best or last")
        return replace(self, runs=tuple(run.keeping(weights) for run in self.runs))

    def able_to_evaluate(self) -> Plan:
        """Return the plan whose runs keep their best weights, if any, where sweeps need some."""
        if not self.sweeps:
            return self
        runs = (r.keeping("best") if r.spec.train.keep == "none" else r for r in self.runs)
        return replace(self, runs=tuple(runs))

    @property
    def folder(self) -> Path | None:
        """The folder of the suite's file."""
        return self.files[0].parent if self.files else None


def read_suite(path: Path) -> tuple[YamlDocument, SuiteFile]:
    """Return the suite file at `path` with its top level validated.

    Raises:
        UserError: the file cannot be read.
        BadSuite: every problem found, each with file, line and key.
    """
    document = load(path)
    try:
        return document, validate(SuiteFile, document.data)
    except Invalid as invalid:
        section = document.data.get(EVALUATE) if isinstance(document.data, Mapping) else {}
        problems = [*invalid.problems, *sweep_problems(section)]
        raise BadSuite(Origin(document, p.keys).message(p.text) for p in problems) from None


def as_probe(suite: SuiteFile, steps: list[int] | None = None) -> SuiteFile:
    """Return `suite` as a probe, measured after `steps` optimizer steps if given.

    A suite that trains gets another name, so that its results never mix with those of training.
    """
    axis: dict[str, list[Any]] = {} if steps is None else {"probe.steps": steps}
    changes: dict[str, Any] = {"kind": "probe", "grid": {**suite.grid, **axis}}
    changes |= {"references": None, "stands_for": {}}  # numbers of trained networks
    changes |= {"search": None, "evaluate": {}, "report": ReportSection()}
    if suite.kind == "train":
        changes["name"] = f"{suite.name}-probe"
    return suite.model_copy(update=changes)
