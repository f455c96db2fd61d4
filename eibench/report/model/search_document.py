"""The document of a search: winners and their confirmation, budgets, importances, best trials."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from eibench.plan.suite import METHOD
from eibench.report.model import search_notes
from eibench.report.model.document import (
    FIXED,
    NO_CELL,
    Cell,
    Column,
    Document,
    Table,
    fixed,
    text_cells,
)
from eibench.report.model.search_results import (
    COMPLETE,
    PRUNED,
    STATES,
    TEST,
    Confirmation,
    Search,
    Study,
    Trial,
    confirmations,
    spent,
    state,
)
from eibench.report.model.search_values import search_values, trial_records
from eibench.results.cells import Aggregate
from eibench.results.labels import capital, field_words, key_words, show_setting
from eibench.results.metrics import Metric

SHOWN, SHOWN_ALONE = 5, 10
"""Best trials shown of each study, and of the only one."""
MOST_VALUES = 10
"""Values of a grid's only key that are columns of one table."""


def search_document(search: Search, recorded: bool = True, whole: bool = True) -> Document:
    """Return everything that is reported of a search, or its winners beside their fresh runs.

    Its trials are records if asked for.
    """
    tables = search_tables(search) if whole else [_confirmed(search)]
    notes = [note for table in tables for note in table.notes]
    values = {**search_values(search), "footnotes": notes}
    records, keys = trial_records(search) if recorded else ([], ())
    return Document(
        f"{search.title}: search",
        tuple(tables),
        subject=str(search.folder.resolve()),
        values={"suite": search.name, "title": search.title, "search": values},
        records=records,
        keys=keys,
    )


def search_tables(search: Search) -> list[Table]:
    """Return all tables of a search, with the notes that belong to each."""
    shares = any(study.importances for study in search.studies)
    importances = [_importances(search)] if shares else []
    trials = [_scores(search, key)] if (key := _only_key(search)) else _best_trials(search)
    return [_confirmed(search), _budget(search), *importances, *trials]


def _table(
    search: Search,
    title: str,
    label: str,
    heads: tuple[Sequence[str], Sequence[str]],
    rows: Sequence[tuple[Cell, ...]],
    notes: Iterable[str],
    paragraph: float = 0.0,
    short: Iterable[str] | None = None,
) -> Table:
    """Return a table whose heads are those of the stubs and those of the rest."""
    stubs, others = heads
    columns = [*(Column(head, stub=True) for head in stubs), *map(Column, others)]
    if paragraph:
        columns[-1] = Column(others[-1], paragraph=paragraph)
    caption = f"{search.title}: {title[:1].lower()}{title[1:]}"
    label = f"{search.name}-{label}"
    return Table(
        tuple(columns),
        tuple(rows),
        tuple(notes),
        None if short is None else tuple(short),
        title=title,
        caption=caption,
        label=label,
        narrow=True,
    )


def _confirmed(search: Search) -> Table:
    """Return a row for each study: its winner's score, what fresh seeds make of it, its values."""
    found = confirmations(search)
    axes = _axes(search.studies)
    heads = ("search score", "confirmed", "optimism", TEST.label, "tuned values")
    return _table(
        search,
        f"Search against confirmed, {search.metric.heading}",
        "search",
        (_words(axes), heads),
        [(*_arm(search, one.study, axes), *_winner(one, search)) for one in found],
        search_notes.of_confirmation(search, found),
        paragraph=0.3,
    )


def _winner(one: Confirmation, search: Search) -> Iterator[Cell]:
    planned = len(search.fresh_seeds(one.study))
    yield Cell(NO_CELL if one.score is None else one.metric.show(one.score))
    yield _aggregate(one.confirmed, one.metric, planned)
    yield Cell(NO_CELL if one.optimism is None else f"{one.optimism:+z.{one.metric.digits}f}")
    yield _aggregate(one.test, TEST, planned)
    yield Cell("no winner" if one.study.best is None else _values(one.study.best.values))


def _aggregate(cell: Aggregate, metric: Metric, planned: int) -> Cell:
    if not cell.n:
        return Cell(cell.reasons(metric) or NO_CELL)
    return Cell(fixed(cell.number(metric)), cell.remark(metric, planned))


def _values(values: Mapping[str, Any]) -> str:
    """Return `learning rate 0.034, kappa 0.5`, to be broken between settings, not within."""
    words = key_words(values)
    settings = (f"{words[key]} {show_setting(value)}" for key, value in values.items())
    return ", ".join(text.replace(" ", FIXED) for text in settings)


def _budget(search: Search) -> Table:
    """Return a row for each study: what its search spent."""
    axes = _axes(search.studies)
    budgets = [spent([study]) for study in search.studies]
    ends = [end for end in STATES if end == COMPLETE or any(one.states[end] for one in budgets)]
    rows = [
        (
            *_arm(search, study, axes),
            *text_cells(
                [
                    *(str(n) for n in (len(study.space), one.finished)),
                    *(str(n) for n in (*(one.states[end] for end in ends), one.epochs)),
                    f"{one.seconds / 60:.1f}",
                ]
            ),
        )
        for study, one in zip(search.studies, budgets, strict=True)
    ]
    heads = ("keys", "finished trials", *ends, "epochs", "minutes")
    short, notes = (search_notes.of_budget(search, short) for short in (True, False))
    return _table(search, "Budget", "budget", (_words(axes), heads), rows, notes, short=short)


def _importances(search: Search) -> Table:
    """Return a row for each study: which key explains how much; a dash where it has none."""
    axes = _axes(search.studies)
    words = key_words(dict.fromkeys(key for study in search.studies for key in study.space))
    rows = [
        (*_arm(search, study, axes), *text_cells(_share(study, key) for key in words))
        for study in search.studies
    ]
    heads = (_words(axes), tuple(words.values()))
    notes = search_notes.of_importances(search)
    return _table(search, "Importance of each key", "importances", heads, rows, notes)


def _share(study: Study, key: str) -> str:
    share = (study.importances or {}).get(key)
    return NO_CELL if share is None else f"{share:.2f}"


def _only_key(search: Search) -> str | None:
    """Return the key of a grid over the same few choices of one key in all studies."""
    spaces = [dict(study.space) for study in search.studies]
    if search.sampler != "grid" or not spaces or any(space != spaces[0] for space in spaces):
        return None
    if len(spaces[0]) != 1:
        return None
    ((key, known),) = spaces[0].items()
    return key if 0 < len(known.get("choices", ())) <= MOST_VALUES else None


def _scores(search: Search, key: str) -> Table:
    """Return a row for each study with its score at each value of the one key."""
    metric, axes = search.metric, _axes(search.studies)
    values = list(search.studies[0].space[key]["choices"])
    rows = []
    for study in search.studies:
        tried = [
            [trial for trial in study.trials if trial.values.get(key) == value] for value in values
        ]
        cells = (_score(found[-1] if found else None, study, metric) for found in tried)
        rows.append((*_arm(search, study, axes), *cells))
    return _table(
        search,
        f"{capital(metric.heading)} of all trials",
        "scores",
        (_words(axes), [f"{field_words(key)} {show_setting(value)}" for value in values]),
        rows,
        search_notes.of_scores(search),
    )


def _score(trial: Trial | None, study: Study, metric: Metric) -> Cell:
    """Return the score of a trial, or its state where it cannot win or has none."""
    if trial is None:
        return Cell(NO_CELL)
    score = trial.scores.get(metric.name)
    if score is None or not trial.counts:
        return Cell(state(trial))
    return Cell(metric.show(score), best=trial.number == study.winner)


def _best_trials(search: Search) -> Iterator[Table]:
    """Yield a table for each method, since each has its own keys."""
    methods: dict[Any, list[Study]] = {}
    for study in search.studies:
        methods.setdefault(study.arm.get(METHOD), []).append(study)
    for i, (method, studies) in enumerate(methods.items(), start=1):
        yield _trials(search, studies, method, i)


def _trials(search: Search, studies: Sequence[Study], method: Any, number: int) -> Table:
    axes = [axis for axis in _axes(studies) if axis != METHOD]
    words = key_words(dict.fromkeys(key for study in studies for key in study.space))
    score = search.metric.label
    rows = [row for study in studies for row in _trial_rows(search, study, axes, list(words))]
    return _table(
        search,
        "Best trials" + ("" if method is None else f" of {search.name_of(METHOD, method)}"),
        f"trials-{number}",
        ((*_words(axes), "trial", score), (*words.values(), "state", "epochs", "seconds")),
        rows,
        search_notes.of_trials(search, studies),
    )


def _trial_rows(
    search: Search, study: Study, axes: Sequence[str], keys: Sequence[str]
) -> Iterator[tuple[Cell, ...]]:
    """Yield the best trials of a study, which is named in the first row alone."""
    metric = search.metric
    arm = _arm(search, study, axes)
    for trial in best_trials(search, study):
        score = trial.scores.get(metric.name)
        texts = [
            str(trial.number),
            NO_CELL if score is None else metric.show(score),
            *(show_setting(trial.values[k]) if k in trial.values else NO_CELL for k in keys),
            *(state(trial), str(trial.epochs), f"{trial.seconds:.1f}"),
        ]
        yield (*arm, *text_cells(texts))
        arm = text_cells([""] * len(axes))


def best_trials(search: Search, study: Study) -> list[Trial]:
    """Return the best trials of a study by their score, the best first."""
    metric = search.metric
    sign = -1 if metric.better == "higher" else 1
    found = sorted(study.trials, key=lambda trial: _rank(trial, study, metric, sign))
    count = SHOWN if len(search.studies) > 1 else SHOWN_ALONE
    return found[:count]


def _rank(trial: Trial, study: Study, metric: Metric, sign: int) -> tuple[float, ...]:
    """Return a sort key: the winner, what counts, the pruned, the diverged, each by score."""
    score = trial.scores.get(metric.name)
    if score is None:
        return (True, 3, 0.0, trial.number)
    kind = 0 if trial.counts else 1 if trial.state == PRUNED else 2
    return (trial.number != study.winner, kind, sign * score, trial.number)


def _axes(studies: Sequence[Study]) -> list[str]:
    """Return the axes of the suite, as the studies have them."""
    return list(dict.fromkeys(axis for study in studies for axis in study.arm))


def _words(axes: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(field_words, axes))


def _arm(search: Search, study: Study, axes: Sequence[str]) -> tuple[Cell, ...]:
    return text_cells(search.name_of(axis, study.arm.get(axis)) for axis in axes)
