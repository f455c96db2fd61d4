"""One run from start or checkpoint to its record."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import eibench
from eibench.data import ImageData
from eibench.execution.device import device_name
from eibench.execution.environment import environment
from eibench.execution.memory import peak_mib, reset_peak
from eibench.execution.probing import probe
from eibench.plan.suite import PlannedRun
from eibench.results.schema import SCHEMA
from eibench.results.store import (
    DIVERGED,
    ERROR,
    OK,
    OUT_OF_MEMORY,
    RunFolder,
)
from eibench.training import checkpoint
from eibench.training.batch_of_one import check_batches
from eibench.training.build import Experiment, build, prepare
from eibench.training.fit import Diverged, Progress, final_result, fit

log = logging.getLogger(__name__)
NO_COST = {"seconds": None, "images_per_second": None, "peak_memory_mib": None}
EpochListener = Callable[[dict[str, Any]], None]


def execute(
    run: PlannedRun, suite: str, folder: RunFolder, data: ImageData, on_epoch: EpochListener
) -> dict[str, Any]:
    """Train or probe `run` and write its record, which is returned.

    A failure is a record with a reason. An interrupt (Ctrl-C) passes through: the checkpoint of the
    last finished epoch stays, and the next call goes on from there.
    """
    progress = Progress()
    outcome: dict[str, Any] = {}
    trace: str | None = None
    try:
        if run.spec.probe is not None:
            outcome = probe(run.spec, folder, data)
        else:
            outcome["result"] = _train(run, folder, data, progress, on_epoch)
        status, reason = OK, None
    except Diverged as error:
        status, reason = DIVERGED, str(error)
    except Exception as error:  # whatever happened, the other runs of the suite go on
        status = OUT_OF_MEMORY if _is_out_of_memory(error) else ERROR
        reason, trace = f"{type(error).__name__}: {error}", _trace()
    outcome = {"result": {}, "cost": _cost(progress, data), **outcome}
    if trace:
        outcome["traceback"] = trace
    record = _record(run, suite, status, reason, device_name(data.train.labels.device), outcome)
    folder.finish(record)
    return record


def _trace() -> str:
    """The traceback of the error at hand, its files named from where Python finds them: a record is
    for others, whom this machine's folders tell nothing."""
    text = traceback.format_exc()
    found = {str(Path(eibench.__file__).parents[1]), *map(os.path.abspath, sys.path)}
    for folder in sorted(found, key=len, reverse=True):
        text = text.replace(f'File "{os.path.join(folder, "")}', 'File "')
    return text


def failure(
    run: PlannedRun, suite: str, folder: RunFolder, status: str, reason: str
) -> dict[str, Any]:
    """The record, written, of a run that could not say itself how it ended."""
    outcome = {"result": {}, "cost": dict(NO_COST)}
    record = _record(run, suite, status, reason, None, outcome)
    folder.finish(record)
    return record


def _record(
    run: PlannedRun,
    suite: str,
    status: str,
    reason: str | None,
    device: str | None,
    outcome: dict[str, Any],
) -> dict[str, Any]:
    """What `record.json` holds."""
    return {
        "schema": SCHEMA,
        "suite": suite,
        "run_id": run.run_id,
        "status": status,
        "reason": reason,
        "fields": run.fields(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": {**environment(), "device": device, **run.spec.sources()},
        **outcome,
    }


def _train(
    run: PlannedRun,
    folder: RunFolder,
    data: ImageData,
    progress: Progress,
    on_epoch: EpochListener,
) -> dict[str, Any]:
    """Train to the end, saving after every epoch; fills `progress` and returns the result."""
    device = data.train.labels.device
    reset_peak(device)
    check_batches(run.spec, data)
    experiment = build(run.spec, data)
    _start(experiment, folder, progress)
    folder.begin({**run.spec.to_dict(), **run.spec.sources()})
    folder.begin_epochs(progress.history)
    for record in fit(experiment, progress):
        record["cost"]["peak_memory_mib"] = peak_mib(device)
        checkpoint.save(folder.checkpoint, experiment, progress)
        folder.append_epoch(record)
        on_epoch(record)
    return final_result(experiment, progress)


def _start(experiment: Experiment, folder: RunFolder, progress: Progress) -> None:
    """Continue from the checkpoint, or prepare a fresh network."""
    torch.manual_seed(experiment.spec.seed)
    if folder.checkpoint.exists():
        try:
            saved = checkpoint.restore(folder.checkpoint, experiment)
        except ValueError as error:
            log.warning("%s; starting over", error)
        else:
            vars(progress).update(vars(saved))
            return
    prepare(experiment)


def _cost(progress: Progress, data: ImageData) -> dict[str, float | None]:
    """Seconds, training throughput and peak memory, over all epochs of the run."""
    costs = [record["cost"] for record in progress.history]
    if not costs:
        return dict(NO_COST)
    training = sum(cost["train_seconds"] for cost in costs)
    peaks = [cost["peak_memory_mib"] for cost in costs if cost["peak_memory_mib"] is not None]
    return {
        "seconds": training + sum(cost["evaluation_seconds"] for cost in costs),
        "images_per_second": len(data.train) * len(costs) / training,
        "peak_memory_mib": max(peaks, default=None),
    }


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, on a GPU or on the host (torch has no class for the latter)."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)
