"""A search as plain values: its trials as tidy rows, and all of it, with plain names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from eibench.report.model.search_results import (
    TEST,
    Confirmation,
    Search,
    confirmations,
    spent,
    state,
)


def trial_records(search: Search) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return a row for each trial, and the columns that come first.

    A row says where the trial stands, how it ended, its scores, and what it set. `trial_seconds`
    and `trial_epochs` are what it cost; a metric keeps its own name. A choice with options is JSON.
    """
    axes = {axis: None for study in search.studies for axis in study.arm}
    cost = ("trial_seconds", "trial_epochs")
    ends = ("state", "winner", search.metric.name, *cost, "reason", "runs")
    return list(_records(search)), ("suite", "study", *axes, "trial", *ends)


def _records(search: Search) -> Iterator[dict[str, Any]]:
    for study in search.studies:
        absent = dict.fromkeys(study.space)
        for trial in study.trials:
            yield {
                "suite": search.name,
                "study": study.name,
                **study.arm,
                "trial": trial.number,
                "state": state(trial),
                "winner": trial.number == study.winner,
                search.metric.name: trial.scores.get(search.metric.name),
                "trial_seconds": trial.seconds,
                "trial_epochs": trial.epochs,
                "reason": trial.reason,
                "runs": " ".join(trial.runs),
                **absent,
                **{key: _field(value) for key, value in trial.values.items()},
            }


def _field(value: Any) -> Any:
    """Return what CSV can hold; none is a setting, unlike a key that the trial does not have."""
    return json.dumps(value) if value is None or isinstance(value, dict | list) else value


def search_values(search: Search) -> dict[str, Any]:
    """Return all of a search and its confirmation, unrounded."""
    return {
        "objectives": [search.metric.name],
        "trials": search.trials,
        "sampler": search.sampler,
        "sampler_seed": search.sampler_seed,
        "pruner": search.pruner,
        "seeds": search.seeds,
        "confirm_seeds": search.confirm_seeds,
        **({"raised_from": search.raised_from} if search.raised_from else {}),
        "studies": [_study(one) for one in confirmations(search)],
    }


def _study(one: Confirmation) -> dict[str, Any]:
    budget = spent([one.study])
    return {
        **asdict(one.study),
        "trials": [{**asdict(trial), "state": state(trial)} for trial in one.study.trials],
        "budget": {**budget.states, "epochs": budget.epochs, "seconds": budget.seconds},
        "score": one.score,
        "confirmed": {
            one.metric.name: {**one.confirmed.summary, "values": one.confirmed.values},
            TEST.name: {**one.test.summary, "values": one.test.values},
        },
        "outdated": one.outdated,
        "optimism": one.optimism,
    }
