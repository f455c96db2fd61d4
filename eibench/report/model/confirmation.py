"""A winner's score in the search beside what it reaches on fresh seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eibench.report.model.layout import METHOD
from eibench.report.model.pivot import Aggregate, aggregate
from eibench.report.model.search_results import Search, Study
from eibench.report.model.suite_results import Run
from eibench.results.metrics import METRICS, Metric, find_metric

TEST = METRICS["test_accuracy"]


@dataclass(frozen=True)
class Confirmation:
    """A study's winner, seen twice."""

    study: Study
    metric: Metric
    """The first objective, which chose the winner."""
    runs: Sequence[Run]
    """The fresh runs of the winner's setting."""
    outdated: bool
    """Whether there are fresh runs, but of another setting: these are left out."""

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
    """One for each study, in their order."""
    metric = find_metric(search.objectives[0])
    return [_confirmation(search, study, metric) for study in search.studies]


def _confirmation(search: Search, study: Study, metric: Metric) -> Confirmation:
    runs = search.confirmed_runs(study)
    outdated = _outdated(search, study, runs)
    return Confirmation(study, metric, [] if outdated else runs, outdated)


def _outdated(search: Search, study: Study, fresh: Sequence[Run]) -> bool:
    """Whether fresh runs have another setting than the winner: more trials were made since."""
    if study.best is None:
        return bool(fresh)
    tried = next((run for run in search.runs if run.run_id in study.best.runs), None)
    if tried is None:
        return False
    keys = [key for key in study.space if key != METHOD]  # a label, which fresh runs have plainer
    return any(run.values(keys) != tried.values(keys) for run in fresh)
