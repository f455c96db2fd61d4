"""Tasks over several suites: a data set and a network, on which methods were trained.

A task has the data set with its augmentation, the network with its neuron, time steps and epochs.
All else that varies, such as a learning rate or an optimizer, is a setting of training: a method
enters a task with its best setting by validation accuracy, and so does the control. Both choose
from the suites that have both, which gives them one recipe.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eibench.plan.options import CHOICES
from eibench.plan.spec import SECTIONS
from eibench.plan.suite import METHOD
from eibench.report.model.suite_results import SuiteResults
from eibench.results.cells import SCORE_DIGITS, Aggregate, Run, aggregate
from eibench.results.metrics import METRICS, Metric
from eibench.results.store import OK

PARTS = ("data", "input", "model", "neuron", "probe", "timesteps")
"""Sections whose fields belong to a task ..."""
EPOCHS = "train.epochs"
"""... as this field does."""
VALIDATION = METRICS["validation_accuracy"]
Runs = dict[str, Run]
"""Runs of one setting by their id."""
Settings = dict[Hashable, Runs]
Parts = tuple[frozenset[Any], frozenset[Any]]
"""A setting: what it has of the suite's axes, and the rest."""


@dataclass(frozen=True)
class Comparison:
    """A method and the control in one task."""

    cell: Aggregate
    control: Aggregate
    settings: tuple[int, int]
    """Settings of training that either had to choose from."""

    @property
    def difference(self) -> float:
        """Mean of the method less that of the control."""
        assert self.cell.mean is not None
        assert self.control.mean is not None
        return self.cell.mean - self.control.mean

    @property
    def n(self) -> int:
        """Runs of the smaller sample."""
        return min(self.cell.n, self.control.n)

    @property
    def equal(self) -> bool:
        """True if both agree number by number under several seeds: the same computation."""
        return self.n > 1 and self.cell.values == self.control.values

    @property
    def varies(self) -> bool:
        """True if each side has several runs, and their numbers have a spread."""
        return self.n > 1 and bool(self.cell.deviation or self.control.deviation)

    @property
    def fails(self) -> bool:
        """True if a run of either failed, so that a mean is of those that are left."""
        return bool(self.cell.failed or self.control.failed)

    @property
    def trains(self) -> bool | None:
        """True if every planned run of the cell trains; None where that is not known."""
        return None if self.cell.trained is None else not self.cell.untrained


@dataclass
class Task:
    """The runs on one data set and network, by suite, method and setting of training."""

    suites: dict[str, dict[str, dict[Parts, Runs]]] = field(default_factory=dict)

    @property
    def methods(self) -> list[str]:
        """All methods, in the order of the suites."""
        return list(dict.fromkeys(method for runs in self.suites.values() for method in runs))

    def add(self, suite: str, setting: Parts, run: Run) -> None:
        """Add a run of `suite`."""
        methods = self.suites.setdefault(suite, {})
        settings = methods.setdefault(str(run.value(METHOD)), {})
        settings.setdefault(setting, {})[run.run_id] = run

    def compare(self, method: str, control: str, metric: Metric) -> Comparison | None:
        """Return both under their best settings; None where one has no number to compare."""
        shared = [runs for runs in self.suites.values() if {method, control} <= runs.keys()]
        choices = [_joined(_as_tuned(runs[name]) for runs in shared) for name in (method, control)]
        found = [_best(list(settings.values()), metric) for settings in choices]
        cell, base = (one if one is not None and one.n else None for one in found)
        if cell is None or base is None:
            return None
        return Comparison(cell, base, (len(choices[0]), len(choices[1])))


def _joined(suites: Iterable[Settings]) -> Settings:
    """Return the settings of several suites; a run of two enters once, if ended well as that."""
    found: Settings = {}
    for settings in suites:
        for setting, runs in settings.items():
            known = found.setdefault(setting, {})
            for name, run in runs.items():
                if name not in known or known[name].status != OK == run.status:
                    known[name] = run
    return found


def _best(settings: Sequence[Runs], metric: Metric) -> Aggregate | None:
    """Return the metric under the best setting; None without any, or where there are several
    without a validation accuracy to choose by."""
    if len(settings) < 2:
        return aggregate(settings[0].values(), metric) if settings else None
    rated = [(score, runs) for runs in settings if (score := _score(runs)) is not None]
    return aggregate(max(rated, key=lambda one: one[0])[1].values(), metric) if rated else None


def _score(runs: Runs) -> float | None:
    """Return the mean validation accuracy over seeds; that of a failed run is 0."""
    cell = aggregate(runs.values(), VALIDATION)
    if cell.mean is None:
        return None
    return round(cell.mean * cell.n / (cell.n + cell.failed), SCORE_DIGITS)


def find_tasks(suites: Iterable[SuiteResults]) -> list[Task]:
    """Return the tasks of all runs."""
    found: dict[Hashable, Task] = {}
    for suite in suites:
        for run in suite.runs:
            parts: tuple[dict[str, str], dict[str, str]] = ({}, {})
            for name, value in _changed(run.fields).items():
                parts[name == EPOCHS or name.partition(".")[0] in PARTS][name] = repr(value)
            parts[0].pop("seed", None)
            setting, task = (frozenset(part.items()) for part in parts)
            axes = frozenset(one for one in setting if one[0] in suite.axis_fields)
            key = (task, suite.folder if suite.area else None)  # an area is of this suite's curve
            found.setdefault(key, Task()).add(str(suite.folder), (axes, setting - axes), run)
    return list(found.values())


def _as_tuned(settings: Mapping[Parts, Runs]) -> Settings:
    """Return settings of equal axes that share no seed as one: a search's studies found them."""
    groups: dict[frozenset[Any], Settings] = {}
    for (axes, rest), runs in settings.items():
        groups.setdefault(axes, {})[axes | rest] = runs
    found: Settings = {}
    for known in groups.values():
        ended = [run for runs in known.values() for run in runs.values()]
        in_turns = len({run.seed for run in ended}) == len(ended)
        found |= (
            {frozenset(known): {run.run_id: run for run in ended}}
            if in_turns and len(known) > 1
            else known
        )
    return found


def _changed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that differ from their defaults, as older runs lack newer options.

    A method's options of the past are not in force, or its label says so.
    """
    known: dict[str, Any] = {}
    for section in (*SECTIONS, *CHOICES):
        known |= _defaults(section, str(fields.get(section)))
    own = any(key.startswith(f"{METHOD}.") for key in known)
    past = {key for key in fields if own and key.startswith(f"{METHOD}.") and key not in known}
    rest = ((key, value) for key, value in fields.items() if key not in past)
    return {key: value for key, value in rest if key not in known or known[key] != value}


@functools.cache
def _defaults(section: str, name: str) -> Mapping[str, Any]:
    """Return the defaults of a section's fields, of the choice `name` or that begins its label."""
    options = SECTIONS.get(section)
    if section in CHOICES:
        starts = [one for one in CHOICES[section] if f"{name}-".startswith(f"{one}-")]
        options = CHOICES[section][max(starts, key=len)] if starts else None
    found = options.model_fields if options else {}
    return {f"{section}.{option}": one.default for option, one in found.items()}
