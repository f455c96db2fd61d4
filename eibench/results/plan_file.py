"""`plan.json`: what a suite asked for, kept beside its results.

It lets a report show runs that are missing, name runs that compute the same thing, print how much
tuning each method had, and set published numbers beside ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eibench.plan.suite import Plan
from eibench.results.schema import SCHEMA
from eibench.results.store import to_json, write_atomic


def write_plan(folder: Path, plan: Plan) -> None:
    """Write `plan` to its suite's results folder."""
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "suite": plan.name,
        "title": plan.title,
        "kind": plan.kind,
        "axes": plan.axes,
        "tuned_by": plan.tuned_by,
        "same": same_computations(plan),
        "runs": [{"run_id": run.run_id, "fields": run.fields()} for run in plan.runs],
    }
    if plan.references:
        content["references"] = [match.to_dict() for match in plan.references]
    write_atomic(folder / "plan.json", to_json(content))


def same_computations(plan: Plan) -> list[list[str]]:
    """Groups of method labels that are the same computation wherever both stand in `plan`.

    Two runs are the same when their specs are equal after each method is replaced by the simplest
    one that computes the same in that network. Methods are grouped when every run of the one has
    such a twin under the other.
    """
    twins: dict[Any, set[str]] = {}
    runs_of: dict[str, int] = {}
    for run in plan.runs:
        twins.setdefault(repr(run.spec.simplest()), set()).add(run.method)
        runs_of[run.method] = runs_of.get(run.method, 0) + 1
    together: dict[frozenset[str], int] = {}
    for labels in twins.values():
        together[frozenset(labels)] = together.get(frozenset(labels), 0) + 1
    return [
        sorted(labels, key=list(runs_of).index)
        for labels, count in together.items()
        if len(labels) > 1 and all(runs_of[label] == count for label in labels)
    ]
