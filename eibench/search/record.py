"""The outcome of a trial, read from the files of its runs, and `search/plan.json`, from which
reports read every study and trial. It can be written again from the journal and the runs."""

from __future__ import annotations

import contextlib
import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from eibench.errors import UserError
from eibench.plan.search import REPEAT, SearchPlan, StudyPlan
from eibench.results.paths import PLAN, SEARCH, has_plan
from eibench.results.schema import SCHEMA
from eibench.results.store import (
    DIVERGED,
    MISSING,
    OK,
    RunFolder,
    kind_of,
    read_plan,
    to_json,
    write_atomic,
)
from eibench.search.study import Outcome, ResumableStudy

SCORE = "validation_accuracy"
"""The metric that a search maximizes."""
STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class SearchRecord:
    """The folder of a search: the runs of its trials, and `plan.json`."""

    def __init__(self, search: SearchPlan, folder: Path, chance: Mapping[str, float]) -> None:
        self.search, self.folder, self.chance = search, folder, chance
        """`chance`: accuracy in percent of a guess, by study."""
        self.fields: dict[str, dict[str, Any]] = {}
        """By run id, of all runs that were written before."""
        self.raised_from = _smaller_budgets(folder, search.trials)

    def run_folders(self, study: StudyPlan, values: Mapping[str, Any]) -> list[RunFolder]:
        """Return where the runs of a trial are, one for each seed; `values` must be possible."""
        ids = [study.spec(values, seed).run_id for seed in study.seeds]
        return [RunFolder(self.folder / run_id) for run_id in ids]

    def outcome(self, study: StudyPlan, values: Mapping[str, Any], pruned: bool) -> Outcome:
        """Return the outcome of a trial; a run that diverged has the accuracy of a guess."""
        if refusal := study.refusal(values):
            return Outcome(TrialState.FAIL, refusal)
        return outcome(self.run_folders(study, values), self.chance[study.name], pruned)

    def write(self, studies: Sequence[ResumableStudy], importances: bool = False) -> None:
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
            "axes": [*known.axes, *[REPEAT] * (options.studies > 1)],
            "tuned_by": None,
            "same": [],
            "runs": [{"run_id": run_id, "fields": self.fields[run_id]} for run_id in ids],
            "search": {
                "objectives": [SCORE],
                "trials": known.trials,
                "sampler": options.sampler,
                "sampler_seed": options.sampler_seed,
                "pruner": options.pruner,
                "seeds": options.seeds,
                "confirm_seeds": known.seeds,
                **({"raised_from": self.raised_from} if self.raised_from else {}),
                "optuna": optuna.__version__,
            },
            "studies": described,
        }
        write_atomic(self.folder / PLAN, to_json(content))

    def _study(self, study: ResumableStudy, importances: bool) -> dict[str, Any]:
        return {
            "name": study.plan.name,
            "arm": study.plan.axes,
            **({} if study.plan.repeat is None else {"seeds": study.plan.seeds}),
            "space": {key: known.to_dict() for key, known in study.plan.space.items()},
            "trials": list(self._trials(study)),
            "winner": study.winner(),
            "importances": _importances(study) if importances else None,
        }

    def _trials(self, study: ResumableStudy) -> Iterator[dict[str, Any]]:
        for number, told in enumerate(study.told):
            row = {"number": number, "values": study.values(told), "state": STATES[told.state]}
            row["scores"] = {} if told.value is None else {SCORE: told.value}
            yield self._with_notes(row, study.plan, told.user_attrs)
        for trial in study.batch:
            known = trial.outcome or Outcome(TrialState.RUNNING)
            if trial.started and trial.outcome is None:
                known = self.outcome(study.plan, trial.values, pruned=False)
            row = {"number": trial.number, "values": trial.values, "state": "running"}
            yield self._with_notes({**row, "scores": {}}, study.plan, known.notes())

    def _with_notes(
        self, row: dict[str, Any], study: StudyPlan, notes: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the row of a trial, and remember the fields of its runs."""
        if row["state"] == "running":
            notes = {**notes, "reason": None}
        for run_id, seed in zip(notes["runs"], study.seeds, strict=False):
            if run_id not in self.fields:
                self.fields[run_id] = study.run(row["values"], seed).fields()
        return row | {key: notes[key] for key in ("reason", "runs", "seconds", "epochs", "loss")}


def _smaller_budgets(folder: Path, trials: int) -> list[int]:
    """Return the numbers of trials, below `trials`, that earlier commands asked for.

    They are known from the file that these wrote; if it was lost or damaged, nothing is.
    """
    with contextlib.suppress(UserError):
        if has_plan(folder):
            plan = read_plan(folder)
            if kind_of(plan) == SEARCH:
                earlier = {plan["search"]["trials"], *plan["search"].get("raised_from", [])}
                return sorted(number for number in earlier if number < trials)
    return []


def _importances(study: ResumableStudy) -> dict[str, float] | None:
    """Return each key's share in the variance of the score (fANOVA: Hutter et al., ICML 2014).

    None where trials are too few or all alike.
    """
    if len(study.space) < 2:
        return None
    with contextlib.suppress(ValueError, RuntimeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = get_param_importances(study.study, evaluator=FanovaImportanceEvaluator(seed=0))
        return {key: round(found[key], 4) for key in study.space if key in found} or None
    return None


def outcome(folders: Sequence[RunFolder], chance: float, pruned: bool = False) -> Outcome:
    """Return the outcome of a trial with these runs."""
    ends = [folder.outcome() for folder in folders]
    scores = [_score(end, chance) for end in ends]
    losses = [_loss(*pair) for pair in zip(folders, ends, strict=True)]
    crashed = [
        f"{end['status'].replace('_', ' ')}: {end['reason']}"
        for end in ends
        if end["status"] not in (OK, DIVERGED)
    ]
    diverged = [end["reason"] for end in ends if end["status"] == DIVERGED]
    many = f"{len(diverged)} of {len(ends)} runs " if len(ends) > 1 else ""
    reasons = [*crashed, *(f"{many}diverged: {reason}" for reason in diverged)]
    state = TrialState.PRUNED if pruned else TrialState.FAIL if crashed else TrialState.COMPLETE
    return Outcome(
        state=state,
        reason=reasons[0] if reasons and not pruned else None,
        score=_mean(scores),
        loss=_mean(losses),
        seconds=sum(map(_seconds, folders, ends)),
        epochs=sum(map(_epochs, folders, ends)),
        runs=[f.run_id for f, end in zip(folders, ends, strict=True) if end["status"] != MISSING],
    )


def _score(end: Mapping[str, Any], chance: float) -> float | None:
    """Return the accuracy of one run; None where it could not be measured."""
    if end["status"] == DIVERGED:
        return chance
    return end["result"][SCORE] if end["status"] == OK else None


def _loss(folder: RunFolder, end: Mapping[str, Any]) -> float | None:
    """Return the validation loss of one run at its best epoch."""
    if end["status"] != OK:
        return None
    chosen: dict[str, Any] = {}  # of a record that does not say, or has lost its epochs.jsonl
    with contextlib.suppress(IndexError):
        chosen = folder.epochs()[end["result"]["best_epoch"] - 1]
    found: float | None = end["result"].get("validation_loss", chosen.get("validation_loss"))
    return found


def _epochs(folder: RunFolder, end: Mapping[str, Any]) -> int:
    """Return the number of epochs, from the record where there is one: epochs.jsonl may be lost."""
    known = end.get("result", {}).get("epochs")
    return len(folder.epochs()) if known is None else int(known)


def _seconds(folder: RunFolder, end: Mapping[str, Any]) -> float:
    """Return the time of all epochs, from the record or summed over those of a stopped run."""
    known = end.get("cost", {}).get("seconds")
    if known is not None:
        return float(known)
    costs = [epoch["cost"] for epoch in folder.epochs()]
    return float(sum(cost["train_seconds"] + cost["evaluation_seconds"] for cost in costs))


def _mean(numbers: Sequence[float | None]) -> float | None:
    """Return the mean of the numbers that are not None."""
    known = [number for number in numbers if number is not None]
    return statistics.fmean(known) if known else None
