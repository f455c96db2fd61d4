"""Kept weights of a run on the test split of a data set, as rows of the results `evaluations`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from eibench.errors import UserError
from eibench.execution.dataset_cache import DatasetCache, EvaluationCache
from eibench.execution.evaluate_network import (
    RecordWriter,
    TrainedNetwork,
    check_own,
    row_id,
    rows_plan,
)
from eibench.execution.lock import locked
from eibench.execution.run_one import is_out_of_memory
from eibench.plan.conditions import CONDITIONS, FROM, PREFIX, Conditions, effective, fields_of
from eibench.plan.options import CHOICES, DataOptions
from eibench.plan.suite import DEFAULT_CONTROL
from eibench.results.paths import PLAN, member
from eibench.results.plan_schema import PlanFile
from eibench.results.store import OK, read_json, to_json, write_atomic

NAME = "evaluations"
"""Name of the results."""


def evaluate_runs(
    runs: Sequence[Path],
    data: DataOptions | None,
    conditions: Sequence[Conditions],
    root: Path,
    device: torch.device,
) -> Iterator[dict[str, Any]]:
    """Evaluate the weights in each folder of `runs` under each of `conditions`; yield the records,
    which are below `root`.

    Args:
        runs: folders with kept or imported weights.
        data: the data set; None for the one that the weights were trained on.
        conditions: values by name; T is by default that of training.
        root: folder of results.
        device: where to compute.

    Raises:
        UserError: there are no weights, or they do not fit the data or a condition.
    """
    folder, datasets = member(root, NAME), EvaluationCache(device)
    with locked(folder):
        check_own(folder)
        writer = RecordWriter(folder, device)
        for run in runs:
            trained = TrainedNetwork.load(run, device)
            for chosen in conditions:
                yield _evaluate(trained, data, chosen, datasets, writer)


def _evaluate(
    trained: TrainedNetwork,
    data: DataOptions | None,
    conditions: Conditions,
    datasets: DatasetCache,
    writer: RecordWriter,
) -> dict[str, Any]:
    start = time.perf_counter()
    spec, strengths = trained.under(data, conditions), effective(conditions)
    try:
        result = trained.result(spec, conditions, datasets)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        size = spec.train.batch_size
        text = f"memory does not suffice for T = {spec.timesteps} and batches of {size}"
        raise UserError(f"{trained.spec.run_id}: {text} on {writer.device}") from None
    seen = [trained.digest, spec.data.name, spec.data.changed(), spec.timesteps]
    run_id = row_id(spec.run_id, *seen, *([strengths] if strengths else []))
    fields = {
        **spec.fields(),
        **fields_of(strengths),
        f"{FROM}.run": trained.spec.run_id,
        f"{FROM}.sha256": trained.digest,
    }
    outcome = {"status": OK, "reason": None, "result": result}
    record = writer.write(run_id, fields, spec, outcome, start)
    _add_to_plan(writer.folder, record)
    return record


def _add_to_plan(folder: Path, record: dict[str, Any]) -> None:
    """Add a record to the plan of its folder; fields that vary are the axes."""
    path = member(folder, PLAN)
    known: dict[str, Any] = read_json(path, PlanFile) or {}
    runs = {run["run_id"]: run["fields"] for run in known.get("runs", [])}
    runs[record["run_id"]] = record["fields"]
    names = [f"{PREFIX}{name}" for name in CONDITIONS]
    given = [name for name in names if any(name in fields for fields in runs.values())]
    neutral = {name: CONDITIONS[name.removeprefix(PREFIX)].neutral for name in given}
    runs = {run_id: {**neutral, **fields} for run_id, fields in runs.items()}
    axes = _axes(list(runs.values()))
    content = rows_plan(NAME, "Evaluations of kept weights", axes, runs)
    write_atomic(path, to_json({**content, "control": DEFAULT_CONTROL}))


def _axes(runs: list[dict[str, Any]]) -> list[str]:
    """Return the choices, T, and every field that all have and that varies, but for the seed."""
    shared = [key for key in runs[0] if all(key in fields for fields in runs)]
    varied = [
        key
        for key in shared
        if key != "seed"
        and not key.startswith(f"{FROM}.")
        and len({repr(fields[key]) for fields in runs}) > 1
    ]
    return list(dict.fromkeys([*CHOICES, "timesteps", *varied]))
