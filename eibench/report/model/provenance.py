"""Notes on where numbers come from: machine, versions, commit, command, data, and tuning.

Runs that were computed in unlike ways are said to be MIXED, since a difference between them need
not be a difference between methods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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
from eibench.results.cells import Run
from eibench.results.labels import counted, machine_label, show_setting, show_value, stated
from eibench.results.paths import evidence_of, has_plan, member
from eibench.results.store import SEARCH, read_plan

MOST_COMMANDS = 3


def provenance(runs: Sequence[Run]) -> list[str]:
    """Return notes on how the runs that have a record came about."""
    done = [run for run in runs if run.environment]
    if not done:
        return []
    return [
        *_note(done, machine, "Computed on", "MIXED MACHINES (times and memory do not compare)"),
        *_note(done, versions, "With", "MIXED VERSIONS"),
        *_note(done, commit, "Source:", "MIXED COMMITS"),
        *_plugins(done),
        *_mixed_data(done),
        _commands(done),
    ]


def machine(run: Run) -> str:
    """Return the processor and the device of a run."""
    return machine_label(run.environment)


def versions(run: Run) -> str:
    """Return the versions that make numbers."""
    known = stated(run.environment)
    names = {"eibench": "eibench", "torch": "torch", "python": "Python"}
    return ", ".join(f"{name} {known.get(key)}" for key, name in names.items())


def commit(run: Run) -> str:
    """Return the source commit, and whether it says it all."""
    known = stated(run.environment)
    if not known.get("commit"):
        return "installed package, no commit"
    dirty = " (with uncommitted changes)" if known.get("dirty") else ""
    return f"commit {known['commit'][:8]}{dirty}"


def _note(
    runs: Sequence[Run], say: Callable[[Run], str], start: str, warning: str
) -> Iterator[str]:
    """Yield one note: the text that all runs share, or each text with its number of runs."""
    texts = Counter(say(run) for run in runs)
    if len(texts) == 1:
        yield f"{start} {next(iter(texts))}."
    else:
        yield f"{warning}: {'; '.join(_counted(texts.items()))}."


def _counted(texts: Iterable[tuple[str, int]]) -> Iterator[str]:
    for text, count in texts:
        yield f"{count} run{'s' * (count > 1)} with {text}"


def _plugins(runs: Sequence[Run]) -> Iterator[str]:
    """Yield a note on plugins, with the hash of their source."""
    sources = [run.environment.get("plugins", {}) for run in runs]
    found = list(dict.fromkeys(code(text) for known in sources for text in known.values()))
    if found:
        yield f"Plugin{'s' * (len(found) > 1)}: {', '.join(found)}."


def _mixed_data(runs: Sequence[Run]) -> Iterator[str]:
    """Yield a warning where runs of one data set had unlike images, by their digests.

    Splits that are drawn by seed are compared among runs of one seed.
    """
    digests: dict[str, set[str]] = {}
    for run in runs:
        if "data_digest" in run.result:
            parts = ("data", "timesteps")  # recordings are binned into T frames
            fields = {k: v for k, v in run.fields.items() if k.partition(".")[0] in parts}
            key = repr((fields, run.seed if run.by_seed else None))
            digests.setdefault(key, set()).add(run.result["data_digest"])
    if any(len(found) > 1 for found in digests.values()):
        yield "MIXED DATA: runs of one data set were trained on different images."


def _commands(runs: Sequence[Run]) -> str:
    commands = list(dict.fromkeys(code(str(run.environment.get("command"))) for run in runs))
    listed = ", ".join(commands[:MOST_COMMANDS])
    more = len(commands) - MOST_COMMANDS
    plural = "s" * (len(commands) > 1)
    return f"Command{plural}: {listed}" + f" and {more} more" * (more > 0) + "."


# ---------------------------------------------------------------------------------- tuning

RESULTS = Path("results")
"""Where a search is looked for, if it does not lie beside the suite that it served."""


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
        return
    own = suite.folder if suite.tuned_by == suite.name else None
    beside = [suite.folder.parent / suite.tuned_by, RESULTS / suite.tuned_by]
    places = [own] if own else [p for live in beside for p in (live, evidence_of(live))]
    searches = (place / SEARCH for place in places)
    searched = next(filter(has_plan, searches), None)
    tuning = next(filter(has_plan, places), None)
    if searched is not None:
        search = read_search(searched)
        yield from _of_search(suite, search)
        yield from raised_budget(search)
    elif tuning is not None and own is None:
        yield from _of_runs(suite, tuning)
    else:
        yield (
            f"Per-method values were found in {code(suite.tuned_by)}, whose results are not here:"
            " the tuning of each method cannot be told."
        )


def _of_runs(suite: SuiteResults, tuning: Path) -> Iterator[str]:
    """Yield a note on the runs that each method had in an ordinary suite, in networks that this
    suite has too, if there are any."""
    known = [run["fields"] for run in read_plan(tuning)["runs"]]
    networks = {_network(run.fields) for run in suite.runs}
    alike = [fields for fields in known if _network(fields) in networks]
    yield from _budgets(suite, alike or known)
    if edges := list(_edges(suite, alike or known)):
        yield (
            f"EDGE OF RANGE: {', '.join(edges)}: least or greatest of what was tried. Widen the"
            " range for all methods."
        )


def _budgets(suite: SuiteResults, tried: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a note on the number of runs that each method had."""
    counts = Counter(fields[METHOD] for fields in tried)
    numbers = {method: counts.get(method, 0) for method in suite.methods}
    start = f"er-method values were found in {code(str(suite.tuned_by))}"
    if len(set(numbers.values())) == 1 and all(numbers.values()):
        yield f"P{start}: {counted(next(iter(numbers.values())))} for each method."
        return
    listed = ", ".join(f"{code(method)} {n or 'none'}" for method, n in numbers.items())
    yield f"UNEQUAL TUNING: p{start} with unlike numbers of runs: {listed}."


def _edges(suite: SuiteResults, tried: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield each method's values at an end of a grid of three or more: `` `mpbn` 1 ``."""
    for method in suite.methods:
        rows = [fields for fields in tried if fields[METHOD] == method]
        runs = [run for run in suite.unchanged if run.fields[METHOD] == method]
        for key in dict.fromkeys(key for fields in rows for key in fields):
            values = {v for f in rows if isinstance(v := f.get(key), int | float)}
            if key.startswith("train.") and len(values) > 2:
                ends = {min(values), max(values)} & {run.value(key) for run in runs}
                for end in sorted(ends):
                    yield f"{code(method)} {code(key)} {show_value(end)}"


def _network(fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return all that is said of the network."""
    return tuple(
        (key, repr(fields[key])) for key in sorted(fields) if key.partition(".")[0] == "model"
    )


def _of_search(suite: SuiteResults, search: Search) -> Iterator[str]:
    """Yield a note on the trials, epochs and keys that each method had."""
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


def raised_budget(search: Search) -> Iterator[str]:
    """Yield a note on smaller numbers of trials that were asked for before."""
    if search.raised_from:
        earlier = ", then ".join(map(str, search.raised_from))
        yield (
            f"RAISED BUDGET: the search was asked for {earlier}, then for"
            f" {counted(search.trials, 'trial')} in each study."
        )


def _by_method(suite: SuiteResults, search: Search) -> dict[str, list[Study]]:
    """Return each method's studies; empty if the search does not tell methods."""
    if not any(METHOD in study.arm for study in search.studies):
        return {}
    return {m: [s for s in search.studies if s.arm.get(METHOD) == m] for m in suite.methods}


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


def span(epochs: Collection[int]) -> str:
    """Return `30 epochs`, or `20 to 30 epochs`."""
    low, high = min(epochs), max(epochs)
    return counted(high, "epoch") if low == high else f"{low} to {high} epochs"


def by_name(studies: Sequence[Study]) -> dict[str, Spent]:
    """Return the budget of each study."""
    return {study.name: spent([study]) for study in studies}
