"""The area under the curve of every run over a condition: one number in place of a curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from eibench.errors import UserError
from eibench.plan.suite import SEED
from eibench.report.model.suite_results import SuiteResults, check_fields, is_numeric
from eibench.results.cells import DIGEST, Run, Value
from eibench.results.labels import MACHINE, field_words, joined, show_value
from eibench.results.metrics import METRICS
from eibench.results.store import OK

OPTION = "--area"


def area_over(suite: SuiteResults, field: str) -> SuiteResults:
    """Return `suite` with one run in place of those that differ in `field` alone.

    Its metrics are areas under the curve over the field, by the trapezoidal rule, divided by the
    field's range: means, in the metric's own unit. If one of the runs has no result, it has none.

    Raises:
        UserError: no run has the field, it is no number, or runs have too few or unlike values.
    """
    (field,) = check_fields(suite, OPTION, [field])
    if field == SEED:
        raise UserError(f"{OPTION} {field}: means are taken over seeds anyway")
    if not is_numeric(suite.runs, field):
        raise UserError(f"{OPTION} {field}: is not a number in every run of {suite.name}")
    groups: dict[tuple[Value, ...], list[Run]] = {}
    others = [f for f in suite.fields if f != field]
    for run in suite.runs:
        groups.setdefault(run.values(others), []).append(run)
    places = {tuple(sorted(_place(run, field) for run in runs)) for runs in groups.values()}
    if len(places) > 1:
        raise UserError(f"{OPTION} {field}: runs of {suite.name} have unlike values of it")
    (values,) = places
    if len(values) < 2:
        raise UserError(f"{OPTION} {field}: {suite.name} has a single value of it")
    span = f"from {show_value(values[0])} to {show_value(values[-1])}"
    return replace(
        suite,
        title=f"{suite.title}, mean over {field_words(field)} {span}",
        axes=tuple(axis for axis in suite.axes if axis != field),
        area=field,
        runs=tuple(_merged(runs, field) for runs in groups.values()),
    )


def _place(run: Run, field: str) -> float:
    return float(run.fields[field])


def _merged(runs: Sequence[Run], field: str) -> Run:
    """Return one run in place of those of a curve."""
    runs = sorted(runs, key=lambda run: _place(run, field))
    fields = {key: value for key, value in runs[0].fields.items() if key != field}
    lacking = sorted((run for run in runs if run.status != OK), key=lambda run: not run.failed)
    if lacking:
        return replace(lacking[0], fields=fields, result={}, layers=())
    x = [_place(run, field) for run in runs]
    result: dict[str, float] = {}
    for name in METRICS:
        numbers = [run.number(name) for run in runs]
        y = [number for number in numbers if number is not None]
        if len(y) == len(x):
            result[name] = area(x, y)
    digests = [str(run.result.get(DIGEST, "")) for run in runs]
    environment = {**runs[0].environment, **_of_all(runs)}
    return replace(
        runs[0],
        fields=fields,
        result={**result, DIGEST: " ".join(digests)} if any(digests) else result,
        environment=environment,
        layers=(),
    )


def _of_all(runs: Sequence[Run]) -> dict[str, str]:
    """Return what machines are called where the points of a curve have unlike ones."""
    known = {key: {str(run.environment.get(key)): None for run in runs} for key in MACHINE}
    return {key: joined(found) for key, found in known.items() if len(found) > 1}


def area(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the area under the line through points of increasing `x`, over the range of `x`."""
    points = zip(pairwise(x), pairwise(y), strict=True)
    total = sum((b - a) * (left + right) / 2 for (a, b), (left, right) in points)
    return total / (x[-1] - x[0])
