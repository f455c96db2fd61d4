"""`plan.json`: what a suite asked for, kept beside its results.

It lets a report show runs that are missing, name runs that compute the same thing, print how much
tuning each method had, and set published numbers beside ours.

The suite file defines the plan, and the flags of a command add to it: once the suite was run
without `--set`, `--seeds` and `--steps`, all runs of the file are in the plan; of commands with
such flags all runs of the last one, and those of earlier ones that have been begun. Each is derived
from the suite file as it is now, so that what an edited file no longer asks for drops out.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eibench.errors import UserError
from eibench.plan.expand import load_plan, load_probe
from eibench.plan.layers import Override
from eibench.plan.spec import PROBE
from eibench.plan.suite import Flags, Plan, PlannedRun
from eibench.results.paths import PLAN
from eibench.results.plan_schema import PlanFile
from eibench.results.schema import SCHEMA
from eibench.results.store import read_json, to_json, write_atomic


def write_plan(folder: Path, plan: Plan) -> None:
    """Write `plan`, and the runs of earlier commands beside it, to its suite's results folder."""
    write_atomic(folder / PLAN, plan_content(folder, plan))


def plan_content(folder: Path, plan: Plan) -> bytes:
    """Return the file of `plan` and the runs of earlier commands in `folder` beside it."""
    plans = _with_earlier(folder, plan)
    runs = {run.run_id: run for each in plans for run in each.runs}
    merged = dataclasses.replace(plan, runs=tuple(runs.values()))
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "suite": plan.name,
        "title": plan.title,
        "kind": plan.kind,
        "axes": _axes(plans, merged.runs),
        "tuned_by": plan.tuned_by,
        "control": plan.control,
        "margin": plan.margin,
        "same": same_computations(merged),
        "runs": [{"run_id": run.run_id, "fields": run.fields()} for run in merged.runs],
    }
    if plan.labels:
        content["labels"] = dict(plan.labels)
    if references := _references(plans):
        content["references"] = references
    if any(each.flags != Flags() for each in plans):
        content["flags"] = [dataclasses.asdict(each.flags) for each in plans]
    return to_json(content)


def _with_earlier(folder: Path, plan: Plan) -> list[Plan]:
    """`plan` and those of earlier commands under other flags, that without flags first."""
    plans = []
    for flags in _earlier_flags(folder) if plan.files else []:
        if flags == plan.flags:
            continue
        try:
            known = _load_again(plan, flags)
        except UserError:  # the file has changed, and has no such runs now
            continue
        if flags != Flags():
            begun = tuple(run for run in known.runs if (folder / run.run_id).is_dir())
            known = dataclasses.replace(known, runs=begun)
        if known.name == plan.name:
            plans.append(known)
    return sorted([*plans, plan], key=lambda each: each.flags != Flags())


def _load_again(plan: Plan, flags: Flags) -> Plan:
    """Return the plan of the current suite file under other `flags`; raise as `load_plan`."""
    settings = [Override.read("--set", text) for text in flags.settings]
    seeds = None if flags.seeds is None else list(flags.seeds)
    if plan.kind == PROBE:
        steps = None if flags.steps is None else list(flags.steps)
        return load_probe(plan.files[0], settings, seeds, steps)
    return load_plan(plan.files[0], settings, seeds)


def _earlier_flags(folder: Path) -> Iterator[Flags]:
    """Yield the flags of the commands recorded in the file; none if it is damaged."""
    try:
        found = read_json(folder / PLAN, PlanFile)
    except UserError:
        return
    if found is None:
        return
    for entry in found.get("flags", [{}]):  # without the key, one command without flags
        lists = {key: entry.get(key) for key in ("settings", "seeds", "steps")}
        settings = tuple(lists.pop("settings") or ())
        yield Flags(settings, **{key: value and tuple(value) for key, value in lists.items()})


def _axes(plans: Sequence[Plan], runs: Sequence[PlannedRun]) -> list[str]:
    """Return the axes of all plans, and fields that flags set to more than one value among `runs`.

    A mean over seeds must not mix such values.
    """
    axes = [axis for each in plans for axis in each.axes]
    if len(plans) > 1:
        keys = {Override.read("--set", t).key for each in plans for t in each.flags.settings}
        fields = [run.fields() for run in runs]
        varied = [
            name
            for name in dict.fromkeys(name for known in fields for name in known)
            if any(name == key or name.startswith(f"{key}.") for key in keys)
            and len({repr(known.get(name)) for known in fields}) > 1
        ]
        axes += varied
    return list(dict.fromkeys(axes))


def _references(plans: Sequence[Plan]) -> list[dict[str, Any]]:
    """Return the published numbers of all plans, each with all matching runs."""
    found: dict[str, dict[str, Any]] = {}
    for each in plans:
        planned = {run.run_id for run in each.runs}
        for match in (match.to_dict() for match in each.references):
            ids = [run_id for run_id in match.pop("runs") if run_id in planned]
            entry = found.setdefault(json.dumps(match, sort_keys=True), {**match, "runs": []})
            entry["runs"] += [run_id for run_id in ids if run_id not in entry["runs"]]
    return [entry for entry in found.values() if entry["runs"]]


def same_computations(plan: Plan) -> list[list[str]]:
    """Return groups of method labels that are the same computation wherever both occur in `plan`.

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
