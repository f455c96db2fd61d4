"""`search/plan.json`: every study and trial of a search, as reports read them.

All of it follows from the journal and the records of the runs, and can be written again.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from eibench.plan.search import SearchPlan
from eibench.results.schema import SCHEMA
from eibench.results.store import SEARCH, RunFolder, to_json, write_atomic
from eibench.search.outcome import SCORE, Outcome, begun, impossible, outcome
from eibench.search.study import DIRECTIONS, REASON, Study

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


class Ledger:
    """Writes the file; trials whose outcome is final are read once."""

    def __init__(self, search: SearchPlan, folder: Path, chance: Mapping[str, float]) -> None:
        self.search, self.folder, self.chance = search, folder, chance
        """`chance`: accuracy in percent of a guess, by study."""
        self.rows: dict[tuple[str, int], dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}

    def folders(self, study: Study, values: Mapping[str, Any]) -> list[RunFolder]:
        """Where the runs of a trial are, one for each seed; none for values no run can have."""
        seeds = [] if study.plan.refusal(values) else self.search.options.seeds
        return [RunFolder(self.folder / study.plan.spec(values, seed).run_id) for seed in seeds]

    def outcome(self, study: Study, values: Mapping[str, Any]) -> Outcome:
        """What became of the trial with these values."""
        names, chance = self.search.options.objectives, self.chance[study.plan.name]
        if refusal := study.plan.refusal(values):
            return impossible(refusal, names)
        return outcome(self.folders(study, values), names, chance)

    def score(self, study: Study, folders: Sequence[RunFolder]) -> float:
        """The mean accuracy of runs that have ended; 0 of none."""
        known = outcome(folders, [SCORE], self.chance[study.plan.name]).scores[SCORE]
        return known or 0.0

    def winner(self, study: Study) -> dict[str, Any] | None:
        """The values of the best trial that counts; None without one."""
        rows = self._rows(study)
        best = _best(rows)
        return None if best is None else dict(rows[best]["values"])

    def write(self, studies: Sequence[Study], importances: bool = False) -> None:
        """Write the file; `importances` take a while, and are for the end."""
        known, options = self.search, self.search.options
        described = [self._study(study, importances) for study in studies]
        trials = [trial for study in described for trial in study["trials"]]
        ids = dict.fromkeys(run_id for trial in trials for run_id in trial["runs"])
        content = {
            "schema": SCHEMA,
            "suite": known.name,
            "title": known.title,
            "kind": SEARCH,
            "axes": known.axes,
            "tuned_by": None,
            "same": [],
            "runs": [{"run_id": run_id, "fields": self.runs[run_id]} for run_id in ids],
            "search": {
                "objectives": options.objectives,
                "trials": known.trials,
                "minutes": known.minutes,
                "sampler": options.sampler,
                "sampler_seed": options.sampler_seed,
                "pruner": options.pruner,
                "seeds": options.seeds,
                "confirm_seeds": known.seeds,
                "optuna": optuna.__version__,
            },
            "studies": described,
        }
        write_atomic(self.folder / "plan.json", to_json(content))

    def _study(self, study: Study, importances: bool) -> dict[str, Any]:
        rows = self._rows(study)
        best = _best(rows)
        return {
            "name": study.plan.name,
            "arm": dict(study.plan.arm),
            "space": {key: known.to_dict() for key, known in study.plan.space.items()},
            "trials": rows,
            "winner": None if best is None else rows[best]["number"],
            "front": [rows[i]["number"] for i in _front(rows)],
            "importances": _importances(study) if importances else None,
        }

    def _rows(self, study: Study) -> list[dict[str, Any]]:
        return [self._row(study, *numbered) for numbered in enumerate(study.trials())]

    def _row(self, study: Study, number: int, trial: FrozenTrial) -> dict[str, Any]:
        """One trial; also notes its runs."""
        key = (study.plan.name, number)
        if key in self.rows:
            return self.rows[key]
        values = study.values(trial)
        ended = self.outcome(study, values)
        found = begun(self.folders(study, values))
        names = self.search.options.objectives
        scores = dict(zip(names, trial.values or [], strict=False))
        row: dict[str, Any] = {
            "number": number,
            "values": values,
            "state": STATES[trial.state],
            "reason": trial.user_attrs.get(REASON),
            "scores": scores,
            "runs": [folder.run_id for folder in found],
            "seconds": ended.seconds,
            "epochs": ended.epochs,
            "loss": ended.loss,
        }
        for folder, seed in zip(found, self.search.options.seeds, strict=False):
            self.runs[folder.run_id] = study.plan.run(values, seed).fields()
        if trial.state.is_finished():
            self.rows[key] = row
        return row


def _counting(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Trials that can win: complete, and none of their runs diverged."""
    return [i for i, r in enumerate(rows) if r["state"] == "complete" and r["reason"] is None]


def _merits(row: Mapping[str, Any]) -> list[float]:
    """The objectives, more being better."""
    signs = {"maximize": 1, "minimize": -1}
    return [signs[DIRECTIONS[name]] * score for name, score in row["scores"].items()]


def _best(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """The best first objective, then the rest, then the loss, then the earlier."""

    def merit(i: int) -> tuple[float, ...]:
        return (*_merits(rows[i]), -(rows[i]["loss"] or 0.0))

    return max(_counting(rows), key=merit, default=None)


def _front(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Trials that no other beats: at least as good in all objectives, better in one."""
    merits = {i: _merits(rows[i]) for i in _counting(rows)}
    return [i for i, mine in merits.items() if not any(_beats(m, mine) for m in merits.values())]


def _beats(a: Sequence[float], b: Sequence[float]) -> bool:
    return list(a) != list(b) and all(x >= y for x, y in zip(a, b, strict=True))


def _importances(study: Study) -> dict[str, float] | None:
    """Each key's share in the variance of the first objective (fANOVA: Hutter et al., ICML 2014).

    None where trials are too few or all alike.
    """
    if len(study.space) < 2:
        return None
    with contextlib.suppress(ValueError, RuntimeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = get_param_importances(
            study.study,
            evaluator=FanovaImportanceEvaluator(seed=0),
            target=lambda trial: trial.values[0],
        )
        return {key: round(found[key], 4) for key in study.space if key in found} or None
    return None
