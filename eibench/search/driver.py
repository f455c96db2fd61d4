"""A whole search: the trials of all studies, up to the budget of each, and their winners."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import optuna

from eibench.errors import AbsentData, UserError
from eibench.execution.data_paths import local_data
from eibench.execution.dataset_cache import DatasetCache, as_user_error, check_buildable
from eibench.execution.device import keep_freed_memory
from eibench.execution.engine import Engine
from eibench.execution.environment import SuiteSource, suite_source
from eibench.execution.lock import Locks, locked
from eibench.execution.slots import Slots, Stop
from eibench.plan.search import SearchPlan
from eibench.plan.suite import PlannedRun
from eibench.results.paths import SEARCH, member
from eibench.results.store import FINAL
from eibench.search.journal import open_journal, refuse_other_trials
from eibench.search.record import SCORE, SearchRecord, outcome
from eibench.search.study import OpenTrial, Outcome, ResumableStudy
from eibench.training.batch_of_one import sizes_that_leave_one
from eibench.training.steps import StepReport

BATCH_SIZE = "train.batch_size"


class SearchListener(Protocol):
    """An observer of a search. `started`, `step` and `epoch` are called from several threads."""

    def preparing(self, text: str) -> None:
        """Note what is done before the first trial."""

    def opened(self, studies: list[ResumableStudy]) -> None:
        """Note the studies, with the trials that ended in earlier commands."""

    def started(self, run: PlannedRun, study: ResumableStudy) -> None:
        """Note that a run of a trial begins, or goes on."""

    def step(self, run: PlannedRun, report: StepReport) -> None:
        """Note how far `run` is within an epoch."""

    def epoch(self, run: PlannedRun, record: dict[str, Any]) -> None:
        """Note that an epoch of `run` is done."""

    def ended(self, run: PlannedRun) -> None:
        """Note that `run` has ended, or was stopped."""

    def trial(self, study: ResumableStudy, trial: OpenTrial, outcome: Outcome) -> None:
        """Note that a trial has ended."""


@dataclass(frozen=True)
class SearchResult:
    """The winners of a search, and its trials in numbers."""

    winners: Mapping[str, Mapping[str, Any]]
    """Values by study."""
    trials: int
    """Ended, over all studies."""
    failed: int
    """Number of trials that crashed."""


def search(plan: SearchPlan, root: Path, engine: Engine, listener: SearchListener) -> SearchResult:
    """Run the trials of `plan` under `root` up to its budget, and write their record.

    Trials that have ended are not repeated; those that were interrupted go on.

    Raises:
        UserError: before anything is written, when data or a network is unusable, or when another
            process works on the same results.
    """
    keep_freed_memory()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    datasets = DatasetCache(engine.device, plan.expansion.folder)
    _check_buildable(plan, datasets, listener)
    chance = {}
    for study in plan.studies:
        with as_user_error(study.base.spec):
            chance[study.name] = 100 / len(datasets.get(study.base.spec).classes)
    folder = member(root, plan.name, SEARCH)
    plugins = plan.expansion.plugins
    with locked(folder) as locks, engine.open(datasets, plugins, folder) as slots:
        storage = open_journal(folder)
        refuse_other_trials(plan, storage, folder)
        studies = [ResumableStudy(known, plan, storage) for known in plan.studies]
        listener.opened(studies)
        data = local_data((study.base.spec for study in plan.arms), plan.expansion.folder)
        suite = suite_source(plan.name, [*plan.expansion.files(), *data])
        record = SearchRecord(plan, folder, chance)
        _Driver(suite, studies, record, locks, slots, listener).run()
    best = [(study, study.winner()) for study in studies]
    ended = [trial for study in studies for trial in study.told]
    return SearchResult(
        winners={s.plan.name: s.values(s.told[i]) for s, i in best if i is not None},
        trials=len(ended),
        failed=sum(trial.state == optuna.trial.TrialState.FAIL for trial in ended),
    )


def _check_buildable(plan: SearchPlan, datasets: DatasetCache, listener: SearchListener) -> None:
    """Load all data and build the networks at the ends of all spaces.

    Raises:
        UserError: data or a network is unusable; with the values that it has.
    """
    tried = ""

    def runs() -> Iterator[PlannedRun]:
        nonlocal tried
        yield from (study.base for study in plan.arms)
        for study in plan.arms:
            for corner in study.corners():
                words = ", ".join(f"{key} {value}" for key, value in corner.items())
                tried = f"{study.name} with {words}: "
                run = study.run(corner, study.seeds[0])
                yield run
                known = study.space.get(BATCH_SIZE)
                if known is None:
                    continue
                for size in sizes_that_leave_one(datasets.get(run.spec), known.holds)[:1]:
                    tried = f"{study.name} with {BATCH_SIZE} {size}: "
                    yield study.run({**corner, BATCH_SIZE: size}, study.seeds[0])

    try:
        check_buildable(runs(), datasets, listener.preparing)
    except AbsentData:
        raise
    except UserError as error:
        raise UserError(f"{tried}{error}") from None


class _Driver:
    """The loop that gives trials to workers and outcomes to studies."""

    def __init__(
        self,
        suite: SuiteSource,
        studies: list[ResumableStudy],
        record: SearchRecord,
        locks: Locks,
        slots: Slots,
        listener: SearchListener,
    ) -> None:
        self.suite, self.studies, self.record = suite, studies, record
        self.locks, self.slots, self.listener = locks, slots, listener

    def run(self) -> None:
        """Run trials until every study has its number."""
        self.record.write(self.studies)
        try:
            for (study, trial), pruned in self.slots.each(self._work, self._following):
                found = self.record.outcome(study.plan, trial.values, pruned)
                study.end(trial, found)
                self.record.write(self.studies)
                self.listener.trial(study, trial, found)
            self.record.write(self.studies, importances=True)
        except KeyboardInterrupt:
            self.record.write(self.studies)
            raise

    def _following(self) -> tuple[ResumableStudy, OpenTrial] | None:
        """Return the next trial of the study that has the fewest, so that studies stay level."""
        for study in sorted(self.studies, key=lambda study: study.begun):
            if (trial := study.following()) is not None:
                return study, trial
        return None

    def _work(self, item: tuple[ResumableStudy, OpenTrial]) -> bool:
        """Execute the runs of a trial that have not ended; return True if the pruner stopped it."""
        study, trial = item
        if study.plan.refusal(trial.values):
            return False
        for i, seed in enumerate(study.plan.seeds):
            record = self._execute(study, trial, study.plan.run(trial.values, seed), i)
            if record is None:
                return True
            if record["status"] not in FINAL:
                return False  # the trial has failed, whatever its other seeds would show
        return False

    def _execute(
        self, study: ResumableStudy, trial: OpenTrial, run: PlannedRun, earlier: int
    ) -> dict[str, Any] | None:
        """Return the record of the trial's run after `earlier` ones; None when it was pruned."""
        folders = self.record.run_folders(study.plan, trial.values)
        files, epochs = folders[earlier], run.spec.train.epochs
        mean = outcome(folders[:earlier], self.record.chance[study.plan.name]).score or 0.0

        def report() -> None:
            """Report all epochs so far: those before a kill are known from the file alone."""
            for epoch, record in enumerate(files.epochs(), start=1):
                if not isinstance(score := record.get(SCORE), int | float):
                    break  # damaged; the run writes it anew
                step = earlier * epochs + epoch
                score = (mean * earlier + score) / (earlier + 1)
                trial.report(step, score, last=step >= len(folders) * epochs)

        def on_epoch(record: dict[str, Any]) -> None:
            self.listener.epoch(run, record)
            report()
            if trial.prunes:
                raise Stop

        report()
        if (final := files.final_record()) is not None:
            return final
        try:
            if trial.prunes:  # a kill came before the checkpoint was removed
                raise Stop
            self.listener.started(run, study)
            on_step = partial(self.listener.step, run)
            with self.locks.holding(run.run_id):
                return self.slots.execute(run, self.suite, files, on_epoch, on_step)
        except Stop:
            files.checkpoint.unlink(missing_ok=True)
            return None
        finally:
            self.listener.ended(run)
