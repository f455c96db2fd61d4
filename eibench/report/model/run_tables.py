"""Tables of single runs for a page: what failed and why, what runs cost, what they were set to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from eibench.plan.conditions import FROM
from eibench.plan.suite import METHOD, SEED
from eibench.plan.yaml_source import dump
from eibench.report.model.document import NO_CELL, Cell, Column, Table, code, fixed, text_cells
from eibench.report.model.pivot import build_pivot, choose_layout
from eibench.report.model.search_results import COMPLETE, Search, state
from eibench.report.model.suite_results import SuiteResults
from eibench.results.cells import Aggregate, Run
from eibench.results.labels import counted, field_words, format_duration, shortened
from eibench.results.metrics import Metric, find_metric
from eibench.results.store import OK

MOST_ROWS = 300
"""Runs that a table names."""
COSTS = ("seconds", "images_per_second", "peak_memory_mib", "parameters")


def failures_table(suite: SuiteResults) -> Table | None:
    """Return the runs without a result, each with its reason; None where all have one."""
    found = [run for run in suite.runs if run.status != OK]
    if not found:
        return None
    fields = [field for field in suite.axis_fields if field != SEED] or [METHOD]
    heads = [*map(field_words, fields), "seed"]
    columns = (
        *(Column(head, stub=True) for head in heads),
        *map(Column, ("status", "reason", "run")),
    )
    rows = [
        text_cells(
            [
                *(suite.name_of(field, run.value(field)) for field in fields),
                str(run.seed),
                run.status.replace("_", " "),
                shortened(run.reason),
                run.run_id,
            ]
        )
        for run in found[:MOST_ROWS]
    ]
    return Table(columns, tuple(rows), _left_out(len(found)), title="Runs without a result")


def trials_table(search: Search) -> Table | None:
    """Return the trials that cannot win, each with its reason; None where all can."""
    found = [(s, t) for s in search.studies for t in s.trials if t.state != COMPLETE or t.diverged]
    if not found:
        return None
    heads = ("study", "trial", "state", "reason")
    columns = tuple(Column(head, stub=i < 2) for i, head in enumerate(heads))
    rows = [
        text_cells(
            [
                search.called(study) or search.name,
                str(trial.number),
                state(trial),
                shortened(trial.reason or ""),
            ]
        )
        for study, trial in found[:MOST_ROWS]
    ]
    return Table(columns, tuple(rows), _left_out(len(found)), title="Trials that cannot win")


def _left_out(n: int) -> tuple[str, ...]:
    return (f"{n - MOST_ROWS} more are not named here.",) if n > MOST_ROWS else ()


def cost_table(suite: SuiteResults) -> Table | None:
    """Return a row for each cell and a column for each cost; None where nothing was measured."""
    layout = choose_layout(suite, against="none")
    tables = [build_pivot(suite, find_metric(name), layout) for name in COSTS]
    known = [t for t in tables if any(cell.n for cell in t.cells.values())]
    if not known:
        return None
    heads = [field_words(field) for field in layout.fields] or ["suite"]
    columns = (*(Column(h, stub=True) for h in heads), *(Column(t.metric_heading) for t in known))
    rows = []
    for place in known[0].cells:
        values = zip(layout.fields, (*place[0], *place[1]), strict=True)
        names = [suite.name_of(*pair) for pair in values] or [suite.name]
        cells = [(t.cells[place], t.metric) for t in known]
        rows.append((*text_cells(names), *(Cell(_number(c, m)) for c, m in cells)))
    return Table(columns, tuple(rows), tuple(_cost_notes(suite.runs)))


def _number(cell: Aggregate, metric: Metric) -> str:
    """Return mean and deviation; a number that is the same in all runs stands alone."""
    if cell.mean is None:
        return NO_CELL
    alike = len(set(cell.values.values())) == 1
    return metric.show(cell.mean) if alike else fixed(cell.number(metric))


def _cost_notes(runs: Sequence[Run]) -> Iterator[str]:
    yield "Mean \N{PLUS-MINUS SIGN} sample standard deviation over seeds."
    if seconds := total_seconds(runs):
        yield f"All runs together took {format_duration(seconds)}."
        yield "Times of unlike machines do not compare."


def total_seconds(runs: Sequence[Run]) -> float:
    """Return the time that all runs took together."""
    return sum(run.number("seconds") or 0.0 for run in runs)


def ends(runs: Sequence[Run]) -> str:
    """Return how many runs there are, and how those ended that have no result."""
    others = Counter(run.status.replace("_", " ") for run in runs if run.status != OK)
    listed = ", ".join(f"{n} {status}" for status, n in others.items())
    return counted(len(runs)) + (f" ({listed})" if listed else "")


def settings_text(suite: SuiteResults) -> str:
    """Return as YAML what all runs were set to, and what varies between them.

    Which run's weights a row evaluates is no setting; `load_results` has it.
    """
    values: dict[str, list[Any]] = {}
    for run in suite.runs:
        for field, value in run.fields.items():
            seen = values.setdefault(field, [])
            if value not in seen:
                seen.append(value)
    values = {f: v for f, v in values.items() if not f.startswith(f"{FROM}.")}
    shared = {f: v[0] for f, v in values.items() if len(v) == 1}
    varied = {f: v for f, v in values.items() if len(v) > 1}
    content = {"name": suite.name, "all runs": shared, "between runs": varied}
    return dump(content, allow_unicode=True, width=100)


def names_note(suite: SuiteResults) -> Iterator[str]:
    """Yield which label of suites and commands each name stands for."""
    pairs = {label: suite.name_of(METHOD, label) for label in suite.methods}
    listed = [f"{name} is {code(label)}" for label, name in pairs.items() if name != label]
    if listed:
        yield f"Names: {', '.join(listed)}."
