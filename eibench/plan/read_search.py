"""Reading of a suite with a `search`: its problems, and the study of each arm."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eibench.errors import BadSuite, UserError, did_you_mean
from eibench.plan.expand import MOST_STUDIES, Expansion
from eibench.plan.layers import LayeredValues, Located, Origin, Override
from eibench.plan.protocol import (
    enqueue_problems,
    enqueued,
    fresh_seeds,
    misfits,
    tuning_seeds,
)
from eibench.plan.search import SearchPlan, StudyPlan
from eibench.plan.space import DEFAULT_TRIALS, MOST_POINTS, SearchFile, SearchParameter
from eibench.plan.suite import METHOD, PlannedRun, SuiteFile, read_suite
from eibench.plan.suite_checks import within
from eibench.plan.validate import show
from eibench.plan.yaml_source import Keys, YamlDocument

OFF_LIMITS = ("seed", "probe")
"""Keys that cannot be searched."""
MOST_TRIED = 10_000
"""Settings that are checked before a search begins, in all studies."""


def load_search(path: Path, settings: list[Override], trials: int | None = None) -> SearchPlan:
    """Return the search of the suite at `path` under `--set`, and `--trials`.

    A `--set` key is no longer searched.

    Raises:
        UserError: the file cannot be read, or has no search.
        BadSuite: every problem found, each with file, line and key.
    """
    document, suite = read_suite(path)
    if suite.search is None:
        raise UserError(f"{path}: has no `search`; `eibench run {path}` runs it")
    return _SearchReader(document, suite, suite.search, settings).search(trials)


class _SearchReader:
    """A suite with a search, and the problems found in it."""

    def __init__(
        self, document: YamlDocument, suite: SuiteFile, search: SearchFile, settings: list[Override]
    ) -> None:
        self.document, self.suite, self.options, self.settings = document, suite, search, settings
        self.expansion = Expansion(document, suite, settings)
        self.problems: list[str] = []
        listed = () if search.confirm else suite.seeds
        self.tuning_seeds = tuning_seeds(search, listed)
        used = {seed for seeds in self.tuning_seeds for seed in seeds}
        self.seeds = fresh_seeds(search.confirm, used) if search.confirm else suite.seeds

    def search(self, trials: int | None) -> SearchPlan:
        self._check()
        arms = self.expansion.arms()
        self._check_tune([run for run, _ in arms])
        fields = self._arm_fields([run for run, _ in arms])
        studies = tuple(self._study(run, draft, fields) for run, draft in arms)
        self._check_sizes(studies)
        self._note_all(misfits(studies, self.options))
        self._stop_if_wrong()
        budget = self._trials(trials, studies)
        studies = tuple(self._with_first_settings(study, budget) for study in studies)
        for study in studies:
            self._try_out(study)
        self._stop_if_wrong()
        found = SearchPlan(
            name=self.suite.name,
            title=self.suite.title,
            axes=tuple(fields),
            options=self.options,
            trials=budget,
            seeds=tuple(self.seeds),
            studies=tuple(repeat for study in studies for repeat in self._repeats(study)),
            expansion=self.expansion,
        )
        found.confirmation({})  # reads references now, not after all trials
        return found

    def _trials(self, asked: int | None, studies: Sequence[StudyPlan]) -> int:
        wanted = asked or self.options.trials
        if self.options.sampler == "grid":
            whole = max(study.grid_size() for study in studies)
            return min(wanted or whole, whole)
        return wanted or DEFAULT_TRIALS

    def _note(self, text: str, *keys: str | int) -> None:
        self.problems.append(Origin(self.document, ("search", *keys)).message(text))

    def _note_all(self, problems: Iterable[tuple[str, Keys]]) -> None:
        for text, keys in problems:
            self._note(text, *keys)

    def _stop_if_wrong(self) -> None:
        if self.problems:
            raise BadSuite(self.problems)

    def _check(self) -> None:
        """Note problems that the schema cannot see."""
        suite, options = self.suite, self.options
        for key in ("ablate", "tuned", "tuned_by"):
            if getattr(suite, key):
                self.problems.append(
                    Origin(self.document, (key,)).message("does not go with `search`")
                )
        if suite.kind != "train":
            self._note("belongs to suites that train")
        for i, seed in enumerate(options.seeds):
            if seed in options.seeds[:i]:
                self._note(f"{seed} is listed twice", "seeds", i)
            if seed in self.seeds:
                text = f"{seed} is one of the suite's `seeds`, which the search must not use"
                self._note(text, "seeds", i)
        if options.confirm and "seeds" in suite.model_fields_set:
            self._note("the suite lists `seeds` as well; one of the two is enough", "confirm")
        if options.studies > len(self.tuning_seeds):
            self._note("leave no larger ones for further studies", "seeds")
        if options.studies > len(self.seeds):
            text = f"{options.studies} winners of a combination cannot share {len(self.seeds)}"
            self._note(f"{text} fresh seeds: `confirm` or `seeds` must be as many", "studies")
        self._note_all(enqueue_problems(options))
        for keys, key, parameter in self._parameters():
            self._check_parameter(keys, key, parameter)
        self._stop_if_wrong()

    def _parameters(self) -> Iterator[tuple[Keys, str, SearchParameter]]:
        """Yield every parameter with its place below `search`."""
        for key, parameter in self.options.space.items():
            yield ("space", key), key, parameter
        for name, space in self.options.tune.items():
            for key, known in space.items():
                if known is not None:  # else the key is taken out
                    yield ("tune", name, key), key, known

    def _check_parameter(self, keys: Keys, key: str, known: SearchParameter) -> None:
        for axis in (*self.suite.grid, *self.suite.zip):
            option_of_a_method = axis == METHOD and within(key, {f"{METHOD}."}) and key != METHOD
            if not option_of_a_method and (within(axis, {f"{key}."}) or within(key, {f"{axis}."})):
                self._note("is an axis of grid or zip as well", *keys)
        if key.partition(".")[0] in OFF_LIMITS:
            self._note("cannot be searched", *keys)
        if self.options.sampler == "grid" and known.count() is None:
            self._note("a grid needs `choices`, or a range with a `step`", *keys)

    def _check_tune(self, runs: Sequence[PlannedRun]) -> None:
        known = sorted({name for run in runs for name in (run.spec.method.name, run.method)})
        for name in self.options.tune:
            if name not in known:
                hint = f"allowed: {', '.join(known)}{did_you_mean(name, known)}"
                self._note(f"no run uses this method; {hint}", "tune", name)

    def _arm_fields(self, runs: Sequence[PlannedRun]) -> list[str]:
        """Return the fields in which the arms differ, in the order of the axes.

        An axis that sets a whole section (`model`) has several: a field that the ones before it
        determine is left out.
        """
        axes = [METHOD if a.partition(".")[0] == METHOD else a for a in self.expansion.axes]
        known = [run.fields() for run in runs]
        found: dict[str, None] = {}
        for axis in dict.fromkeys(axes):
            kept: list[str] = []
            for key in dict.fromkeys(key for fields in known for key in fields):
                named = key == METHOD if axis == METHOD else within(key, {f"{axis}."})
                if named and _number(known, [*kept, key]) > _number(known, kept):
                    kept.append(key)
            found |= dict.fromkeys(kept)
        return list(found)

    def _study(self, run: PlannedRun, draft: LayeredValues, fields: Sequence[str]) -> StudyPlan:
        """Return the study of an arm; note an empty space."""
        arm = {key: run.fields()[key] for key in fields if key in run.fields()}
        words = [v if isinstance(v, str) else f"{k.rpartition('.')[2]} {v}" for k, v in arm.items()]
        name = ", ".join(words) or run.method
        space, origins = self._space(run)
        seeds = self.tuning_seeds[0]
        study = StudyPlan(name, arm, run, space, draft, origins, self.settings, seeds)
        if not space:
            self._note(
                f"nothing is searched for {name}; `space` is for every method, `tune` for one"
            )
        return dataclasses.replace(study, space=dict(_with_whole_numbers(study)))

    def _with_first_settings(self, study: StudyPlan, trials: int) -> StudyPlan:
        """Return the study with what it tries first; note settings beyond its trials."""
        found = dataclasses.replace(study, enqueued=enqueued(self.options, study))
        if self.options.enqueue and (number := len(found.first_settings())) > trials:
            text = f"{number} settings, the base's with them, are to be tried first in {study.name}"
            self._note(f"{text}, which has {trials} trials", "enqueue")
        return found

    def _repeats(self, study: StudyPlan) -> Iterator[StudyPlan]:
        """Yield the studies of an arm, which differ in their seeds."""
        for number, seeds in enumerate(self.tuning_seeds, start=1):
            repeat = number if self.options.studies > 1 else None
            yield dataclasses.replace(study, seeds=seeds, repeat=repeat)

    def _check_sizes(self, studies: Sequence[StudyPlan]) -> None:
        """Note too many studies, spaces with too many values, or too many ends to check."""
        if (number := len(studies) * self.options.studies) > MOST_STUDIES:
            text = f"{self.options.studies} for each combination are {number:,} studies"
            self._note(f"{text}; at most {MOST_STUDIES:,}", "studies")
        for study in studies:
            for key, known in study.space.items():
                if problem := known.too_many():
                    self.problems.append(Origin(self.document, study.origins[key]).message(problem))
            if self.options.sampler == "grid" and study.grid_size() > MOST_POINTS:
                self._note(f"the grid of {study.name} has more than {MOST_POINTS:,} points")
        if sum(study.corner_count() for study in studies) > MOST_TRIED:
            self._note(f"has more than {MOST_TRIED:,} choices and ends of ranges to try out")

    def _space(self, run: PlannedRun) -> tuple[dict[str, SearchParameter], dict[str, Keys]]:
        """Return the space of a run, and where each key is written.

        A space for the method's label goes before one for its name, and that before the common one.
        """
        replaced = {f"{setting.key}." for setting in self.settings}
        spaces: dict[Keys, Mapping[str, SearchParameter | None]] = {
            ("search", "space"): self.options.space
        }
        for name in (run.spec.method.name, run.method):
            spaces["search", "tune", name] = self.options.tune.get(name, {})
        space: dict[str, SearchParameter | None] = {}
        origins: dict[str, Keys] = {}
        for keys, found in spaces.items():
            kept = {key: known for key, known in found.items() if not within(key, replaced)}
            space |= kept
            origins |= {key: (*keys, key) for key in kept}
        return {key: known for key, known in space.items() if known is not None}, origins

    def _try_out(self, study: StudyPlan) -> None:
        """Note ends of the space that no run can have."""
        for corner in study.corners():
            try:
                study.spec(corner, self.options.seeds[0])
            except Located as located:
                self.problems += [_blamed(study, corner, text) for text in located.messages]
        for i, setting in enumerate(study.enqueued):
            if refusal := study.refusal(setting):
                self._note(f"{study.name} cannot have it: {refusal}", "enqueue", i)


def _blamed(study: StudyPlan, corner: Mapping[str, Any], message: str) -> str:
    """Return a problem of a corner, with the corner's values where it names none of them."""
    document = study.draft.origins[()].document
    origins = [Origin(document, study.origins[key]) for key in corner]
    if any(message.startswith(origin.message("")) for origin in origins):
        return message
    words = ", ".join(f"{key} {show(value)}" for key, value in corner.items())
    return origins[0].message(f"{words}: {message}")


def _number(known: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> int:
    """Return the number of combinations of values that the fields have under these keys."""
    return len({repr([fields.get(key) for key in keys]) for fields in known})


def _with_whole_numbers(study: StudyPlan) -> Iterator[tuple[str, SearchParameter]]:
    """Yield the space, with ranges of whole numbers for keys that take no others."""
    for key, known in study.space.items():
        yield key, known.whole() if _takes_whole_numbers_alone(study, key, known) else known


def _takes_whole_numbers_alone(study: StudyPlan, key: str, known: SearchParameter) -> bool:
    if not isinstance(known.low, int) or not isinstance(known.high, int):
        return False
    try:
        study.spec({key: known.low + 0.5}, 0)
    except Located:
        return True
    return False
