"""Kept weights of a run on the test split of a data set, as a row among others.

Rows are records in a results folder of their own. Their fields are those of the run that trained
the weights, with the data set and T of the evaluation, `weights.run` and `weights.sha256`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from eibench.errors import UserError, error_line
from eibench.execution.dataset_cache import DatasetCache
from eibench.execution.device import device_name
from eibench.execution.environment import environment
from eibench.execution.lock import locked
from eibench.plan.options import CHOICES, DataOptions, DataShape
from eibench.plan.spec import RunSpec
from eibench.plan.suite import DEFAULT_CONTROL
from eibench.results.paths import member
from eibench.results.plan_schema import PlanFile
from eibench.results.schema import SCHEMA
from eibench.results.store import OK, RunFolder, read_json, to_json, write_atomic
from eibench.training.build import make_input
from eibench.training.evaluate import evaluate, negative_weights
from eibench.training.weights import WEIGHTS, load_run

NAME = "evaluations"
"""Name of the results."""
FROM = "weights"
"""Fields that name the weights; no option of a run has this name."""


def evaluate_run(
    run: Path,
    data: DataOptions | None,
    timesteps: int | None,
    root: Path,
    device: torch.device,
) -> dict[str, Any]:
    """Evaluate the weights in the folder `run`; write the record below `root`, and return it.

    Args:
        run: folder with kept or imported weights.
        data: the data set; None for the one that the weights were trained on.
        timesteps: T; None for that of training.
        root: folder of results.
        device: where to compute.

    Raises:
        UserError: there are no weights, or they do not fit the data or T.
    """
    trained, shape, network = load_run(run)
    spec = replace(trained, data=data or trained.data, timesteps=timesteps or trained.timesteps)
    folder = member(root, NAME)
    with locked(folder):
        read_json(member(folder, "plan.json"), PlanFile)  # damaged: said before the work
        record = _record(spec, trained, network.to(device), shape, _digest(run), device)
        files = RunFolder(folder / record["run_id"])
        files.begin({**spec.to_dict(), **spec.sources(), FROM: record["fields"][f"{FROM}.run"]})
        files.finish(record)
        _add_to_plan(folder, record)
    return record


def _digest(run: Path) -> str:
    return hashlib.sha256((run / WEIGHTS).read_bytes()).hexdigest()


def _record(
    spec: RunSpec,
    trained: RunSpec,
    network: torch.nn.Module,
    shape: DataShape,
    digest: str,
    device: torch.device,
) -> dict[str, Any]:
    fields = {**spec.fields(), f"{FROM}.run": trained.run_id, f"{FROM}.sha256": digest}
    start = time.perf_counter()
    result = _result(spec, network, shape, device)
    return {
        "schema": SCHEMA,
        "suite": NAME,
        "run_id": _run_id(spec, digest),
        "status": OK,
        "reason": None,
        "fields": fields,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": {**environment(), "device": device_name(device), **spec.sources()},
        "result": result,
        "cost": {
            "seconds": time.perf_counter() - start,
            "images_per_second": None,
            "peak_memory_mib": None,
        },
    }


def _run_id(spec: RunSpec, digest: str) -> str:
    """Return the name of a record: the run's, with a hash of the weights and what they see."""
    seen = json.dumps([digest, spec.data.name, spec.data.changed(), spec.timesteps])
    stem = spec.run_id.rpartition("_")[0]
    return f"{stem}_{hashlib.sha256(seen.encode()).hexdigest()[:8]}"


def _result(
    spec: RunSpec, network: torch.nn.Module, shape: DataShape, device: torch.device
) -> dict[str, Any]:
    """Return the numbers on the test split."""
    data = DatasetCache(device).get(spec)
    found = DataShape(data.image, len(data.classes))
    if found != shape:
        raise UserError(
            f"data set {spec.data.name}: has images of {_words(found)}, the network was built for "
            f"{_words(shape)}"
        )
    _, normalization = make_input(spec, data)
    size = spec.train.batch_size
    try:
        measured = evaluate(network, data.test, spec.timesteps, size, normalization)
    except ValueError as error:  # layers that are made for another number of steps
        text = f"method {spec.method.label} at T = {spec.timesteps}: {error_line(error)}"
        raise UserError(text) from None
    return {
        "test_accuracy": measured.accuracy,
        "test_loss": measured.loss,
        "firing_rate": measured.firing_rate,
        "firing_rate_by_layer": measured.firing_rate_by_layer,
        "silent_share": measured.silent_share,
        "negative_weights": negative_weights(network),
        "parameters": sum(p.numel() for p in network.parameters()),
        "test_images": len(data.test),
        "classes": len(data.classes),
        "data_digest": data.digest,
    }


def _words(shape: DataShape) -> str:
    return f"{'x'.join(map(str, shape.image))} and {shape.classes} classes"


def _add_to_plan(folder: Path, record: Mapping[str, Any]) -> None:
    """Add a record to the plan of its folder; fields that vary are the axes."""
    path = member(folder, "plan.json")
    known: dict[str, Any] = read_json(path, PlanFile) or {}
    runs = {run["run_id"]: run["fields"] for run in known.get("runs", [])}
    runs[record["run_id"]] = dict(record["fields"])
    plan: dict[str, Any] = {
        "schema": SCHEMA,
        "suite": NAME,
        "title": "Evaluations of kept weights",
        "kind": "train",
        "axes": _axes(list(runs.values())),
        "tuned_by": None,
        "control": DEFAULT_CONTROL,
        "margin": None,
        "same": [],
        "runs": [{"run_id": run_id, "fields": fields} for run_id, fields in runs.items()],
    }
    write_atomic(path, to_json(plan))


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
