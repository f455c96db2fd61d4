"""Costs of a suite from its counted rows: which networks stand together, and beside which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from eibench.cost.summary import CountedRun, is_whole, summarize
from eibench.plan.conditions import FROM
from eibench.plan.suite import ABLATION
from eibench.results.cells import Run, count_words
from eibench.results.display import shown
from eibench.results.store import ERROR, OK

DAMAGED = "its row is damaged or of an older version"


def whole(run: Run) -> Run:
    """Return a row, as a failed one where its count lacks what tables need."""
    if run.status != OK or is_whole(run.result):
        return run
    return replace(run, status=ERROR, reason=DAMAGED)


def counted_run(run: Run) -> str:
    """Return the id of the run whose network a row is of."""
    return str(run.fields.get(f"{FROM}.run", run.run_id))


def costs_by_condition(
    runs: Sequence[Run], axes: Sequence[str], control: str, labels: Mapping[str, str] | None
) -> Iterator[tuple[str, dict[str, Any], dict[str, str]]]:
    """Yield each condition in words, the values of its tables, and the names of rows by their id.

    With `labels` methods have the names of a paper, those or the usual ones.
    """
    found: dict[tuple[str, str], list[Run]] = {}
    counted = [run for run in runs if run.status == OK]
    for run in counted:
        found.setdefault((_condition(run, runs, axes), _count(run, counted)), []).append(run)
    for run in runs:
        if run.status != OK:  # stands with the first that are alike
            condition = _condition(run, runs, axes)
            key = next((one for one in found if one[0] == condition), (condition, ""))
            found.setdefault(key, []).append(run)
    for key, group in found.items():
        names = {run.run_id: _name(run, run.fields["method"], labels) for run in group}
        networks = [
            CountedRun(names[run.run_id], run.result, _name(run, control, labels))
            for run in group
            if run.status == OK
        ]
        word = _name_of(control, labels)
        failed = [
            {"run_id": counted_run(run), "reason": run.reason} for run in group if run.status != OK
        ]
        yield ", ".join(filter(None, key)), {**summarize(networks, word), "failed": failed}, names


def _name(run: Run, method: str, labels: Mapping[str, str] | None) -> str:
    """Return the name of the row that a run with this method belongs to."""
    ablation = [run.fields[ABLATION]] if ABLATION in run.fields else []
    return ", ".join([_name_of(method, labels), *ablation])


def _name_of(method: str, labels: Mapping[str, str] | None) -> str:
    return method if labels is None else shown("method", method, labels)


def _condition(run: Run, runs: Sequence[Run], axes: Sequence[str]) -> str:
    """Return the values of axes that vary, other than the method and how it is trained."""
    listed = [axis for axis in axes if not f"{axis}.".startswith(("method.", "train."))]
    varied = [a for a in listed if len({repr(_values(one, a)) for one in runs}) > 1]
    return ", ".join(f"{a.rpartition('.')[2]} {_label(run, runs, a)}" for a in varied)


def _count(run: Run, runs: Sequence[Run]) -> str:
    """Return how a row was counted, other than some of `runs`."""
    told = zip(*map(count_words, runs), strict=True)
    return ", ".join(w for w, all_ in zip(count_words(run), told, strict=True) if len({*all_}) > 1)


def _values(run: Run, axis: str) -> dict[str, Any]:
    """Return what a run has on an axis, which may be a whole part of it."""
    return {key: value for key, value in run.fields.items() if f"{key}.".startswith(f"{axis}.")}


def _label(run: Run, runs: Sequence[Run], axis: str) -> str:
    """Return what tells a run on an axis: its value, and options where they vary under it."""
    own = _values(run, axis)
    others = [_values(one, axis) for one in runs if one.fields.get(axis) == own.get(axis)]
    told = [key for key in own if key == axis or any(one.get(key) != own[key] for one in others)]
    return " ".join(str(own[key]) for key in told)
