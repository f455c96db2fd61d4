"""A whole search: trials of all studies until the budget is spent, then the winners' fresh runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import optuna
import torch

from eibench.errors import UserError
from eibench.execution.dataset_cache import Datasets, as_user_error, check_buildable, local_data
from eibench.execution.environment import SuiteSource, suite_source
from eibench.execution.lock import locked
from eibench.execution.memory import keep_freed_memory
from eibench.execution.workers import Stop, Workers
from eibench.plan.search import SearchPlan
from eibench.plan.suite import PlannedRun
from eibench.results.paths import member
from eibench.results.store import FINAL, SEARCH
from eibench.search.journal import open_journal
from eibench.search.made_of import refuse_other_trials
from eibench.search.outcome import SCORE, Outcome
from eibench.search.record import Ledger
from eibench.search.study import Asked, Study
from eibench.training.batch_of_one import sizes_that_leave_one

BATCH_SIZE = "train.batch_size"


class Listener(Protocol):
    """Who is told how the search goes. `started` and `epoch` come from several threads."""

    def started(self, run: PlannedRun) -> None:
        """A run of a trial begins, or goes on."""

    def epoch(self, run: PlannedRun, record: dict[str, Any]) -> None:
        """An epoch of `run` is done."""

    def ended(self, run: PlannedRun) -> None:
        """`run` has ended, or was stopped."""

    def trial(self, study: Study, asked: Asked, outcome: Outcome, pruned: bool) -> None:
        """A trial has ended."""


@dataclass(frozen=True)
class Found:
    """What a search has come to."""

    winners: Mapping[str, Mapping[str, Any]]
    """Values by study."""
    trials: int
    """Drawn and ended, over all studies."""
    failed: int
    """Of these, trials that crashed."""


def search(
    plan: SearchPlan, root: Path, device: torch.device, listener: Listener, jobs: int = 1
) -> Found:
    """Run the trials of `plan` under `root` up to its budget, and write what they show.

    Trials that have ended are not repeated; those that were interrupted go on.

    Raises:
        UserError: before anything is written, when data or a network is unusable, or when another
            process works on the same results.
    """
    keep_freed_memory()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    datasets = Datasets(device)
    _check_buildable(plan, datasets)
    chance = {}
    for study in plan.studies:
        with as_user_error(study.base.spec):
            chance[study.name] = 100 / len(datasets.get(study.base.spec).classes)
    folder = member(root, plan.name, SEARCH)
    with locked(folder), Workers(jobs, datasets, plan.expansion.plugins) as workers:
        storage = open_journal(folder)
        refuse_other_trials(plan, storage, folder)
        studies = [Study(known, plan, storage) for known in plan.studies]
        ledger = Ledger(plan, folder, chance)
        data = local_data(study.base.spec for study in plan.studies)
        suite = suite_source(plan.name, [*plan.expansion.files(), *data])
        _Driver(plan, suite, studies, ledger, workers, listener).run()
    ended = [trial for study in studies for trial in study.trials() if trial.state.is_finished()]
    winners = {study.plan.name: ledger.winner(study) for study in studies}
    return Found(
        winners={name: values for name, values in winners.items() if values is not None},
        trials=len(ended),
        failed=sum(trial.state == optuna.trial.TrialState.FAIL for trial in ended),
    )


def _check_buildable(plan: SearchPlan, datasets: Datasets) -> None:
    """Load all data and build the networks at the ends of all spaces.

    Raises:
        UserError: one of them cannot be; with the values that it is about.
    """
    tried = ""

    def runs() -> Iterator[PlannedRun]:
        nonlocal tried
        yield from (study.base for study in plan.studies)
        for study in plan.studies:
            for corner in study.corners():
                words = ", ".join(f"{key} {value}" for key, value in corner.items())
                tried = f"{study.name} with {words}: "
                run = study.run(corner, plan.options.seeds[0])
                yield run
                known = study.space.get(BATCH_SIZE)
                if known is None:
                    continue
                for size in sizes_that_leave_one(datasets.get(run.spec), known.holds)[:1]:
                    tried = f"{study.name} with {BATCH_SIZE} {size}: "
                    yield study.run({**corner, BATCH_SIZE: size}, plan.options.seeds[0])

    try:
        check_buildable(runs(), datasets)
    except UserError as error:
        raise UserError(f"{tried}{error}") from None


class _Driver:
    """Gives trials to workers and outcomes to studies."""

    def __init__(
        self,
        plan: SearchPlan,
        suite: SuiteSource,
        studies: list[Study],
        ledger: Ledger,
        workers: Workers,
        listener: Listener,
    ) -> None:
        self.plan, self.suite, self.studies, self.ledger = plan, suite, studies, ledger
        self.workers, self.listener = workers, listener
        self.deadline = time.monotonic() + 60 * plan.minutes if plan.minutes else None

    def run(self) -> None:
        """Until no study has anything left to do."""
        try:
            for (study, asked), pruned in self.workers.each(self._work, self._following):
                outcome = self.ledger.outcome(study, asked.values)
                study.end(asked.number, outcome, pruned)
                self.ledger.write(self.studies)
                self.listener.trial(study, asked, outcome, pruned)
            for study in self.studies:
                study.close()
            self.ledger.write(self.studies, importances=True)
        except KeyboardInterrupt:
            self.ledger.write(self.studies)
            raise

    def _following(self) -> tuple[Study, Asked] | None:
        """The next trial of the study that has the fewest, so that all stand alike at any time."""
        more = self.deadline is None or time.monotonic() < self.deadline
        for study in sorted(self.studies, key=lambda study: len(study.trials())):
            if (asked := study.following(more)) is not None:
                return study, asked
        return None

    def _work(self, item: tuple[Study, Asked]) -> bool:
        """Execute the runs of a trial that have not ended; whether the pruner stopped it."""
        study, asked = item
        if study.plan.refusal(asked.values):
            return False
        for i, seed in enumerate(self.plan.options.seeds):
            run = study.plan.run(asked.values, seed)
            record = self._execute(study, asked, run, i)
            if record is None:
                return True
            if record["status"] not in FINAL:
                return False  # the trial has failed, whatever the other seeds would show
        return False

    def _execute(
        self, study: Study, asked: Asked, run: PlannedRun, earlier: int
    ) -> dict[str, Any] | None:
        """The record of the trial's run after `earlier` ones; None when the pruner stopped it."""
        folders = self.ledger.folders(study, asked.values)
        files, last = folders[earlier], earlier == len(folders) - 1
        before = self.ledger.score(study, folders[:earlier])

        def hear() -> None:
            """All epochs so far: a kill can come between an epoch's line and the hearing of it."""
            for epoch, record in enumerate(files.epochs(), start=1):
                if not isinstance(score := record.get(SCORE), int | float):
                    break  # not what was written; the run writes it anew
                step = earlier * run.spec.train.epochs + epoch
                study.hear(asked.number, step, (before * earlier + score) / (earlier + 1))

        def on_epoch(record: dict[str, Any]) -> None:
            self.listener.epoch(run, record)
            hear()
            at_the_end = last and record["epoch"] == run.spec.train.epochs
            if not at_the_end and study.stops(asked.number):
                raise Stop

        if (final := files.final_record()) is not None:
            hear()
            return final
        if study.stops(asked.number):  # a kill came before this was noted
            files.checkpoint.unlink(missing_ok=True)
            return None
        self.listener.started(run)
        try:
            return self.workers.execute(run, self.suite, files, on_epoch)
        except Stop:
            files.checkpoint.unlink(missing_ok=True)
            return None
        finally:
            self.listener.ended(run)
