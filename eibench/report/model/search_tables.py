"""The tables of a search: winners beside their confirmation, budgets, knobs, and best trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from eibench.report.model import search_notes
from eibench.report.model.budget import STATES, spent, state
from eibench.report.model.confirmation import TEST, Confirmation, confirmations
from eibench.report.model.labels import field_words, key_words, show_setting, show_value
from eibench.report.model.layout import METHOD
from eibench.report.model.pivot import Aggregate
from eibench.report.model.search_results import COMPLETE, PRUNED, Search, Study, Trial
from eibench.report.writers.escape import FIXED
from eibench.report.writers.grid import Grid
from eibench.report.writers.text import NO_CELL, absence_text, empty_text, spread_text
from eibench.results.metrics import Metric, find_metric

SHOWN, SHOWN_ALONE = 5, 10
"""Best trials shown of each study, and of the only one."""
ON_FRONT = "†"
"""Marks a trial that no other beats in all objectives."""


def search_grids(search: Search) -> list[Grid]:
    """All tables of a search, with the notes that belong to each."""
    shares = any(study.importances for study in search.studies)
    importances = [_importances(search)] if shares else []
    return [_confirmed(search), _budget(search), *importances, *_best_trials(search)]


def _confirmed(search: Search) -> Grid:
    """A row for each study: its winner's score, what fresh seeds make of it, its values."""
    found = confirmations(search)
    planned = len(search.confirm_seeds)
    axes = _axes(search.studies)
    heads = ("search score", "confirmed", "optimism", TEST.label, "tuned values")
    return Grid(
        f"Search against confirmed, {find_metric(search.objectives[0]).heading}",
        f"{search.name}-search",
        (*map(field_words, axes), *heads),
        tuple((*_arm(one.study, axes), *_winner(one, planned)) for one in found),
        tuple(search_notes.of_confirmation(search, found)),
        stub=len(axes),
        running=True,
    )


def _winner(one: Confirmation, planned: int) -> Iterator[str]:
    yield NO_CELL if one.score is None else one.metric.show(one.score)
    yield _cell_text(one.confirmed, one.metric, planned)
    yield NO_CELL if one.optimism is None else f"{one.optimism:+z.{one.metric.digits}f}"
    yield _cell_text(one.test, TEST, planned)
    yield "no winner" if one.study.best is None else _values(one.study.best.values)


def _cell_text(cell: Aggregate, metric: Metric, planned: int) -> str:
    if not cell.n:
        return empty_text(cell, metric) or NO_CELL
    return f"{spread_text(cell, metric)} {absence_text(cell, metric, planned)}".rstrip()


def _values(values: Mapping[str, Any]) -> str:
    """`learning rate 0.034, kappa 0.5`, to be broken between two of them rather than within one."""
    words = key_words(values)
    settings = (f"{words[key]} {show_setting(value)}" for key, value in values.items())
    return ", ".join(text.replace(" ", FIXED) for text in settings)


def _budget(search: Search) -> Grid:
    """A row for each study: what its search spent."""
    axes = _axes(search.studies)
    budgets = [spent([study]) for study in search.studies]
    ends = [end for end in STATES if end == COMPLETE or any(one.states[end] for one in budgets)]
    rows = [
        (
            *_arm(study, axes),
            str(len(study.space)),
            *(str(n) for n in (one.finished, *(one.states[end] for end in ends), one.epochs)),
            f"{one.seconds / 60:.1f}",
        )
        for study, one in zip(search.studies, budgets, strict=True)
    ]
    heads = ("keys", "finished trials", *ends, "epochs", "minutes")
    return Grid(
        "Budget",
        f"{search.name}-budget",
        (*map(field_words, axes), *heads),
        tuple(rows),
        tuple(search_notes.of_budget(search)),
        stub=len(axes),
    )


def _importances(search: Search) -> Grid:
    """A row for each study: which key explains how much; a dash where it has none."""
    axes = _axes(search.studies)
    words = key_words(dict.fromkeys(key for study in search.studies for key in study.space))
    rows = [
        (*_arm(study, axes), *(_share(study, key) for key in words)) for study in search.studies
    ]
    return Grid(
        "Importance of each key",
        f"{search.name}-importances",
        (*map(field_words, axes), *words.values()),
        tuple(rows),
        tuple(search_notes.of_importances(search)),
        stub=len(axes),
    )


def _share(study: Study, key: str) -> str:
    share = (study.importances or {}).get(key)
    return NO_CELL if share is None else f"{share:.2f}"


def _best_trials(search: Search) -> Iterator[Grid]:
    """A table for each method, since each has its own keys."""
    methods: dict[Any, list[Study]] = {}
    for study in search.studies:
        methods.setdefault(study.arm.get(METHOD), []).append(study)
    for i, (method, studies) in enumerate(methods.items(), start=1):
        yield _trials(search, studies, method, i)


def _trials(search: Search, studies: Sequence[Study], method: Any, number: int) -> Grid:
    axes = [axis for axis in _axes(studies) if axis != METHOD]
    words = key_words(dict.fromkeys(key for study in studies for key in study.space))
    metrics = [find_metric(name) for name in search.objectives]
    heads = ("trial", *(metric.label for metric in metrics), *words.values())
    return Grid(
        "Best trials" + ("" if method is None else f" of {method}"),
        f"{search.name}-trials-{number}",
        (*map(field_words, axes), *heads, "state", "epochs", "seconds"),
        tuple(row for study in studies for row in _trial_rows(search, study, axes, list(words))),
        tuple(search_notes.of_trials(search, studies, ON_FRONT)),
        stub=len(axes) + 1 + len(metrics),
    )


def _trial_rows(
    search: Search, study: Study, axes: Sequence[str], keys: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """The best trials of a study, which is named in the first row alone."""
    metrics = [find_metric(name) for name in search.objectives]
    arm = _arm(study, axes)
    for trial in best_trials(search, study):
        front = len(metrics) > 1 and trial.number in study.front
        yield (
            *arm,
            f"{trial.number} {ON_FRONT}" if front else str(trial.number),
            *(m.show(trial.scores[m.name]) if m.name in trial.scores else NO_CELL for m in metrics),
            *(show_setting(trial.values[k]) if k in trial.values else NO_CELL for k in keys),
            state(trial),
            str(trial.epochs),
            f"{trial.seconds:.1f}",
        )
        arm = ("",) * len(axes)


def best_trials(search: Search, study: Study) -> list[Trial]:
    """The first ones by the first objective, of several objectives the front as well."""
    metric = find_metric(search.objectives[0])
    sign = -1 if metric.better == "higher" else 1
    found = sorted(study.trials, key=lambda trial: _rank(trial, study, metric, sign))
    count = SHOWN if len(search.studies) > 1 else SHOWN_ALONE
    front = study.front if len(search.objectives) > 1 else ()
    return [trial for i, trial in enumerate(found) if i < count or trial.number in front]


def _rank(trial: Trial, study: Study, metric: Metric, sign: int) -> tuple[float, ...]:
    """The winner, then what counts, then the pruned, then the diverged, each by score."""
    score = trial.scores.get(metric.name)
    if score is None:
        return (True, 3, 0.0, trial.number)
    kind = 0 if trial.counts else 1 if trial.state == PRUNED else 2
    return (trial.number != study.winner, kind, sign * score, trial.number)


def _axes(studies: Sequence[Study]) -> list[str]:
    """The axes of the suite, as the studies have them."""
    return list(dict.fromkeys(axis for study in studies for axis in study.arm))


def _arm(study: Study, axes: Sequence[str]) -> tuple[str, ...]:
    return tuple(show_value(study.arm.get(axis)) for axis in axes)
