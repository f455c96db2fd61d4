"""Progress of a search: its trials, those under way, and the best score of each study."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from eibench.cli.progress import ProgressDisplay

if TYPE_CHECKING:
    from eibench.plan.search import SearchPlan
    from eibench.plan.suite import PlannedRun
    from eibench.search.study import OpenTrial, Outcome, ResumableStudy


class SearchProgress(ProgressDisplay):
    """Listener that shows a search, with the time of its confirming runs in what is left."""

    def __init__(self, plan: SearchPlan, total: int) -> None:
        super().__init__(plan.name, total, "trial")
        self.confirming = len(plan.seeds)
        self.costs: Mapping[Any, float] = {}
        """Seconds of an epoch by kind of run, from records."""
        self.used = defaultdict[str, float](float)
        """Epochs of runs that have ended, until their trial has."""

    def opened(self, studies: list[ResumableStudy]) -> None:
        """Count the trials of earlier commands, and estimate the time from their cost."""
        from eibench.execution.estimate import kind_of_run
        from eibench.execution.remaining import RemainingWork

        each = {study.plan.name: _epochs_of_trial(study) for study in studies}
        left, costs = {}, {}
        for study in studies:
            name, base = study.plan.name, study.plan.base.spec
            left[name] = study.total * each[name] + self.confirming * base.train.epochs
            if (cost := self.costs.get(kind_of_run(base))) is not None:
                costs[name] = cost
        work = RemainingWork(left, costs)
        for study in studies:
            name = study.plan.name
            for told in study.told[: study.total]:
                epochs = told.user_attrs["epochs"]
                work.advance(name, epochs, told.user_attrs["seconds"])
                work.drop(name, max(0, each[name] - epochs))
            best = study.winner()
            if best is not None:
                self.status.best[name] = study.told[best].value or 0.0
        with self.lock:
            self.status.done = sum(min(len(study.told), study.total) for study in studies)
        self.expect(work)

    def started(self, run: PlannedRun, study: ResumableStudy | None = None) -> None:
        """Show that a run of a trial begins or resumes."""
        assert study is not None
        self._start(run, study.plan.name)

    def ended(self, run: PlannedRun) -> None:
        """Show a trial's run no more."""
        if job := self.forget(run):
            self.used[run.run_id] = job.epochs - job.todo

    def trial(self, study: ResumableStudy, trial: OpenTrial, outcome: Outcome) -> None:
        """Show a trial that has ended."""
        from eibench.results.labels import show_value

        name, state, words = study.plan.name, outcome.state.name.lower(), outcome.reason or ""
        if state == "pruned":
            words = state
        elif state == "complete" and outcome.score is not None:
            words = f"{outcome.score:.1f} {words}".rstrip()
            if outcome.reason is None:
                self.status.best[name] = max(outcome.score, self.status.best.get(name, 0.0))
        values = [f"{k.rpartition('.')[2]} {show_value(v)}" for k, v in trial.values.items()]
        with self.lock:
            used = sum(self.used.pop(run_id, 0.0) for run_id in outcome.runs)
            if self.status.work:
                self.status.work.drop(name, _epochs_of_trial(study) - used)
        self.line(f"{name}, trial {trial.number}: {words}  ({', '.join(values)})")


def _epochs_of_trial(study: ResumableStudy) -> int:
    return study.plan.base.spec.train.epochs * len(study.plan.seeds)
