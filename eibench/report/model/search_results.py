"""A search's results as plain values: its studies, their trials, and what was confirmed.

A search leaves `results/NAME/search/plan.json` (kind `search`: every study and trial, and the runs
of the trials) and, once its winners have been run on fresh seeds, an ordinary `results/NAME`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eibench.errors import UserError
from eibench.plan.search import REPEAT, in_turns
from eibench.plan.space import SearchParameter
from eibench.plan.suite import METHOD
from eibench.report.model.suite_results import SuiteResults, known_fields, read_run, read_suite
from eibench.results.cells import Aggregate, Run, Value, aggregate
from eibench.results.display import shown
from eibench.results.labels import seeds_in_words, show_field, show_value
from eibench.results.metrics import METRICS, Metric, find_metric
from eibench.results.paths import SEARCH, has_plan, suite_folders
from eibench.results.store import kind_of, read_plan

COMPLETE, PRUNED, FAILED, RUNNING = "complete", "pruned", "failed", "running"
"""States of a trial."""
DIVERGED = "diverged"
"""Stands beside the states of a trial: it is complete, and its score is that of chance."""
STATES = (COMPLETE, DIVERGED, PRUNED, FAILED, RUNNING)
TEST = METRICS["test_accuracy"]


@dataclass(frozen=True)
class Trial:
    """One setting that a search tried."""

    number: int
    """From 0, in the order of asking."""
    values: Mapping[str, Any]
    """Settings by dotted key; a choice with options is a mapping."""
    state: str
    reason: str | None
    """Why it diverged or failed. A diverged trial is complete, and has the score of chance."""
    scores: Mapping[str, float]
    """By metric, averaged over the search's seeds; the last one of a pruned trial."""
    runs: tuple[str, ...]
    """Ids of its runs, one for each seed of the search."""
    seconds: float
    epochs: int
    loss: float | None = None
    """Validation loss, which decides between equal accuracies."""

    @property
    def diverged(self) -> bool:
        """True if a run of it diverged, so that its score is that of chance."""
        return self.state == COMPLETE and self.reason is not None

    @property
    def counts(self) -> bool:
        """True if it can win."""
        return self.state == COMPLETE and self.reason is None


@dataclass(frozen=True)
class Study:
    """The search for one method under one combination of the suite's axes."""

    name: str
    arm: Mapping[str, Value]
    """The axes' values: `{"method": "ei", "model.depth": 8}`; empty for a suite without axes.
    Several studies of one combination are told apart by `REPEAT`."""
    space: Mapping[str, Mapping[str, Any]]
    """By dotted key: `{"low", "high", "log", "step"}` or `{"choices"}`."""
    trials: tuple[Trial, ...]
    winner: int | None
    """Number of the trial with the best score; None while none counts."""
    importances: Mapping[str, float] | None
    """Share of each key in the variance of the score (fANOVA); None if not to be told."""
    seeds: tuple[int, ...] = ()
    """Seeds of its trials, where an arm has several studies."""

    @property
    def combination(self) -> dict[str, Value]:
        """The fields of its runs in which combinations of the suite's axes differ."""
        return {key: value for key, value in self.arm.items() if key != REPEAT}

    @property
    def best(self) -> Trial | None:
        """The winner itself."""
        found = (trial for trial in self.trials if trial.number == self.winner)
        return next(found, None)

    @property
    def edges(self) -> dict[str, Any]:
        """Ends of ranges at which the winner lies, by key."""
        values = self.best.values if self.best else {}
        spaces = {key: SearchParameter.model_construct(**s) for key, s in self.space.items()}
        ends = {key: spaces[key].edge(v) for key, v in values.items() if key in spaces}
        return {key: end for key, end in ends.items() if end is not None}


@dataclass(frozen=True)
class Search:
    """All studies of one suite, and the budget that each of them had."""

    folder: Path
    """The suite's results: `results/NAME`."""
    name: str
    title: str
    axes: tuple[str, ...]
    metric: Metric
    """Chooses the winner."""
    trials: int
    """Asked for in each study."""
    sampler: str
    sampler_seed: int
    pruner: str
    raised_from: tuple[int, ...]
    """Smaller numbers of trials that earlier commands asked for."""
    seeds: tuple[int, ...]
    """Seeds of the trials; of the first study where a combination has several."""
    confirm_seeds: tuple[int, ...]
    """Seeds of the winners' fresh runs."""
    studies: tuple[Study, ...]
    runs: tuple[Run, ...]
    """Runs of all trials."""
    confirmed: SuiteResults | None
    """The winners under fresh seeds; None while they have not been run."""
    displayed: bool = False
    """True where a paper's names are printed."""

    def name_of(self, field: str, value: Value) -> str:
        """Return a field's value as it is printed."""
        given = self.confirmed.labels if self.confirmed else {}
        return shown(field, value, given) if self.displayed else show_value(value)

    def called(self, study: Study) -> str:
        """Return the values of the axes that tell `study` from the others."""
        return ", ".join(
            self.name_of(axis, value) if isinstance(value, str) else show_field(axis, value)
            for axis, value in study.arm.items()
        )

    @property
    def keys(self) -> set[str]:
        """All that any study searched."""
        return {key for study in self.studies for key in study.space}

    @property
    def tried_under(self) -> str:
        """Seeds of the trials in words; of several studies each."""
        own = [s for s in self.studies if s.seeds]
        words = [f"{seeds_in_words(s.seeds)} in study {s.arm.get(REPEAT)}" for s in own]
        return ", ".join(dict.fromkeys(words)) or seeds_in_words(self.seeds)

    def fresh_seeds(self, study: Study) -> tuple[int, ...]:
        """Return the seeds under which the winner of `study` is confirmed.

        The winners of several studies of one combination share the seeds, in turns.
        """
        if REPEAT not in study.arm:
            return self.confirm_seeds
        rivals = [s.name for s in self.studies if s.best and s.combination == study.combination]
        return in_turns(self.confirm_seeds, rivals, study.name)

    def confirmed_runs(self, study: Study) -> list[Run]:
        """Return the fresh runs of a study's winner."""
        if self.confirmed is None:
            return []
        seeds = self.fresh_seeds(study) if REPEAT in study.arm else None
        return [
            run
            for run in self.confirmed.runs
            if all(run.value(key) == value for key, value in study.combination.items())
            and (seeds is None or run.seed in seeds)
        ]


@dataclass(frozen=True)
class Spent:
    """Trials by their end, and what they cost together."""

    states: Mapping[str, int]
    """Number of trials in each of `STATES`."""
    epochs: int
    seconds: float

    @property
    def finished(self) -> int:
        """Trials that have ended in any way."""
        return sum(self.states.values()) - self.states[RUNNING]

    @property
    def cut_short(self) -> int:
        """Trials that may have had fewer epochs than they would have had."""
        return self.states[DIVERGED] + self.states[PRUNED] + self.states[FAILED]


def state(trial: Trial) -> str:
    """Return how a trial ended: one of `STATES`."""
    return DIVERGED if trial.diverged else trial.state


def spent(studies: Iterable[Study]) -> Spent:
    """Return what some studies spent together."""
    trials = [trial for study in studies for trial in study.trials]
    states = [state(trial) for trial in trials]
    return Spent(
        {known: states.count(known) for known in STATES},
        sum(trial.epochs for trial in trials),
        sum(trial.seconds for trial in trials),
    )


@dataclass(frozen=True)
class Confirmation:
    """A study's winner, seen twice."""

    study: Study
    metric: Metric
    """Chose the winner."""
    runs: Sequence[Run]
    """The fresh runs of the winner's setting."""
    outdated: bool
    """True if the fresh runs are of another setting; these are left out."""

    @property
    def score(self) -> float | None:
        """In the search; None without a winner."""
        best = self.study.best
        return None if best is None else best.scores.get(self.metric.name)

    @property
    def confirmed(self) -> Aggregate:
        """The same metric under the fresh seeds."""
        return aggregate(self.runs, self.metric)

    @property
    def test(self) -> Aggregate:
        """Test accuracy under the fresh seeds."""
        return aggregate(self.runs, TEST)

    @property
    def optimism(self) -> float | None:
        """By how much the score is better than the confirmed mean."""
        mean = self.confirmed.mean
        if self.score is None or mean is None:
            return None
        return self.score - mean if self.metric.better == "higher" else mean - self.score


def confirmations(search: Search) -> list[Confirmation]:
    """Return the confirmation of each study, in their order."""
    return [_confirmation(search, study) for study in search.studies]


def _confirmation(search: Search, study: Study) -> Confirmation:
    runs = search.confirmed_runs(study)
    outdated = _outdated(search, study, runs)
    return Confirmation(study, search.metric, [] if outdated else runs, outdated)


def _outdated(search: Search, study: Study, fresh: Sequence[Run]) -> bool:
    """Return whether fresh runs have another setting than the winner, which is newer."""
    if study.best is None:
        return bool(fresh)
    tried = next((run for run in search.runs if run.run_id in study.best.runs), None)
    if tried is None:
        return False
    return any(_setting(run, study.space) != _setting(tried, study.space) for run in fresh)


def _setting(run: Run, space: Iterable[str]) -> dict[str, Any]:
    """Return what a run has of the keys of `space`; a key may be a section, `neuron` or `method`.

    Of a method's label only the name: fresh runs have it plainer, and its options are fields.
    """
    found = {
        field: value
        for field, value in run.fields.items()
        if any(field == key or field.startswith(f"{key}.") for key in space)
    }
    return found | {METHOD: str(run.value(METHOD)).partition("-")[0]}


def read_searches(paths: Iterable[Path]) -> list[Search]:
    """Return the searches at or below `paths`, each once, sorted; none is no error."""
    found = (folder for path in paths for folder in suite_folders(path))
    folders = {f.resolve(): f for f in found if kind_of(read_plan(f)) == SEARCH}
    return [read_search(folder) for folder in sorted(folders.values())]


def read_search(folder: Path) -> Search:
    """Return the search whose plan lies in `folder`; raise `UserError` where it is damaged."""
    plan = read_plan(folder)
    if kind_of(plan) != SEARCH:
        raise UserError(f"{folder}: no search, but a plan of kind {kind_of(plan)}")
    if folder.resolve().name != SEARCH:
        raise UserError(f"{folder}: a search must lie in a folder called {SEARCH!r}")
    known = plan["search"]
    above = (folder.resolve() if folder.name in ("", "..") else folder).parent
    return Search(
        folder=above,
        name=plan["suite"],
        title=plan["title"],
        axes=tuple(plan["axes"]),
        metric=find_metric(known["objectives"][0]),
        trials=known["trials"],
        sampler=known["sampler"],
        sampler_seed=known["sampler_seed"],
        pruner=known["pruner"],
        raised_from=tuple(known.get("raised_from", ())),
        seeds=tuple(known["seeds"]),
        confirm_seeds=tuple(known["confirm_seeds"]),
        studies=tuple(_study(study) for study in plan["studies"]),
        runs=tuple(read_run(folder / run["run_id"], run["fields"]) for run in plan["runs"]),
        confirmed=read_suite(above) if has_plan(above) else None,
    )


def _study(study: Mapping[str, Any]) -> Study:
    trials = [known_fields(Trial, trial, runs=tuple(trial["runs"])) for trial in study["trials"]]
    return known_fields(Study, study, trials=tuple(trials), seeds=tuple(study.get("seeds", ())))
