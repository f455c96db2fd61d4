"""A search for other programs: its trials as CSV, and all of it as JSON, with plain names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from eibench.report.model.budget import spent, state
from eibench.report.model.confirmation import TEST, Confirmation, confirmations
from eibench.report.model.pivot import Aggregate
from eibench.report.model.search_results import Search
from eibench.report.model.search_tables import search_grids
from eibench.report.writers.csv_text import write_csv


def to_csv(searches: Sequence[Search]) -> str:
    """Tidy rows, one per trial: where it stands, how it ended, its scores, and what it set.

    `trial_seconds` and `trial_epochs` are what it cost; a metric keeps its own name. A choice with
    options is JSON.
    """
    rows = [row for search in searches for row in _trial_rows(search)]
    studies = [study for search in searches for study in search.studies]
    axes = {axis: None for study in studies for axis in study.arm}
    objectives = {name: None for search in searches for name in search.objectives}
    keys = {key: None for study in studies for key in study.space}
    cost = ("trial_seconds", "trial_epochs")
    ends = ("state", "winner", "front", *objectives, *cost, "reason", "runs")
    return write_csv(rows, ["suite", "study", *axes, "trial", *ends, *keys])


def _trial_rows(search: Search) -> Iterator[dict[str, Any]]:
    for study in search.studies:
        for trial in study.trials:
            yield {
                "suite": search.name,
                "study": study.name,
                **study.arm,
                "trial": trial.number,
                "state": state(trial),
                "winner": trial.number == study.winner,
                "front": trial.number in study.front,
                **{name: trial.scores.get(name) for name in search.objectives},
                "trial_seconds": trial.seconds,
                "trial_epochs": trial.epochs,
                "reason": trial.reason,
                "runs": " ".join(trial.runs),
                **{key: _field(value) for key, value in trial.values.items()},
            }


def _field(value: Any) -> Any:
    """What CSV can hold; none is a setting too, unlike a key that the trial does not have."""
    return json.dumps(value) if value is None or isinstance(value, dict | list) else value


def search_values(search: Search) -> dict[str, Any]:
    """All of a search and its confirmation, unrounded, and the notes of the other formats."""
    return {
        "objectives": search.objectives,
        "trials": search.trials,
        "minutes": search.minutes,
        "sampler": search.sampler,
        "sampler_seed": search.sampler_seed,
        "pruner": search.pruner,
        "seeds": search.seeds,
        "confirm_seeds": search.confirm_seeds,
        "studies": [_study(one) for one in confirmations(search)],
        "footnotes": [note for grid in search_grids(search) for note in grid.notes],
    }


def _study(one: Confirmation) -> dict[str, Any]:
    budget = spent([one.study])
    return {
        **asdict(one.study),
        "trials": [{**asdict(trial), "state": state(trial)} for trial in one.study.trials],
        "budget": {**budget.states, "epochs": budget.epochs, "seconds": budget.seconds},
        "score": one.score,
        "confirmed": {
            one.metric.name: _cell(one.confirmed),
            TEST.name: _cell(one.test),
        },
        "outdated": one.outdated,
        "optimism": one.optimism,
    }


def _cell(cell: Aggregate) -> dict[str, Any]:
    return {
        "mean": cell.mean,
        "std": cell.deviation,
        "n": cell.n,
        "failed": cell.failed,
        "missing": cell.missing,
        "values": cell.values,
    }
