"""Notes on what was spent to find each method's values, and on methods that were not tuned."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eibench.plan.options import TrainOptions
from eibench.plan.search import REPEAT
from eibench.plan.space import EDGE
from eibench.plan.suite import METHOD
from eibench.report.model.document import code
from eibench.report.model.search_results import (
    Search,
    Spent,
    Study,
    confirmations,
    read_search,
    spent,
)
from eibench.report.model.suite_results import RATE, SuiteResults, varies
from eibench.results.labels import counted, show_setting, show_value
from eibench.results.paths import RESULTS, SEARCH, evidence_of, has_plan, member
from eibench.results.store import read_plan

DEFAULT_RATE = float(TrainOptions.model_fields["lr"].default)
Tried = list[Mapping[str, Any]]
"""Fields of the runs of an ordinary suite in which values were found."""
Tuning = tuple[Search | None, Tried | None]
"""The search in which values were found, or the runs of an ordinary suite."""


def own_search(suite: SuiteResults) -> Search | None:
    """Return the search whose winners the suite's runs are, if they are any."""
    if suite.tuned_by != suite.name:
        return None
    folder = member(suite.folder, SEARCH)
    return read_search(folder) if has_plan(folder) else None


def tuned_keys(search: Search | None) -> set[str]:
    """Return fields that a search chose."""
    return {key for study in search.studies for key in study.space} if search else set()


def tuned_values(search: Search | None) -> Iterator[str]:
    """Yield notes on the values of each study's winner, as its fresh runs have them."""
    if search is None:
        return
    listed = [
        f"{code(one.study.name)}: {_values(one.study)}"
        for one in confirmations(search)
        if one.runs and one.study.best and one.study.best.values
    ]
    outdated = [code(one.study.name) for one in confirmations(search) if one.outdated]
    if listed:
        yield f"Tuned: {'; '.join(listed)}."
    if outdated:
        yield f"OUTDATED: runs of {', '.join(outdated)} do not have the values that won the search."


def _values(study: Study) -> str:
    values = study.best.values if study.best else {}
    return ", ".join(f"{code(key)} {show_setting(value)}" for key, value in values.items())


def tuning_notes(suite: SuiteResults) -> Iterator[str]:
    """Yield notes on what was spent to find each method's values."""
    if suite.tuned_by is None:
        if names := untuned(suite):
            listed = "all methods" if names == suite.methods else ", ".join(map(code, names))
            yield f"UNTUNED: {listed}, at the default learning rate {DEFAULT_RATE:g}."
        return
    search, tried = find_tuning(suite)
    if search is not None:
        yield from _of_search(suite, search)
        if suite.tuned_by != suite.name:  # else they stand below the winners
            yield from edge_notes(served_by(suite, search))
        yield from raised_budget(search)
        yield from dependent(search)
    elif tried is not None:
        yield from _of_runs(suite, tried)
    else:
        yield (
            f"Per-method values were found in {code(suite.tuned_by)}, whose results are not here:"
            " the tuning of each method cannot be told."
        )


def untuned(suite: SuiteResults) -> list[str]:
    """Return the methods that train at the default learning rate without a search for another.

    None are told of a suite with one method, or one that compares learning rates.
    """
    if suite.kind != "train" or len(suite.methods) < 2 or varies(suite.unchanged, RATE, [METHOD]):
        return []
    rates = {run.fields[METHOD]: run.value(RATE) for run in suite.unchanged}
    return [method for method, rate in rates.items() if rate == DEFAULT_RATE]


def tuning_places(folder: Path, tuned_by: str) -> list[Path]:
    """Return where results of the suite `tuned_by` may lie, for those in `folder`, in order."""
    beside = (folder.parent / tuned_by, RESULTS / tuned_by)
    return [place for live in beside for place in (live, evidence_of(live))]


def find_tuning(suite: SuiteResults) -> Tuning:
    """Return the search in which the suite's values were found, or the runs of another suite.

    They are looked for beside the suite, then in `RESULTS`. Of the runs those in networks that this
    suite has too, if there are any.
    """
    assert suite.tuned_by is not None
    own = suite.folder if suite.tuned_by == suite.name else None
    places = [own] if own else tuning_places(suite.folder, suite.tuned_by)
    if (searched := next(filter(has_plan, (p / SEARCH for p in places)), None)) is not None:
        return read_search(searched), None
    tuning = next(filter(has_plan, places), None)
    if tuning is None or own is not None:
        return None, None
    known = [run["fields"] for run in read_plan(tuning)["runs"]]
    networks = {_network(run.fields) for run in suite.runs}
    return None, [fields for fields in known if _network(fields) in networks] or known


def edge_notes(studies: Iterable[Study]) -> Iterator[str]:
    """Yield a note on winners whose value lies at an end of its range, or close to it."""
    found: dict[str, list[str]] = {}
    for study in studies:
        for key, end in study.edges.items():
            found.setdefault(f"{code(key)} at {show_setting(end)}", []).append(study.name)
    if found:
        listed = (f"{where} in {', '.join(map(code, names))}" for where, names in found.items())
        yield (
            f"EDGE OF RANGE: winners lie at an end of their range or within {EDGE:.0%} of it:"
            f" {'; '.join(listed)}. Better values may lie beyond: widen the range for all methods,"
            " unless the key has no values there."
        )


def _of_runs(suite: SuiteResults, tried: Tried) -> Iterator[str]:
    """Yield a note on the runs that each method had in an ordinary suite."""
    yield from _budgets(suite, tried)
    edges = [
        f"{code(method)} {code(key)} {show_value(v)}" for method, key, v in grid_edges(suite, tried)
    ]
    if edges:
        yield (
            f"EDGE OF RANGE: {', '.join(edges)}: least or greatest of what was tried. Widen the"
            " range for all methods."
        )


def _budgets(suite: SuiteResults, tried: Tried) -> Iterator[str]:
    """Yield a note on the number of runs that each method had."""
    numbers = run_counts(suite, tried)
    start = f"er-method values were found in {code(str(suite.tuned_by))}"
    if len(set(numbers.values())) == 1 and all(numbers.values()):
        yield f"P{start}: {counted(next(iter(numbers.values())))} for each method."
        return
    listed = ", ".join(f"{code(method)} {n or 'none'}" for method, n in numbers.items())
    yield f"UNEQUAL TUNING: p{start} with unlike numbers of runs: {listed}."


def run_counts(suite: SuiteResults, tried: Tried) -> dict[str, int]:
    """Return the number of runs that each method had."""
    counts = Counter(fields[METHOD] for fields in tried)
    return {method: counts.get(method, 0) for method in suite.methods}


def grid_edges(suite: SuiteResults, tried: Tried) -> Iterator[tuple[str, str, Any]]:
    """Yield method, key and value at an end of a grid of three or more."""
    for method in suite.methods:
        rows = [fields for fields in tried if fields[METHOD] == method]
        runs = [run for run in suite.unchanged if run.fields[METHOD] == method]
        for key in dict.fromkeys(key for fields in rows for key in fields):
            values = {v for f in rows if isinstance(v := f.get(key), int | float)}
            if key.startswith("train.") and len(values) > 2:
                ends = {min(values), max(values)} & {run.value(key) for run in runs}
                yield from ((method, key, end) for end in sorted(ends))


def _network(fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return all that is said of the network."""
    return tuple(
        (key, repr(fields[key])) for key in sorted(fields) if key.partition(".")[0] == "model"
    )


def _of_search(suite: SuiteResults, search: Search) -> Iterator[str]:
    """Yield a note on the trials, epochs and keys that each method had."""
    found = f"values were found in the search {code(search.name)}"
    methods = by_method(suite, search)
    if not methods:
        yield f"The {found}: {_whole(search)}."
        return
    budgets, fields = budgets_of(methods)
    keys = {m: max((len(s.space) for s in studies), default=0) for m, studies in methods.items()}
    listed = grouped(keys, "tuned key")
    if differing := list(unequal(budgets)):
        yield f"UNEQUAL TUNING: per-method {found}: {'. '.join(differing)}. {listed}."
        return
    trials = counted(next(iter(budgets.values())).finished, "trial")
    epochs = span([one.epochs for one in budgets.values()])
    each = f" at each {' and '.join(map(code, fields))}" if fields else ""
    yield f"Per-method {found}: {trials} and {epochs} for each method{each}; {listed}."


def raised_budget(search: Search) -> Iterator[str]:
    """Yield a note on smaller numbers of trials that were asked for before."""
    if search.raised_from:
        earlier = ", then ".join(map(str, search.raised_from))
        yield (
            f"RAISED BUDGET: the search was asked for {earlier}, then for"
            f" {counted(search.trials, 'trial')} in each study."
        )


def dependent(search: Search) -> Iterator[str]:
    """Yield a note where runs of one cell share the settings of fewer studies."""
    times = len({study.arm[REPEAT] for study in search.studies if REPEAT in study.arm})
    if 1 < times < len(search.confirm_seeds):
        yield (
            f"Runs of one study share its setting: {times} in each cell. Intervals take all runs as"
            " independent, and are too narrow where studies chose unlike settings."
        )


def served_by(suite: SuiteResults, search: Search) -> list[Study]:
    """Return the studies of the suite's methods: under conditions that its runs have, if any."""
    own = [s for s in search.studies if s.arm.get(METHOD) in (None, *suite.methods)]
    runs = [run.fields for run in suite.unchanged]
    alike = [s for s in own if any(s.combination.items() <= fields.items() for fields in runs)]
    return alike or own


def by_method(suite: SuiteResults, search: Search) -> dict[str, list[Study]]:
    """Return each method's studies; empty if the search does not tell methods."""
    if not any(METHOD in study.arm for study in search.studies):
        return {}
    return {m: [s for s in search.studies if s.arm.get(METHOD) == m] for m in suite.methods}


def budgets_of(methods: Mapping[str, Sequence[Study]]) -> tuple[dict[str, Spent], list[str]]:
    """Return what each method spent, and the fields for each of whose values it did.

    Methods that were tried at unlike depths differ in sum, though alike at each.
    """
    sums = {method: spent(studies) for method, studies in methods.items()}
    settings: dict[str, list[Study]] = {}
    for study in itertools.chain.from_iterable(methods.values()):
        settings.setdefault(repr(study.combination), []).append(study)
    each = {name: spent(studies) for name, studies in settings.items()}
    if not all(methods.values()) or any(unequal(each)) or not any(unequal(sums)):
        return sums, []
    fields = dict.fromkeys(key for s in settings.values() for key in s[0].combination)
    return dict.fromkeys(methods, next(iter(each.values()))), [f for f in fields if f != METHOD]


def _whole(search: Search) -> str:
    budget = spent(search.studies)
    keys = counted(len(tuned_keys(search)), "tuned key")
    return f"{counted(budget.finished, 'trial')}, {counted(budget.epochs, 'epoch')}, {keys}"


def unequal(budgets: Mapping[str, Spent]) -> Iterator[str]:
    """Yield in words how the budgets differ; nothing for equal ones.

    Epochs count only where no trial was cut short: that is what a pruner is for.
    """
    finished = {name: one.finished for name, one in budgets.items()}
    epochs = {name: one.epochs for name, one in budgets.items()}
    if len(set(finished.values())) > 1 or not all(finished.values()):
        yield grouped(finished, "finished trial")
    if len(set(epochs.values())) > 1 and not any(one.cut_short for one in budgets.values()):
        yield grouped(epochs, "epoch")


def grouped(numbers: Mapping[str, int], noun: str) -> str:
    """Return ``12 trials for `a`, `b`; 10 for `c` ``."""
    names: dict[int, list[str]] = {}
    for name, number in numbers.items():
        names.setdefault(number, []).append(code(name))
    first, *others = (f"for {', '.join(who)}" for who in names.values())
    start, *rest = names
    more = (f"; {number} {who}" for number, who in zip(rest, others, strict=True))
    return f"{counted(start, noun)} {first}{''.join(more)}"


def span(numbers: Collection[int], noun: str = "epoch") -> str:
    """Return `30 epochs`, or `20 to 30 epochs`."""
    low, high = min(numbers), max(numbers)
    return counted(high, noun) if low == high else f"{low} to {high} {noun}s"


def by_name(studies: Sequence[Study]) -> dict[str, Spent]:
    """Return the budget of each study."""
    return {study.name: spent([study]) for study in studies}
