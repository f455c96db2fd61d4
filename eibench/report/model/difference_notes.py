"""Footnotes of differences: what ablations change, and what a difference is worth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from eibench.plan.suite import ABLATION, BASE, JOIN
from eibench.report.model.labels import show_field, show_value
from eibench.report.model.layout import METHOD
from eibench.report.model.pivot import Pivot
from eibench.report.model.provenance import code
from eibench.report.model.statistics import half_width
from eibench.report.model.suite_results import Run, Value

EXCLUDES_ZERO = "†"
"""Marks a difference whose interval does not hold 0."""


def ablation_notes(table: Pivot) -> Iterator[str]:
    """All notes on ablations and differences; none for a table without any."""
    if ABLATION in table.layout.fields:
        yield from _changes(table)
    if table.layout.reference is not None:
        yield from _differences(table, *table.layout.reference)
        yield from _lacking_reference(table, *table.layout.reference)


def _changes(table: Pivot) -> Iterator[str]:
    """The values that each single factor changes, from the fields of runs alike in all else."""
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
    """The fields in which a run differs from its twin; a method by its label where it is new."""
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
    """Runs of the reference without a number, whose seeds the differences do without."""
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
