"""The studies of a suite with a `search`, and the suite that their winners make.

Every combination of the suite's axes is an arm and has its own study, or several: the same number
of trials, with the same sampler and seeds, over the method's space. Winners become clauses of
`tuned`. The winners of several studies of an arm share its fresh seeds, in turns.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from eibench.plan.expand import Expansion
from eibench.plan.layers import LayeredValues, Located, Origin, Override
from eibench.plan.space import SearchFile, SearchParameter
from eibench.plan.spec import RunSpec
from eibench.plan.suite import SEED, Plan, PlannedRun, SuiteFile, Tuned
from eibench.plan.yaml_source import Keys

T = TypeVar("T")
MOST_CORNERS = 64
"""Combinations of ends of a space that are checked before a search begins."""
REPEAT = "repeat"
"""Axis of a search whose arms have several studies: their numbers, from 1."""
Winners = Mapping[str, Mapping[str, Any]]
"""Values that won, by study."""


@dataclass(frozen=True)
class StudyPlan:
    """A search of one arm."""

    label: str
    """The arm's name: `ei, depth 8`."""
    arm: Mapping[str, Any]
    """The axes' fields in which the arms differ; empty for a single arm."""
    base: PlannedRun
    """The arm's run before anything is tuned."""
    space: Mapping[str, SearchParameter]
    draft: LayeredValues = field(repr=False)
    origins: Mapping[str, Keys] = field(repr=False)
    """Where the suite writes each parameter."""
    settings: Sequence[Override] = field(repr=False)
    seeds: tuple[int, ...]
    """Seeds of a trial's runs."""
    enqueued: Sequence[Mapping[str, Any]] = ()
    """Settings to try first, as far as the space has their keys."""
    repeat: int | None = None
    """Number of the study, from 1, where the arm has several."""

    @property
    def name(self) -> str:
        """Name, unique in its suite: `ei, depth 8`, or `ei, depth 8, study 2`."""
        return self.label if self.repeat is None else f"{self.label}, study {self.repeat}"

    @property
    def stream(self) -> str:
        """Name under which trials are drawn and kept: the first study is the one of a search with
        a single study, so that `studies` may be raised."""
        return self.label if self.repeat == 1 else self.name

    @property
    def axes(self) -> dict[str, Any]:
        """The fields that tell the study from all others."""
        return {**self.arm, **({} if self.repeat is None else {REPEAT: self.repeat})}

    def spec(self, values: Mapping[str, Any], seed: int) -> RunSpec:
        """Return the run of a trial.

        Raises:
            Located: values that no run can have.
        """
        draft = self.draft.copy()
        document = draft.origins[()].document
        for key in sorted(values, key=lambda key: key.count(".")):
            origin = Origin(document, self.origins[key])
            draft.assign(tuple(key.split(".")), values[key], origin)
        for setting in self.settings:
            draft.assign(setting.path, setting.value, Origin(document, (), str(setting)))
        return dataclasses.replace(draft.spec(), seed=seed)

    def refusal(self, values: Mapping[str, Any]) -> str | None:
        """Return why no run can have `values`, or None."""
        try:
            self.spec(values, 0)
        except Located as located:
            return "; ".join(located.messages)
        return None

    def run(self, values: Mapping[str, Any], seed: int) -> PlannedRun:
        """Return the run of a trial under the name of the arm's method."""
        spec = self.spec(values, seed)
        called = self.base.method if spec.method.label != self.base.method else None
        return PlannedRun(spec.run_id, spec, None, called)

    def start(self) -> dict[str, Any] | None:
        """Return what the base has for the searched keys; None if a value is out of range."""
        values = self._base_values()
        return values if len(values) == len(self.space) else None

    def first_settings(self) -> list[dict[str, Any]]:
        """Return the settings of the first trials: the base's own, and those that are enqueued.

        A key that neither sets within its range is absent; the sampler draws it. A setting that
        repeats one before it is left out.
        """
        start, base = self.start(), self._base_values()
        found = [] if start is None else [start]
        for setting in self.enqueued:
            known = {**base, **setting}
            ordered = {key: known[key] for key in self.space if key in known}
            if setting and ordered not in found:
                found.append(ordered)
        return found

    def _base_values(self) -> dict[str, Any]:
        """Return what the base has for the searched keys, where it lies within the range."""
        values = {key: _value(self.base.spec, key) for key in self.space}
        return {key: value for key, value in values.items() if self.space[key].holds(value)}

    def corners(self) -> list[dict[str, Any]]:
        """Return the settings that are checked before a search: each end alone, and all
        combinations of ends if they are few."""
        alone = [{key: end} for key, known in self.space.items() for end in known.ends()]
        ends = [known.ends() for known in self.space.values()]
        if math.prod(map(len, ends)) > MOST_CORNERS:
            return alone
        together = [dict(zip(self.space, pick, strict=True)) for pick in itertools.product(*ends)]
        return [*alone, *together]

    def corner_count(self) -> int:
        """Return the number of `corners`."""
        ends = [len(known.ends()) for known in self.space.values()]
        return sum(ends) + (math.prod(ends) if math.prod(ends) <= MOST_CORNERS else 0)

    def grid_size(self) -> int:
        """Return the number of points of a grid."""
        return math.prod(known.count() or 0 for known in self.space.values())

    def grid_point(self, number: int) -> dict[str, Any]:
        """Return point `number`, from 0, of the grid; the last key changes first."""
        values = {}
        for key, known in reversed(list(self.space.items())):
            number, i = divmod(number, known.count() or 1)
            values[key] = known.point(i)
        return {key: values[key] for key in self.space}


@dataclass(frozen=True)
class SearchPlan:
    """A suite's studies and the budget of each."""

    name: str
    title: str
    axes: tuple[str, ...]
    options: SearchFile
    trials: int
    """Number of trials of each study."""
    seeds: tuple[int, ...]
    """Seeds of the winners' runs."""
    studies: tuple[StudyPlan, ...]
    expansion: Expansion = field(repr=False)

    def budget(self, study: StudyPlan) -> int:
        """Return the number of trials of `study`: at most the points of its grid."""
        grid = self.options.sampler == "grid"
        return min(self.trials, study.grid_size()) if grid else self.trials

    @property
    def arms(self) -> list[StudyPlan]:
        """The first study of each arm."""
        return [study for study in self.studies if study.repeat in (None, 1)]

    @property
    def tuning_seeds(self) -> list[tuple[int, ...]]:
        """Seeds of the trials, for each study of an arm."""
        return list(dict.fromkeys(study.seeds for study in self.studies))

    def fresh_seeds(self, study: StudyPlan, winners: Winners) -> tuple[int, ...]:
        """Return the seeds under which the winner of `study` is confirmed."""
        rivals = [s for s in self.studies if s.label == study.label and s.name in winners]
        return in_turns(self.seeds, rivals, study)

    def base_plan(self) -> Plan:
        """Return the arms' runs before tuning, as a plan."""
        runs = tuple(study.base for study in self.arms)
        return Plan(
            self.name,
            self.title,
            self.axes,
            runs,
            plugins=self.expansion.plugins,
            files=self.expansion.files(),
        )

    def tuned_suite(self, winners: Winners) -> SuiteFile:
        """Return the suite with the winners' values in place of its search."""
        clauses = [
            Tuned(where=self._where(study, winners), set=dict(winners[study.name]))
            for study in self.studies
            if study.name in winners and self.fresh_seeds(study, winners)
        ]
        changes: dict[str, Any] = {"search": None, "tuned": clauses, "tuned_by": self.name}
        changes |= {"seeds": list(self.seeds)}
        return self.expansion.suite.model_copy(update=changes)

    def _where(self, study: StudyPlan, winners: Winners) -> dict[str, Any]:
        """Return the fields of the runs that a winner's values are for."""
        if study.repeat is None:
            return dict(study.arm)
        return {**study.arm, SEED: list(self.fresh_seeds(study, winners))}

    def confirmation(self, winners: Winners) -> Plan:
        """Return the winners' runs under fresh seeds; arms without a winner have none."""
        suite, before = self.tuned_suite(winners), self.expansion
        plan = Expansion(before.document, suite, before.settings).plan(list(self.seeds))
        arms = [study.arm for study in self.studies if study.name in winners]
        return dataclasses.replace(plan, runs=tuple(r for r in plan.runs if _in_one(r, arms)))


def in_turns(seeds: Sequence[int], rivals: Sequence[T], one: T) -> tuple[int, ...]:
    """Return the share of `one` of the seeds that `rivals` take in turns; none for an outsider."""
    return tuple(seeds[rivals.index(one) :: len(rivals)]) if one in rivals else ()


def _value(spec: RunSpec, key: str) -> Any:
    """Return the value at a dotted key of a run, or None."""
    value: Any = spec.to_dict()
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _in_one(run: PlannedRun, arms: Sequence[Mapping[str, Any]]) -> bool:
    fields = run.fields()
    return any(all(fields.get(key) == value for key, value in arm.items()) for arm in arms)
