"""The runs of a probe suite taken apart: one for each layer, which is then a field like others."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eibench.errors import UserError
from eibench.plan.spec import PROBE
from eibench.plan.suite import ABLATION, LAYER, NOTHING
from eibench.report.model.area import area_over
from eibench.report.model.pivot import Layout, Pivot, build_pivot, choose_layout
from eibench.report.model.suite_results import SuiteResults, check_fields, read_suites
from eibench.results.cells import DIGEST, Run
from eibench.results.metrics import LAYER_METRICS, PROBE_METRICS, Metric, find_metric

DEFAULTS = {"train": "test_accuracy", "probe": "gradient_decades", "cost": "energy_stepwise"}
"""The metric of a suite where none is named, by kind."""


def choose_metric(suite: SuiteResults, name: str | None, layered: bool = False) -> Metric:
    """Return the metric called `name`, or the default of the suite's kind.

    Raises:
        UserError: an unknown name, or a number of layers asked of runs or the reverse.
    """
    if name is None:
        return find_metric("gradient" if layered else DEFAULTS[suite.kind])
    metric = find_metric(name)
    if layered and name not in LAYER_METRICS:
        allowed = ", ".join(LAYER_METRICS)
        raise UserError(
            f"--metric {name}: is no number of a layer of {suite.name}; allowed: {allowed}"
        )
    only_of_layers = set(LAYER_METRICS) - set(PROBE_METRICS)
    if suite.kind == PROBE and not layered and name in only_of_layers:
        layers = f"is a number of each layer of {suite.name}; try its results with --rows {LAYER}"
        raise UserError(f"--metric {name}: {layers}")
    return metric


def make_pivots(
    results: Sequence[Path],
    metric: str | None,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    against: str | None = None,
    pooled: bool = False,
    summary: bool = False,
    area: str | None = None,
) -> list[Pivot]:
    """Return the pivot of `metric` for each suite at or below `results`.

    The default metric is that of the suite's kind. `against` is a method or an ablation to which
    all others have their difference, in place of the suite's control, or `none`. With `pooled` all
    samples share one variance. Of a probe suite, the field `layer` among rows or columns makes a
    pivot of layers. For a `summary` only suites count that compare methods. With `area`,
    a field, each run's number is the area under its curve over that field.

    Raises:
        UserError: no results, an unknown metric or field, or cells that would mix unlike runs.
    """
    suites = read_suites(results)
    if summary:
        suites = _comparing_methods(suites, against) or suites
    if area is not None:
        suites = [area_over(suite, area) for suite in suites]
    return [_make_pivot(suite, metric, rows, columns, against, pooled) for suite in suites]


def _comparing_methods(suites: Sequence[SuiteResults], control: str | None) -> list[SuiteResults]:
    """Return the suites without ablations that have the control; without probes if any trains."""
    found = [
        suite
        for suite in suites
        if ABLATION not in suite.axes and control in (None, NOTHING, *suite.methods)
    ]
    return [suite for suite in found if suite.kind != PROBE] or found


def _make_pivot(
    suite: SuiteResults,
    metric: str | None,
    rows: Sequence[str] | None,
    columns: Sequence[str] | None,
    against: str | None,
    pooled: bool,
) -> Pivot:
    if suite.kind == PROBE:
        rows = rows if rows is None else check_fields(by_layer(suite), "--rows", rows)
        columns = (
            columns if columns is None else check_fields(by_layer(suite), "--columns", columns)
        )
    if is_layered(suite, (*(rows or ()), *(columns or ()))):
        layout = choose_layout(by_layer(suite), rows, columns, against)
        return layer_pivot(suite, choose_metric(suite, metric, layered=True), layout, pooled)
    known = choose_metric(suite, metric)
    return build_pivot(suite, known, choose_layout(suite, rows, columns, against), pooled)


def is_layered(suite: SuiteResults, fields: Sequence[str]) -> bool:
    """Return whether `fields` ask for the layers of a probe suite."""
    return suite.kind == PROBE and LAYER in fields


def by_layer(suite: SuiteResults) -> SuiteResults:
    """Return `suite` with a run for each layer in place of each run.

    A run without layers (it failed, or is missing) gets as many as others with its network have.
    """
    counts: dict[Hashable, int] = {}
    for run in suite.runs:
        counts[_network(run)] = max(counts.get(_network(run), 1), len(run.layers))
    runs = tuple(
        replace(run, fields={**run.fields, LAYER: i + 1}, result=_layer(run, i), layers=())
        for run in suite.runs
        for i in range(counts[_network(run)])
    )
    return replace(suite, runs=runs, axes=(*suite.axes, LAYER))


def layer_pivot(suite: SuiteResults, metric: Metric, layout: Layout, pooled: bool = False) -> Pivot:
    """Return a table of layers, with `suite` itself behind it: footnotes are about runs."""
    return replace(build_pivot(by_layer(suite), metric, layout, pooled), suite=suite)


def _network(run: Run) -> Hashable:
    return tuple(run.value(f) for f in run.fields if f.partition(".")[0] == "model")


def _layer(run: Run, i: int) -> dict[str, Any]:
    """Return the numbers of layer `i` (from 0), and the digest of the run's images."""
    if i >= len(run.layers):
        return {}
    data = {DIGEST: run.result[DIGEST]} if DIGEST in run.result else {}
    return {**data, **{name: run.layers[i].get(name) for name in LAYER_METRICS}}
