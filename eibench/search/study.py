"""One study: which trial is next, and what the sampler is told, in an order that depends on nothing
but the trials' numbers.

Trial n is drawn when the outcomes of the trials up to n - `AHEAD` are known, and no others,
however many workers there are and however fast each was: an outcome that comes early is kept until
its turn. So one worker and four give the same search, and so does one that was killed and goes on.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from eibench.plan.search import SearchPlan, StudyPlan
from eibench.search.made_of import MADE_OF, made_of, study_name
from eibench.search.outcome import SCORE, Outcome
from eibench.search.pruning import verdict
from eibench.search.sampling import distribution, make_pruner, make_sampler, to_params, to_values
from eibench.training.seeds import stream_seed

AHEAD = 4
"""Trials of a study that may be under way at once."""
LARGEST = 2**32
"""Seeds of Optuna's samplers are below it."""
REASON = "reason"
"""The attribute of a trial that says why it diverged or failed; the dashboard shows it."""
DIRECTIONS: dict[str, Literal["maximize", "minimize"]] = {
    SCORE: "maximize",
    "seconds": "minimize",
    "firing_rate": "minimize",
}


@dataclass(frozen=True)
class Asked:
    """A trial to be run."""

    number: int
    """From 0, in the order of drawing; trials that a kill cut off while they were drawn have none
    (Optuna counts them)."""
    values: Mapping[str, Any]


class Study:
    """A study's trials so far, and what comes next."""

    def __init__(self, plan: StudyPlan, search: SearchPlan, storage: JournalStorage) -> None:
        self.plan, self.search, self.storage = plan, search, storage
        self.total = search.budget(plan)
        self.lock = threading.RLock()
        self.space = {key: distribution(known) for key, known in plan.space.items()}
        epochs = plan.base.spec.train.epochs * len(search.options.seeds)
        self.study = optuna.create_study(
            storage=storage,
            study_name=study_name(search, plan),
            directions=[DIRECTIONS[name] for name in search.options.objectives],
            pruner=make_pruner(search.options.pruner, epochs, search.trials),
            load_if_exists=True,
        )
        if MADE_OF not in self.study.user_attrs:
            self.study.set_user_attr(MADE_OF, made_of(search, plan))
        self.finished: dict[int, tuple[Outcome, bool]] = {}
        """Outcomes that wait to be told, and whether the pruner ended the trial."""
        self.under_way: set[int] = set()
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not self._whole(trial):  # a kill cut it off while it was drawn
                self.study.tell(trial.number, state=TrialState.FAIL)

    def trials(self) -> list[FrozenTrial]:
        """All that were drawn, in order."""
        with self.lock:
            return [t for t in self.study.get_trials(deepcopy=False) if self._whole(t)]

    def _whole(self, trial: FrozenTrial) -> bool:
        return trial.params.keys() == self.space.keys()

    def values(self, trial: FrozenTrial) -> dict[str, Any]:
        """What the trial sets in a run."""
        return to_values(trial.params, self.plan.space, "fixed_params" not in trial.system_attrs)

    def following(self, more: bool) -> Asked | None:
        """The next trial to run: one that was cut off, or a new one if `more` may begin.

        None: the study has all its trials, or must wait for one that is under way.
        """
        with self.lock:
            if (cut_off := self._cut_off()) is not None:
                return self._begin(cut_off)
            if not more or len(self.trials()) >= self.total or not self._ready():
                return None
            self._draw()
            drawn = self._cut_off()
            return None if drawn is None else self._begin(drawn)

    def end(self, number: int, outcome: Outcome, pruned: bool) -> None:
        """Note what became of a trial; the sampler hears of it in its turn."""
        with self.lock:
            self.under_way.discard(number)
            self.finished[number] = (outcome, pruned)
            if len(self.trials()) >= self.total:
                self._tell(self.total)

    def close(self) -> None:
        """Tell what is left, in order."""
        with self.lock:
            self._tell(len(self.trials()))

    def hear(self, number: int, step: int, score: float) -> None:
        """Note the score of a trial after `step` epochs; a step that was noted stays as it is."""
        with self.lock:
            trial = self.trials()[number]
            if step not in trial.intermediate_values:
                self.storage.set_trial_intermediate_value(trial._trial_id, step, score)

    def stops(self, number: int) -> bool:
        """Whether the pruner ends a trial after what was heard of it."""
        if self.search.options.pruner == "none":
            return False
        with self.lock:
            trials = self.trials()
            trial, known = trials[number], trials[: max(0, number - AHEAD + 1)]
            name, pruner = self.study.study_name, self.study.pruner
            said = verdict(pruner, name, known, number, trial.intermediate_values)
            for key in said.notes.keys() - trial.system_attrs.keys():
                self.storage.set_trial_system_attr(trial._trial_id, key, said.notes[key])
            return said.stops

    def _cut_off(self) -> int | None:
        """The first trial that is open and not under way, nor equal to one that is: both would
        write the same files."""
        trials = self.trials()
        busy = [self.values(trials[number]) for number in self.under_way]
        for number, trial in enumerate(trials):
            waits = number in self.under_way or number in self.finished
            if trial.state == TrialState.RUNNING and not waits and self.values(trial) not in busy:
                return number
        return None

    def _begin(self, number: int) -> Asked:
        self.under_way.add(number)
        return Asked(number, self.values(self.trials()[number]))

    def _ready(self) -> bool:
        """Tell the outcomes that the next trial may know; False while one of them is missing."""
        return self._tell(len(self.trials()) - AHEAD + 1)

    def _tell(self, count: int) -> bool:
        """Tell the first `count` trials that have not been told, in order, up to one under way."""
        for number, trial in enumerate(self.trials()[: max(0, count)]):
            if trial.state != TrialState.RUNNING:
                continue
            if number not in self.finished:
                return False
            self._tell_one(trial, *self.finished.pop(number))
        return True

    def _tell_one(self, trial: FrozenTrial, outcome: Outcome, pruned: bool) -> None:
        if outcome.reason and not pruned:
            self.storage.set_trial_user_attr(trial._trial_id, REASON, outcome.reason)
        if pruned:
            self.study.tell(trial.number, state=TrialState.PRUNED)
        elif outcome.failed:
            self.study.tell(trial.number, state=TrialState.FAIL)
        else:
            names = self.search.options.objectives
            scores = [self._score(i, outcome.scores[name]) for i, name in enumerate(names)]
            self.study.tell(trial.number, scores)

    def _score(self, i: int, score: float | None) -> float:
        """The score; where a diverged trial has none, the worst that there was."""
        if score is not None:
            return score
        known = [t.values[i] for t in self.trials() if t.state == TrialState.COMPLETE and t.values]
        return max(known, default=0.0)  # of seconds and rates, less is better

    def _draw(self) -> None:
        """A new trial: the suite's own base first, then what the sampler draws."""
        number, options = len(self.trials()), self.search.options
        first = self.plan.start() if number == 0 and options.sampler != "grid" else None
        point = self.plan.grid_point(number) if options.sampler == "grid" else first
        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if point is not None and not waiting:  # else a kill came between this line and `ask`
            self.study.enqueue_trial(to_params(point))
        seed = stream_seed(options.sampler_seed, "sampler", self.plan.name, number) % LARGEST
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.study.sampler = make_sampler(options.sampler, seed, self.search.trials)
            self.study.ask(self.space)
