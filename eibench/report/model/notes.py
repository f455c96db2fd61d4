"""Footnotes: what a reader must know to judge a table.

A note is one line of plain text in which names stand between backticks, so that each format can set
them in its own way.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Set

from eibench.plan.conditions import FROM
from eibench.plan.suite import ABLATION, BASE, JOIN, METHOD, SEED
from eibench.report.model.document import BEST, code
from eibench.report.model.pivot import UNCOMPARED, Pivot, best_scope
from eibench.report.model.provenance import provenance
from eibench.report.model.suite_results import SuiteResults, is_numeric, varies
from eibench.report.model.tuning import own_search, tuned_keys, tuned_values, tuning_notes
from eibench.results.cells import GUESSES, Run, Value
from eibench.results.defaults import defaults_beside
from eibench.results.labels import capital, counted, joined, shortened, show_field, show_value
from eibench.results.store import INTERRUPTED, MISSING

MOST_NAMED = 8
"""Runs of the control without a number that are named one by one."""


def footnotes(table: Pivot) -> list[str]:
    """Return all notes of `table`."""
    suite = table.suite
    return [*reading_notes(table), *_unfinished(suite), *_others(suite), *provenance(suite.runs)]


def reading_notes(table: Pivot) -> list[str]:
    """Return the notes without which the numbers of `table` are misread."""
    suite = table.suite
    search = own_search(suite)
    return [
        *_spread(table),
        *_best(table),
        *comparison_notes(table),
        *_split_notes(table),
        *_same(suite),
        *_defaults(suite),
        *_per_method(table, tuned_keys(search)),
        *tuned_values(search),
        *tuning_notes(suite),
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
    if table.mixed:
        yield UNCOMPARED
    elif any(cell.best for cell in table.cells.values()):
        yield f"{BEST}best mean of {best_scope(table)}; it need not differ from the next one."


def _same(suite: SuiteResults) -> Iterator[str]:
    for first, *others in suite.same:
        names = joined(code(other) for other in others)
        verb = "are" if len(others) > 1 else "is"
        yield (
            f"{names} {verb} the same computation as {code(first)} in these networks; equal rows"
            " are expected."
        )


def _defaults(suite: SuiteResults) -> Iterator[str]:
    listed = [
        f"{code(method)} {', '.join(f'{code(k)} {show_value(v)}' for k, v in known.items())}"
        for method, known in defaults_beside(suite.unchanged).items()
    ]
    if listed:
        yield f"Default options beside other values: {'; '.join(listed)}."


def _per_method(table: Pivot, told: Set[str]) -> Iterator[str]:
    """Yield fields that the method determines, and that the table does not show.

    Above all the learning rate, and whatever else keeps the comparison from being one of methods.
    What differs between the cells of a method as well is named with its range. Fields that are
    `told` elsewhere are left out.
    """
    runs = table.suite.unchanged
    for field in dict.fromkeys(field for run in runs for field in run.fields):
        if field.partition(".")[0] in (METHOD, FROM) or field in (*table.layout.fields, *told):
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
    if field == SEED or not is_numeric(runs, field):
        return
    if not varies(runs, field, [*table.layout.fields, SEED]):
        seeds = " and seeds" if varies(runs, field, table.layout.fields) else ""
        values = [float(run.value(field) or 0) for run in runs]
        ends = f"{show_value(min(values))} to {show_value(max(values))}"
        yield f"Differs between cells{seeds}: {code(field)}, {ends}; the suite lists it."


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


def _split_notes(table: Pivot) -> Iterator[str]:
    """Yield notes on the choice of test images, and on runs that do not train."""
    if table.metric.unit != "%":
        return
    runs = table.suite.runs
    if any(cell.n and cell.untrained for cell in table.cells.values()):
        yield (
            "A run trains if it has, at its chosen epoch, more test images right than"
            f" {100 * GUESSES:g} % of guesses would; behind the share that trains stands the mean"
            " of those alone."
        )
    sizes = {run.result["test_images"] for run in runs if run.result.get("test_images")}
    means = [cell.mean / 100 for cell in table.cells.values() if cell.mean is not None]
    if len(sizes) != 1 or not means or not table.metric.name.startswith("test"):
        return
    (n,) = sizes
    errors = [100 * (p * (1 - p) / n) ** 0.5 for p in means]
    size = f"{n} test images: the binomial standard error of one run is up to {max(errors):.1f}"
    if all(drawn := [run.redraws_test for run in runs]):
        yield f"{size} points; splits are drawn with the seed, so spread and intervals hold it."
    else:
        some = f"{drawn.count(False)} of the" if any(drawn) else "all"
        yield f"{size} points; {some} runs share them, so spread and intervals do not hold it."


# ------------------------------------------------------------- ablations and differences


def comparison_notes(table: Pivot) -> Iterator[str]:
    """Yield all notes on ablations and differences; none for a table without any."""
    if ABLATION in table.layout.fields:
        yield from _changes(table)
    if table.layout.reference is not None:
        yield from _differences(table, *table.layout.reference)
        yield from _lacking_control(table, *table.layout.reference)


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
    """Yield notes on the intervals, the words beside them, and pairing."""
    found = [one for one in table.differences.values() if one.mean or one.interval]
    if not found:  # nothing differs, or there is nothing to compare
        return
    unit = f", in {table.metric.difference_unit}" if table.metric.unit == "%" else ""
    start = f"Difference to {_named(field, name)}{unit}"
    if not any(one.interval for one in found):
        yield f"{start}: no spread over seeds is known, so chance alone may explain it."
        return
    yield f"{start}, with its 95 % confidence interval {_method(table)}."
    better = "better, worse" if table.metric.better else "higher, lower"
    margin = f"±{table.margin:g}" if table.margin else ""
    equal = f"equivalent: it lies within {margin}; " if margin else ""
    none = "" if margin else " No margin was fixed, so nothing is called equivalent."
    yield (
        f"{capital(better)}: the interval excludes 0; {equal}undecided: the runs do"
        " not tell, and in brackets stands how many seeds for each would, if means and deviations"
        f" stay.{none}"
    )
    if any(
        one.interval and table.verdict(place) is None for place, one in table.differences.items()
    ):
        yield "Runs failed: no verdict from the mean of those that are left."
    if any(one.interval and table.some_fail(place) for place, one in table.differences.items()):
        yield (
            "Seeds fail: where some stay at chance and others train, intervals do not hold, as they"
            " assume normal samples. Read the share that trains."
        )
    if one := table.pairing:
        verb = "Paired" if one.helps else "Not paired"
        yield (
            f"{verb} by seed: the correlation with the control over {one.pairs} shared seeds is"
            f" {one.correlation:.2f} (95 % interval from {one.low:.2f}), and pairing pays from"
            f" {one.least:.2f}."
        )
        if table.pairs_some:
            yield "A difference is over the seeds that both have, not that of the means shown."
    else:
        yield "Not paired by seed: too few shared seeds to tell a correlation with the control."


def _method(table: Pivot) -> str:
    """Return in words how the intervals of a table are computed."""
    places = [place for place, one in table.differences.items() if one.interval]
    several = len(places) > len({table.layout.base_of(*place) for place in places})
    if table.paired:
        together = " (Bonferroni's correction for those of one control)" if several else ""
        return f"by the paired t distribution{together}"
    variance = "one variance for all" if table.pooled else "unequal variances, Welch"
    if not several:
        return f"({variance})"
    return f"({variance}); those of one control hold together (Dunnett)"


def _named(field: str, name: Value) -> str:
    return str(name) if field == ABLATION else code(str(name))


def _lacking_control(table: Pivot, key: str, name: Value) -> Iterator[str]:
    """Yield a note on the control's runs without a number."""
    others = [field for field in table.layout.fields if field not in (key, "seed")]
    base = [run for run in table.suite.runs if run.value(key) == name]
    words = "base" if key == ABLATION else _named(key, name)
    lacking = [run for run in base if not _has_number(run, table.metric.name)]
    listed = [
        ", ".join(
            [f"seed {run.seed}", *(show_field(f, run.value(f)) for f in others if f in run.fields)]
        )
        for run in lacking
    ]
    bases = {table.layout.base_of(*place) for place in table.cells} & table.cells.keys()
    if not base:
        yield f"No {words} run is planned, so there are no differences."
    elif len(lacking) > MOST_NAMED:
        yield f"Of the {words} runs, {len(lacking)} of {len(base)} have no number."
    elif lacking:
        yield f"The {words} run has no number under: {'; '.join(listed)}."
    elif all(table.layout.base_of(*place) not in bases - {place} for place in table.cells):
        yield f"No other cell is like one of {words} in all else, so there are no differences."


def _has_number(run: Run, metric: str) -> bool:
    """Return whether the run, or a layer of it, has the metric."""
    return run.number(metric) is not None or any(
        layer.get(metric) is not None for layer in run.layers
    )
