"""Footnotes on how the values of a suite were found: which they are, and what each method's cost.

They were found in another suite, or by a search: that of the suite itself, whose winners its runs
are, or that of another one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

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
from eibench.report.model.suite_results import SuiteResults
from eibench.results.labels import counted, show_setting
from eibench.results.paths import evidence_of, has_plan, member
from eibench.results.store import SEARCH, read_plan

RESULTS = Path("results")
"""Where a search is looked for, if it does not lie beside the suite that it served."""


def own_search(suite: SuiteResults) -> Search | None:
    """The search whose winners the suite's runs are, if they are any."""
    if suite.tuned_by != suite.name:
        return None
    folder = member(suite.folder, SEARCH)
    return read_search(folder) if has_plan(folder) else None


def tuned_keys(search: Search | None) -> set[str]:
    """Fields that a search chose."""
    return {key for study in search.studies for key in study.space} if search else set()


def tuned_values(search: Search | None) -> Iterator[str]:
    """The values of each study's winner, as its fresh runs have them."""
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
    """What was spent on finding each method's values."""
    if suite.tuned_by is None:
        return
    own = suite.folder if suite.tuned_by == suite.name else None
    beside = [suite.folder.parent / suite.tuned_by, RESULTS / suite.tuned_by]
    places = [own] if own else [p for live in beside for p in (live, evidence_of(live))]
    searches = (place / SEARCH for place in places)
    searched = next(filter(has_plan, searches), None)
    tuning = next(filter(has_plan, places), None)
    if searched is not None:
        yield from _of_search(suite, read_search(searched))
    elif tuning is not None and own is None:
        yield from _of_runs(suite, tuning)
    else:
        yield (
            f"Per-method values were found in {code(suite.tuned_by)}, whose results are not here:"
            " the tuning of each method cannot be told."
        )


def _of_runs(suite: SuiteResults, tuning: Path) -> Iterator[str]:
    """The runs that each method had in an ordinary suite."""
    counts = Counter(run["fields"][METHOD] for run in read_plan(tuning)["runs"])
    numbers = {method: counts.get(method, 0) for method in suite.methods}
    start = f"er-method values were found in {code(str(suite.tuned_by))}"
    if len(set(numbers.values())) == 1 and all(numbers.values()):
        yield f"P{start}: {counted(next(iter(numbers.values())))} for each method."
        return
    listed = ", ".join(f"{code(method)} {n or 'none'}" for method, n in numbers.items())
    yield f"UNEQUAL TUNING: p{start} with unlike numbers of runs: {listed}."


def _of_search(suite: SuiteResults, search: Search) -> Iterator[str]:
    """The trials, epochs and keys that each method had."""
    found = f"values were found in the search {code(search.name)}"
    methods = _by_method(suite, search)
    if not methods:
        yield f"The {found}: {_whole(search)}."
        return
    budgets = {method: spent(studies) for method, studies in methods.items()}
    keys = {m: max((len(s.space) for s in studies), default=0) for m, studies in methods.items()}
    listed = grouped(keys, "tuned key")
    differing = list(unequal(budgets))
    if differing:
        yield f"UNEQUAL TUNING: per-method {found}: {'. '.join(differing)}. {listed}."
        return
    trials = next(iter(budgets.values())).finished
    epochs = span([one.epochs for one in budgets.values()])
    yield f"Per-method {found}: {counted(trials, 'trial')} and {epochs} for each method; {listed}."


def _by_method(suite: SuiteResults, search: Search) -> dict[str, list[Study]]:
    """The studies of each of the suite's methods; empty if the search does not tell methods."""
    if not any(METHOD in study.arm for study in search.studies):
        return {}
    return {m: [s for s in search.studies if s.arm.get(METHOD) == m] for m in suite.methods}


def _whole(search: Search) -> str:
    budget = spent(search.studies)
    keys = counted(len(tuned_keys(search)), "tuned key")
    return f"{counted(budget.finished, 'trial')}, {counted(budget.epochs, 'epoch')}, {keys}"


def unequal(budgets: Mapping[str, Spent]) -> Iterator[str]:
    """In what the budgets differ, each in words; nothing for fair ones.

    Epochs count only where no trial was cut short: that is what a pruner is for.
    """
    finished = {name: one.finished for name, one in budgets.items()}
    epochs = {name: one.epochs for name, one in budgets.items()}
    if len(set(finished.values())) > 1 or not all(finished.values()):
        yield grouped(finished, "finished trial")
    if len(set(epochs.values())) > 1 and not any(one.cut_short for one in budgets.values()):
        yield grouped(epochs, "epoch")


def grouped(numbers: Mapping[str, int], noun: str) -> str:
    """``12 trials for `a`, `b`; 10 for `c` ``."""
    names: dict[int, list[str]] = {}
    for name, number in numbers.items():
        names.setdefault(number, []).append(code(name))
    first, *others = (f"for {', '.join(who)}" for who in names.values())
    start, *rest = names
    more = (f"; {number} {who}" for number, who in zip(rest, others, strict=True))
    return f"{counted(start, noun)} {first}{''.join(more)}"


def span(epochs: Collection[int]) -> str:
    """`30 epochs`, or `20 to 30 epochs`."""
    low, high = min(epochs), max(epochs)
    return counted(high, "epoch") if low == high else f"{low} to {high} epochs"


def by_name(studies: Sequence[Study]) -> dict[str, Spent]:
    """The budget of each study."""
    return {study.name: spent([study]) for study in studies}
