"""Notes for a paper: short, with the names that it prints, and without commands, files or runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from eibench.plan.suite import METHOD
from eibench.report.model.document import BEST
from eibench.report.model.pivot import UNCOMPARED, Pivot, Place, best_scope
from eibench.report.model.provenance import machine_note, mixed_data
from eibench.report.model.suite_results import RATE, SuiteResults, varies
from eibench.report.model.tuning import (
    DEFAULT_RATE,
    Tuning,
    budgets_of,
    by_method,
    dependent,
    find_tuning,
    grid_edges,
    raised_budget,
    run_counts,
    served_by,
    unequal,
    untuned,
)
from eibench.results.defaults import defaults_beside
from eibench.results.display import option_words
from eibench.results.labels import counted, field_words, show_setting, show_value
from eibench.results.statistics import Verdict
from eibench.results.store import INTERRUPTED, MISSING

UP, DOWN, SAME, EQUAL, FAILED = "\u2191", "\u2193", "\u2248", "=", "\u2020"
"""Marks of a difference: above 0, below, within the margin, the same numbers, runs failed."""


def sign_of(pivot: Pivot, place: Place) -> str:
    """Return the verdict on a difference as a sign; empty for an undecided one."""
    found, verdict = pivot.differences[place], pivot.verdict(place)
    if verdict is None:
        cell, base = pivot.cells[place], pivot.cells[pivot.layout.base_of(*place)]
        return EQUAL if cell.values == base.values else FAILED * bool(cell.failed or base.failed)
    if verdict is Verdict.UNDECIDED:
        return ""
    arrow = "" if verdict is Verdict.EQUIVALENT else UP if found.mean > 0 else DOWN
    return arrow + SAME * found.within(pivot.margin)


def legend(pivot: Pivot) -> Iterator[str]:
    """Yield notes on the marks that stand beside numbers."""
    marks = [cell.mark(pivot.metric, pivot.planned) for cell in pivot.cells.values() if cell.n]
    if any("/" in mark for mark in marks):
        yield "Superscript k/n: k of n runs train."
    if any("n=" in mark for mark in marks):
        yield "Superscript n: number of runs behind the mean, where some have no result."
    signs = "".join(sign_of(pivot, place) for place in pivot.differences)
    better = pivot.metric.better
    up, down = ("better", "worse") if better == "higher" else ("worse", "better")
    meaning = {
        UP: up if better else "higher",
        DOWN: down if better else "lower",
        SAME: f"equivalent, within \u00b1{pivot.margin or 0:g}",
        EQUAL: "the same numbers",
        FAILED: "runs failed, no verdict",
    }
    told = [f"{sign} {words}" for sign, words in meaning.items() if sign in signs]
    blank = [one for place, one in pivot.differences.items() if not sign_of(pivot, place)]
    rest = ["without a mark: undecided"] * any(one.interval for one in blank)
    rest += ["without an interval: no spread"] * any(not one.interval for one in blank)
    if told:
        yield f"{'; '.join([', '.join(told), *rest])}."


def short_notes(pivot: Pivot) -> Iterator[str]:
    """Yield what the reader of a paper needs to judge the table."""
    suite = pivot.suite
    yield " ".join([*_spread(pivot), *_differences(pivot)])
    yield from _best(pivot)
    if METHOD in pivot.layout.fields:
        yield from _same(suite)
        yield from _defaults(suite)
        yield from _rates(pivot)
        yield from short_tuning_notes(suite)
    yield from _unfinished(suite)
    yield from mixed_data(suite.runs)
    if pivot.metric.by_machine:
        yield from machine_note(suite.runs)


def _spread(pivot: Pivot) -> Iterator[str]:
    if pivot.planned == 1:
        yield "One run in each cell."
    else:
        yield f"Mean \u00b1 standard deviation over n = {pivot.planned} runs."


def _best(pivot: Pivot) -> Iterator[str]:
    if pivot.mixed:
        yield UNCOMPARED
    elif any(cell.best for cell in pivot.cells.values()):
        yield f"{BEST}best mean of {best_scope(pivot)}."


def _differences(pivot: Pivot) -> Iterator[str]:
    found = list(pivot.differences.values())
    if pivot.layout.reference is None or not found:
        return
    name = pivot.suite.name_of(*pivot.layout.reference)
    unit = f" in {pivot.metric.difference_unit}" if pivot.metric.unit == "%" else ""
    interval = " [95 % confidence interval]" if any(one.interval for one in found) else ""
    shared = ", over shared seeds" * pivot.pairs_some
    yield f"Signed numbers: difference to {name}{unit}{interval}{shared}."
    if any(one.interval and pivot.some_fail(place) for place, one in pivot.differences.items()):
        yield "Where some seeds fail and others train, intervals do not hold."


def _same(suite: SuiteResults) -> Iterator[str]:
    for first, *others in suite.same:
        verb = "are" if len(others) > 1 else "is"
        yield f"{suite.listed(others)} {verb} the same computation as {suite.listed([first])} here."


def _defaults(suite: SuiteResults) -> Iterator[str]:
    listed = []
    for method, known in defaults_beside(suite.unchanged).items():
        told = ", ".join(f"{option_words(key)} {show_value(v)}" for key, v in known.items())
        listed.append(f"{suite.listed([method])}: {told}")
    if listed:
        yield f"Default options: {'; '.join(listed)}."


def _rates(pivot: Pivot) -> Iterator[str]:
    """Yield the learning rate of each method, where it is one for each."""
    runs = pivot.suite.unchanged
    if RATE in pivot.layout.fields or not varies(runs, RATE) or varies(runs, RATE, [METHOD]):
        return
    alike: dict[str, list[str]] = {}
    for method, rate in {run.fields[METHOD]: run.value(RATE) for run in runs}.items():
        alike.setdefault(show_value(rate), []).append(method)
    told = (f"{rate}: {pivot.suite.listed(names)}." for rate, names in alike.items())
    yield f"{field_words(RATE).capitalize()} {' '.join(told)}"


def _unfinished(suite: SuiteResults) -> Iterator[str]:
    ends = Counter(run.status for run in suite.runs if run.failed or run.status == INTERRUPTED)
    if ends:
        told = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in ends.items())
        yield f"Runs without a result: {told}."
    missing = sum(run.status == MISSING for run in suite.runs)
    if missing:
        yield f"Not run yet: {missing} of {counted(len(suite.runs), 'run')}."


def short_tuning_notes(suite: SuiteResults) -> Iterator[str]:
    """Yield what was spent to find each method's values, without names of other suites."""
    if suite.tuned_by is None:
        if names := untuned(suite):
            listed = "all methods" if names == suite.methods else suite.listed(names)
            yield f"Untuned: {listed}, at the default learning rate {DEFAULT_RATE:g}."
        return
    tuning = find_tuning(suite)
    yield from _tuning_budgets(suite, tuning)
    ends: dict[str, dict[str, None]] = {}
    for method, key, end in _edges(suite, tuning):
        ends.setdefault(f"{field_words(key)} {show_setting(end)}", {})[method] = None
    if ends:
        told = "; ".join(f"{end} for {suite.listed(methods)}" for end, methods in ends.items())
        yield f"Best at an end of what was tried: {told}."


def _tuning_budgets(suite: SuiteResults, tuning: Tuning) -> Iterator[str]:
    search, tried = tuning
    each = ""
    if search is not None:
        studies = by_method(suite, search) or {m: list(search.studies) for m in suite.methods}
        budgets, fields = budgets_of(studies)
        numbers, noun = {method: one.finished for method, one in budgets.items()}, "trial"
        if len(set(numbers.values())) == 1 and any(unequal(budgets)):
            numbers, noun = {method: one.epochs for method, one in budgets.items()}, "epoch"
        each = "".join(f" and {field_words(field)}" for field in fields)
        yield from raised_budget(search)
        yield from dependent(search)
    elif tried is not None:
        numbers, noun = run_counts(suite, tried), "run"
    else:
        yield "How the methods were tuned is not recorded here."
        return
    alike: dict[int, list[str]] = {}
    for method, number in numbers.items():
        alike.setdefault(number, []).append(method)
    if len(alike) == 1:
        yield f"Tuned with {counted(next(iter(alike)), noun)} for each method{each}."
        return
    told = [f"{counted(n, noun)} for {suite.listed(m)}" for n, m in alike.items() if n]
    told += ["none for the others"] * (0 in alike)
    yield f"Unequal tuning: {', '.join(told)}."


def _edges(suite: SuiteResults, tuning: Tuning) -> Iterator[tuple[str, str, Any]]:
    """Yield method, key and value of each winner at an end of what was tried."""
    search, tried = tuning
    if search is None:
        yield from grid_edges(suite, tried or [])
        return
    for study in served_by(suite, search):
        for method in [str(study.arm[METHOD])] if METHOD in study.arm else suite.methods:
            yield from ((method, key, end) for key, end in study.edges.items())
