"""Runs of a training suite taken apart: one for each epoch, which is then a field like others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from eibench.report.model.pivot import Key, Layout, Pivot, build_pivot
from eibench.report.model.suite_results import SuiteResults
from eibench.results.cells import Run
from eibench.results.metrics import EPOCH_METRICS
from eibench.results.store import OK, RunFolder

EPOCH = "epoch"
"""The field: 1 is the first."""
Lines = Mapping[str, Sequence[Mapping[str, Any]]]
"""Lines of `epochs.jsonl`, by run."""


def read_epochs(suite: SuiteResults) -> Lines:
    """Return what the runs of `suite` recorded of their epochs; raises as `RunFolder.epochs`."""
    return {run.run_id: RunFolder(suite.folder / run.run_id).epochs() for run in suite.runs}


def learning_pivots(suite: SuiteResults, lines: Lines, layout: Layout) -> dict[str, Pivot]:
    """Return a table of `layout` and the epoch for each metric of epochs, by its name.

    The last column field is the epoch. In an epoch that a failed run did not reach its cell counts
    it as failed.
    """
    runs = tuple(epoch for run in suite.runs for epoch in _epochs(run, lines[run.run_id]))
    apart = replace(suite, runs=runs, axes=(*suite.axes, EPOCH))
    layout = replace(layout, columns=(*layout.columns, EPOCH), reference=None)
    return {
        name: replace(build_pivot(apart, metric, layout), suite=suite)
        for name, metric in EPOCH_METRICS.items()
    }


def _epochs(run: Run, lines: Sequence[Mapping[str, Any]]) -> list[Run]:
    """Return a run for each epoch, and if it has not reached its last one, for the next."""
    found = [
        replace(run, fields={**run.fields, EPOCH: line["epoch"]}, status=OK, result=line)
        for line in lines
    ]
    if run.status != OK:
        fields = {**run.fields, EPOCH: len(lines) + 1}
        found.append(replace(run, fields=fields, result={}))
    return found


def firing_rates(
    suite: SuiteResults, lines: Lines, layout: Layout
) -> dict[tuple[Key, Key], list[list[list[float]]]]:
    """Return the rates of all seeds by epoch and layer, for each row and column of `layout`.

    Runs of a network that lacks layers or epochs of the others have none there.
    """
    found: dict[tuple[Key, Key], list[list[list[float]]]] = {}
    for run in suite.runs:
        place = (run.values(layout.rows), run.values(layout.columns))
        epochs = found.setdefault(place, [])
        for i, line in enumerate(lines[run.run_id]):
            epochs += [[] for _ in range(i + 1 - len(epochs))]
            rates = line.get("firing_rate_by_layer", [])
            epochs[i] += [[] for _ in range(len(rates) - len(epochs[i]))]
            for seeds, rate in zip(epochs[i], rates, strict=False):
                seeds.append(rate)
    return found
