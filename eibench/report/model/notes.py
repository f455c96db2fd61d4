"""Footnotes: what a reader must know to judge a table.

A note is one line of plain text in which names stand between backticks, so that each format can set
them in its own way.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Set

from eibench.plan.suite import ABLATION, BASE, JOIN, METHOD
from eibench.report.model.document import BEST, code
from eibench.report.model.pivot import Pivot
from eibench.report.model.provenance import (
    own_search,
    provenance,
    tuned_keys,
    tuned_values,
    tuning_notes,
)
from eibench.report.model.statistics import ALPHA, LEAST_SEEDS, half_width
from eibench.report.model.suite_results import Run, SuiteResults, Value, is_numeric, varies
from eibench.results.labels import counted, shortened, show_field, show_value
from eibench.results.store import INTERRUPTED, MISSING

EXCLUDES_ZERO = "†"
"""Marks a difference whose interval does not hold 0."""


def footnotes(table: Pivot) -> list[str]:
    """Return all notes of `table`."""
    suite = table.suite
    search = own_search(suite)
    return [
        *_spread(table),
        *_best(table),
        *ablation_notes(table),
        *_same(suite),
        *_per_method(table, tuned_keys(search)),
        *tuned_values(search),
        *tuning_notes(suite),
        *_unfinished(suite),
        *_others(suite),
        *provenance(suite.runs),
    ]


def _spread(table: Pivot) -> Iterator[str]:
    """Yield notes on n, the seeds, and the meaning of the sign ±."""
    seeds = sorted({run.seed for run in table.suite.runs})
    named = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    if table.planned == 1:
        yield f"n = 1 run in each cell ({named}): no spread can be given."
        return
    yield (
        f"Mean ± sample standard deviation over n = {table.planned} runs ({named}); a cell with"
        " fewer says so."
    )
    if any(cell.failed and cell.n for cell in table.cells.values()):
        yield "A mean beside failed runs is over the others alone, which flatters the method."


def _best(table: Pivot) -> Iterator[str]:
    """Yield notes on the rule by which values are marked."""
    if not any(cell.best for cell in table.cells.values()):
        return
    scope = _scope(table)
    tested = sum(comparison.tested for comparison in table.comparisons)
    untested = sum(comparison.untested for comparison in table.comparisons)
    if not tested:
        yield (
            f"{BEST}best mean of {scope}; fewer than {LEAST_SEEDS} shared seeds carry no test, so"
            " this says little."
        )
        return
    yield (
        f"{BEST}best mean of {scope}, and every mean that a paired t-test over shared seeds does"
        f" not tell from it (Holm-corrected within {scope}, alpha = {ALPHA:g}). With few seeds a"
        " tie says little."
    )
    if untested:
        yield f"Means that share fewer than {LEAST_SEEDS} seeds with the best are not tested."


def _scope(table: Pivot) -> str:
    """Return in words among which cells the best is sought; see `pivot._comparison_group`."""
    if METHOD not in table.layout.fields or table.layout.rows == (METHOD,):
        return "each column"
    return "each row" if table.layout.columns == (METHOD,) else "all methods under like conditions"


def _same(suite: SuiteResults) -> Iterator[str]:
    for first, *others in suite.same:
        names = _and(code(other) for other in others)
        verb = "are" if len(others) > 1 else "is"
        yield (
            f"{names} {verb} the same computation as {code(first)} in these networks; equal rows"
            " are expected."
        )


def _per_method(table: Pivot, told: Set[str]) -> Iterator[str]:
    """Yield fields that the method determines, and that the table does not show.

    Above all the learning rate, and whatever else keeps the comparison from being one of methods.
    What differs between the cells of a method as well is named with its range. Fields that are
    `told` elsewhere are left out.
    """
    runs = table.suite.unchanged
    for field in dict.fromkeys(field for run in runs for field in run.fields):
        if field.partition(".")[0] == METHOD or field in (*table.layout.fields, *told):
            continue
        if not varies(runs, field):
            continue
        if varies(runs, field, [METHOD]):
            yield from _by_cell(table, field)
            continue
        values = {run.fields[METHOD]: show_value(run.value(field)) for run in runs}
        listed = ", ".join(f"{code(method)} {value}" for method, value in values.items())
        yield f"Set for each method: {code(field)}: {listed}."


def _by_cell(table: Pivot, field: str) -> Iterator[str]:
    """Yield a note on a number that differs between cells without being a row or column."""
    runs = table.suite.unchanged
    if is_numeric(runs, field) and not varies(runs, field, table.layout.fields):
        values = [float(run.value(field) or 0) for run in runs]
        ends = f"{show_value(min(values))} to {show_value(max(values))}"
        yield f"Differs between cells: {code(field)}, {ends}; the suite lists it."


def _unfinished(suite: SuiteResults) -> Iterator[str]:
    """Yield notes on runs without a result: failed by name and reason, missing by number."""
    alike: dict[tuple[str, str], list[str]] = {}
    for run in suite.runs:
        if run.failed or run.status == INTERRUPTED:
            alike.setdefault((run.status, run.reason), []).append(_name(run))
    for (status, reason), names in alike.items():
        word = status.replace("_", " ").capitalize()
        yield f"{word}: {', '.join(names)}; reason: {code(shortened(reason))}."
    missing = sum(run.status == MISSING for run in suite.runs)
    if missing:
        yield f"Missing: {missing} of {counted(len(suite.runs), 'planned run')} not run yet."


def _name(run: Run) -> str:
    """Return the run's id, and the ablation that it is."""
    ablation = run.value(ABLATION)
    return code(run.run_id) + (f" ({code(str(ablation))})" if ablation is not None else "")


def _others(suite: SuiteResults) -> Iterator[str]:
    if suite.others:
        found = counted(suite.others, "other run")
        verb = "belongs" if suite.others == 1 else "belong"
        yield f"Left out: {found} in this folder, which {verb} to an earlier plan."


def _and(names: Iterable[str]) -> str:
    *front, last = names
    return f"{', '.join(front)} and {last}" if front else last


# ------------------------------------------------------------- ablations and differences


def ablation_notes(table: Pivot) -> Iterator[str]:
    """Yield all notes on ablations and differences; none for a table without any."""
    if ABLATION in table.layout.fields:
        yield from _changes(table)
    if table.layout.reference is not None:
        yield from _differences(table, *table.layout.reference)
        yield from _lacking_reference(table, *table.layout.reference)


def _changes(table: Pivot) -> Iterator[str]:
    """Yield a note on the values that each ablation changes, as runs alike in all else tell."""
    others = [field for field in (*table.layout.fields, "seed") if field != ABLATION]
    runs = table.suite.runs
    base = {run.values(others): run for run in runs if run.value(ABLATION) == BASE}
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        twin = base.get(run.values(others), run)
        values = found.setdefault(str(run.value(ABLATION)), {})
        values |= dict.fromkeys(_changed(run, twin))
    pairs = {JOIN.join(pair) for pair in itertools.combinations(found, 2)}
    listed = [f"{code(n)}: {', '.join(v)}" for n, v in found.items() if v and n not in pairs]
    if listed:
        yield f"Changed in the base run, and nothing else tuned for it: {'; '.join(listed)}."


def _changed(run: Run, twin: Run) -> Iterator[str]:
    """Yield the fields in which a run differs from its twin; a new method by its label."""
    both = [f for f in run.fields if f in twin.fields and f != ABLATION]
    fields = [f for f in both if run.value(f) != twin.value(f)]
    options = [f for f in fields if f.startswith(f"{METHOD}.")]
    for field in fields:
        if field != METHOD or not options:
            value = run.value(field)
            yield f"{code(field)} {'none' if value is None else show_value(value)}"


def _differences(table: Pivot, field: str, name: Value) -> Iterator[str]:
    found = [d for d in table.differences.values() if d.n]
    intervals = [d.interval for d in found if d.interval]
    unit = f", in {table.metric.difference_unit}" if table.metric.unit == "%" else ""
    start = f"Difference to {_named(field, name)}: mean over the shared seeds{unit}"
    if not found:
        return
    if not intervals:
        yield f"{start}; one shared seed gives no interval, so chance alone may explain it."
        return
    k = len(intervals)
    yield (
        f"{start}, and its 95 % confidence interval by the paired t distribution."
        f" {EXCLUDES_ZERO}: the interval excludes 0. The {k} interval{'s' * (k > 1)} of this table"
        " are not corrected for their number: by chance alone one in 20 would exclude 0."
    )
    n = max(d.n for d in found)
    yield (
        f"An interval from {n} seeds reaches {half_width(n):.1f} standard deviations of the"
        f" differences to either side, and {n} numbers tell that deviation badly: an interval that"
        " holds 0 does not show that there is no effect."
    )
    if any(d.n == 1 for d in found):
        yield "A difference over one shared seed has no interval."
    if any(math.isclose(low, high, rel_tol=0, abs_tol=1e-9) for low, high in intervals):
        yield "An interval without width comes from seeds that differ by the same amount."


def _named(field: str, name: Value) -> str:
    return str(name) if field == ABLATION else code(str(name))


def _lacking_reference(table: Pivot, key: str, name: Value) -> Iterator[str]:
    """Yield a note on the reference's runs without a number: differences lack their seeds."""
    others = [field for field in table.layout.fields if field != key]
    base = [run for run in table.suite.runs if run.value(key) == name]
    words = "base" if key == ABLATION else _named(key, name)
    lacking = [run for run in base if run.number(table.metric.name) is None]
    listed = [
        ", ".join([f"seed {run.seed}", *(show_field(f, run.value(f)) for f in others)])
        for run in lacking
    ]
    if not base:
        yield f"No {words} run is planned, so there are no differences."
    elif lacking:
        yield (
            f"The {words} run has no number under: {'; '.join(listed)}. Differences there use the"
            " other seeds, if any."
        )
