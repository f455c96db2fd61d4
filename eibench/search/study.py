"""A study that goes on after a kill: batches of trials, and the journal of those that have ended.

The trials of a batch are drawn from the results of all earlier batches and from nothing else, so
that they depend neither on the number of workers nor on their speed. Only ended trials are stored,
a line each, in order. After a kill the open batch is drawn again; runs that ended cost nothing.
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from eibench.errors import UserError
from eibench.plan.search import SearchPlan, StudyPlan
from eibench.plan.space import SearchParameter, tidy
from eibench.results.cells import SCORE_DIGITS
from eibench.results.paths import JOURNAL
from eibench.search.journal import FINGERPRINT, HINT, fingerprint, study_name
from eibench.training.seeds import stream_seed

BATCH = 4
"""Trials of a study that are drawn together, and may run at once."""
RANDOM_TRIALS = 2 * BATCH
"""Trials that are drawn at random before the sampler has results to go by."""
LARGEST_SEED = 2**32
"""Seeds of Optuna's samplers are below it."""
SCALARS = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Outcome:
    """The runs of an ended trial, taken together."""

    state: TrialState
    """Complete, pruned, or failed: a run crashed or ran out of memory."""
    reason: str | None = None
    """The reason why it failed, or diverged."""
    score: float | None = None
    """Validation accuracy, averaged over the runs; None where no run could be measured."""
    loss: float | None = None
    """Validation loss, averaged likewise, which decides between equal accuracies."""
    seconds: float = 0.0
    epochs: int = 0
    runs: Sequence[str] = ()
    """The ids of the runs that left anything."""

    def notes(self) -> dict[str, Any]:
        """Return what is stored with the trial; see `eibench.search.journal.TrialNotes`."""
        known = dataclasses.asdict(self)
        return {key: known[key] for key in ("reason", "loss", "seconds", "epochs", "runs")}


@dataclass
class OpenTrial:
    """A trial of the batch under way."""

    number: int
    values: Mapping[str, Any]
    asked: optuna.Trial
    started: bool = False
    outcome: Outcome | None = None
    """None until its runs have ended."""
    reported: int = 0
    prunes: bool = False
    """The pruner has asked to stop it."""

    def report(self, step: int, score: float, last: bool) -> None:
        """Note the score after `step` epochs, once; the pruner is not asked after the last one."""
        if step <= self.reported:
            return
        self.reported = step
        self.asked.report(score, step)
        self.prunes = self.prunes or (not last and self.asked.should_prune())


class ResumableStudy:
    """A study's ended trials, in the journal, and the batch under way, in memory."""

    def __init__(self, plan: StudyPlan, search: SearchPlan, storage: JournalStorage) -> None:
        self.plan, self.search = plan, search
        self.total = search.budget(plan)
        self.space = {key: distribution(known) for key, known in plan.space.items()}
        self.study = optuna.create_study(
            storage=storage,
            study_name=study_name(search, plan),
            direction="maximize",
            load_if_exists=True,
        )
        if FINGERPRINT not in self.study.user_attrs:
            self.study.set_user_attr(FINGERPRINT, fingerprint(search, plan))
        self.told = self.study.get_trials()
        if any(trial.distributions != self.space for trial in self.told):
            raise UserError(f"{JOURNAL}: trials of {plan.name} are of another space; {HINT}")
        self.batch: list[OpenTrial] = []

    @property
    def begun(self) -> int:
        """Number of trials that have ended or are under way."""
        return len(self.told) + sum(trial.started for trial in self.batch)

    def following(self) -> OpenTrial | None:
        """Return the next trial to run; None while the batch has to end first, or at the end.

        A trial waits for one with the same values: both would write the same files.
        """
        if not self.batch:
            self.batch = self._next_batch()
        busy = [t.values for t in self.batch if t.started and t.outcome is None]
        for trial in self.batch:
            if not trial.started and trial.values not in busy:
                trial.started = True
                return trial
        return None

    def end(self, trial: OpenTrial, outcome: Outcome) -> None:
        """Note the outcome of a trial. With the last one of a batch, all are told in order."""
        trial.outcome = outcome
        outcomes = [trial.outcome for trial in self.batch if trial.outcome is not None]
        if len(outcomes) == len(self.batch):
            for ended, its_outcome in zip(self.batch, outcomes, strict=True):
                self._tell(ended, its_outcome)
            self.batch = []

    def winner(self) -> int | None:
        """Return the number of the best trial: the highest score, of equal ones the lowest loss,
        then the earliest. A trial of which a run diverged cannot win."""

        def merit(number: int) -> tuple[float, float]:
            told = self.told[number]
            score = round(told.value or 0.0, SCORE_DIGITS)  # sums are rounded in their order
            return score, -(told.user_attrs["loss"] or 0.0)

        complete = [i for i, t in enumerate(self.told) if t.state == TrialState.COMPLETE]
        undiverged = [i for i in complete if self.told[i].user_attrs["reason"] is None]
        return max(undiverged, key=merit, default=None)

    def values(self, trial: FrozenTrial) -> dict[str, Any]:
        """Return what an ended trial set in its runs."""
        return to_values(trial.params, self.plan.space)

    def _tell(self, trial: OpenTrial, outcome: Outcome) -> None:
        """Tell Optuna the outcome and append the trial to the journal, in one line."""
        for key, value in outcome.notes().items():
            trial.asked.set_user_attr(key, value)
        tell = trial.asked.study.tell
        score = outcome.score if outcome.state == TrialState.COMPLETE else None
        ended = tell(trial.asked, score, state=outcome.state)
        self.study.add_trial(ended)
        self.told.append(ended)

    def _next_batch(self) -> list[OpenTrial]:
        """Ask for the next batch, or for what a kill, or fewer trials in all, left of one.

        Its pruner compares with the trials of earlier batches, and so do the samplers.
        """
        start = len(self.told) - len(self.told) % BATCH
        known, chosen = self.told[:start], [self.values(told) for told in self.told[start:]]
        epochs = self.plan.base.spec.train.epochs * len(self.plan.seeds)
        study = optuna.create_study(
            direction="maximize",
            sampler=RandomSampler(),  # not used: all values are enqueued
            pruner=make_pruner(self.search.options.pruner, epochs),
        )
        study.add_trials(known)
        batch = []
        for number in range(len(self.told), min(start + BATCH, self.total)):
            chosen.append(self._choose(number, known, chosen))
            study.enqueue_trial(to_params(chosen[-1]))
            batch.append(OpenTrial(number, chosen[-1], study.ask(self.space)))
        return batch

    def _choose(
        self, number: int, known: Sequence[FrozenTrial], batch: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Return the values of a trial: a point of the grid, a setting tried first, or the
        sampler's.

        The sampler knows the results of earlier batches, and the values drawn before in this one.
        It also draws the keys that a setting leaves open.
        """
        options = self.search.options
        if options.sampler == "grid":
            return self.plan.grid_point(number)
        first = dict(enumerate(self.plan.first_settings())).get(number, {})
        if len(first) == len(self.space):
            return first
        seed = stream_seed(options.sampler_seed, "sampler", self.plan.stream, number) % LARGEST_SEED
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = optuna.create_study(direction="maximize", sampler=make_sampler(seed))
            study.add_trials(known)
            running, space = TrialState.RUNNING, self.space
            for params in map(to_params, batch):
                study.add_trial(create_trial(state=running, params=params, distributions=space))
            if first:
                study.enqueue_trial(to_params(first))
            drawn = to_values(study.ask(self.space).params, self.plan.space)
        rounded = {key: self.plan.space[key].rounded(value) for key, value in drawn.items()}
        return {**rounded, **first}


def make_sampler(seed: int) -> TPESampler:
    """Return the sampler of one trial. It takes open trials of its batch for bad ones, so that the
    trials of a batch differ."""
    return TPESampler(
        seed=seed, n_startup_trials=RANDOM_TRIALS, multivariate=True, constant_liar=True
    )


def make_pruner(name: str, epochs: int) -> BasePruner:
    """Return the pruner of a study whose trials train for `epochs` in all."""
    return MedianPruner(n_warmup_steps=max(1, epochs // 4)) if name == "median" else NopPruner()


def distribution(known: SearchParameter) -> BaseDistribution:
    """Return the distribution from which Optuna draws a parameter."""
    if known.choices is not None:
        return CategoricalDistribution([_encoded(choice) for choice in known.choices])
    low, high, step = known.low, known.high, known.step
    assert low is not None
    assert high is not None
    if (count := known.count()) is not None:
        high = known.point(count - 1)  # Optuna warns of a range that is no multiple of its step
    if isinstance(low, int) and isinstance(high, int) and isinstance(step, int):
        return IntDistribution(low, high, known.log, step)
    return FloatDistribution(float(low), float(high), known.log, step)


def to_params(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of a run as Optuna's parameters."""
    return {key: _encoded(value) for key, value in values.items()}


def to_values(params: Mapping[str, Any], space: Mapping[str, SearchParameter]) -> dict[str, Any]:
    """Return Optuna's parameters as values of a run, in the order of the space."""
    return {key: _value(params[key], known) for key, known in space.items()}


def _value(param: Any, known: SearchParameter) -> Any:
    if known.choices is not None:
        return next(choice for choice in known.choices if _encoded(choice) == param)
    return param if known.step is None else tidy(param)


def _encoded(choice: Any) -> Any:
    """Return a choice as Optuna can hold it: mappings and lists as JSON."""
    return choice if isinstance(choice, SCALARS) else json.dumps(choice, sort_keys=True)
