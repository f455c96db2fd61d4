"""One run from start or checkpoint to its record."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import torch

import eibench
from eibench.data import ImageData
from eibench.errors import ControlFlow, UserError, describe_error, error_text, reraise_interrupt
from eibench.execution.dataset_cache import DatasetCache
from eibench.execution.device import PeakMemory, device_name
from eibench.execution.environment import SuiteSource, environment
from eibench.plan.spec import RunSpec
from eibench.plan.suite import PlannedRun
from eibench.probe.run import probe
from eibench.results.schema import SCHEMA
from eibench.results.store import (
    DIVERGED,
    ERROR,
    OK,
    OUT_OF_MEMORY,
    RunFolder,
)
from eibench.training import checkpoint
from eibench.training.batch_of_one import check_batches, check_shares
from eibench.training.build import Experiment, build
from eibench.training.fit import Diverged, Progress, final_result, fit
from eibench.training.ranks import Ranks
from eibench.training.start import set_first_weights
from eibench.training.steps import StepListener, ignore_steps
from eibench.training.weights import chosen_weights, save_weights

log = logging.getLogger(__name__)
NO_COST = {"seconds": None, "images_per_second": None, "peak_memory_mib": None}
EpochListener = Callable[[dict[str, Any]], None]
T = TypeVar("T")


class _ListenerFailed(ControlFlow):
    """An error of the epochs' listener, which is none of the run."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _EndedElsewhere(ControlFlow):
    """Another command has taken the run over and ended it, while this one was suspended."""


def execute(
    run: PlannedRun,
    suite: SuiteSource,
    folder: RunFolder,
    datasets: DatasetCache,
    on_epoch: EpochListener,
    on_step: StepListener = ignore_steps,
    ranks: Ranks | None = None,
) -> dict[str, Any]:
    """Train or probe `run` and write its record, which is returned.

    Of several `ranks` this is the first, which alone writes; an error of any is the run's.

    A failure is a record with a reason. An interrupt (Ctrl-C) and an error of a listener pass
    through: the checkpoint of the last finished epoch stays, and the next call goes on from there.

    Raises:
        OSError: the record cannot be written.
    """
    progress, images = Progress(), 0
    outcome: dict[str, Any] = {}
    trace: str | None = None
    try:
        with ranks.together() if ranks else contextlib.nullcontext():
            data = datasets.get(run.spec)
            images = len(data.train)
            if run.spec.probe is not None:
                outcome = _probe(run.spec, folder, data)
            else:
                listeners = _mark_errors(on_epoch), _mark_errors(on_step)
                outcome["result"] = _train(run, folder, data, progress, *listeners, ranks)
        status, reason = OK, None
    except Diverged as error:
        status, reason = DIVERGED, error_text(error)
    except _ListenerFailed as failed:
        raise failed.error from None
    except _EndedElsewhere:
        return folder.final_record() or {}
    except BaseException as error:  # whatever happened, the other runs of the suite go on
        reraise_interrupt(error)
        status = OUT_OF_MEMORY if is_out_of_memory(error) else ERROR
        reason = describe_error(error)
        trace = None if isinstance(error, UserError) else _trace()
    outcome = {"result": {}, "cost": _cost(progress, images), **outcome}
    if trace:
        outcome["traceback"] = trace
    record = _record(run, suite, status, reason, device_name(datasets.device), outcome)
    folder.finish(record)
    return record


def _mark_errors(listener: Callable[[T], None]) -> Callable[[T], None]:
    """Return the listener with its errors marked as such, unlike those of the run."""

    def tell(news: T) -> None:
        try:
            listener(news)
        except Exception as error:
            raise _ListenerFailed(error) from None

    return tell


def _trace() -> str:
    """Return the traceback of the current error, with paths relative to Python's search path.

    A record is read elsewhere, where this machine's folders mean nothing.
    """
    try:
        text = traceback.format_exc()
    except Exception:  # the error's class can break that too
        return ""
    found = {str(Path(eibench.__file__).parents[1]), *map(os.path.abspath, sys.path)}
    for folder in sorted(found, key=len, reverse=True):
        text = text.replace(f'File "{os.path.join(folder, "")}', 'File "')
    return text


def failure(
    run: PlannedRun, suite: SuiteSource, folder: RunFolder, status: str, reason: str
) -> dict[str, Any]:
    """Write and return the record of a run whose process could not write it."""
    outcome = {"result": {}, "cost": dict(NO_COST)}
    record = _record(run, suite, status, reason, None, outcome)
    folder.finish(record)
    return record


def _record(
    run: PlannedRun,
    suite: SuiteSource,
    status: str,
    reason: str | None,
    device: str | None,
    outcome: dict[str, Any],
) -> dict[str, Any]:
    """Return the content of `record.json`."""
    return {
        "schema": SCHEMA,
        "suite": suite.name,
        "run_id": run.run_id,
        "status": status,
        "reason": reason,
        "fields": run.fields(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": {
            **environment(),
            **suite.state,
            "device": device,
            **run.spec.sources(),
        },
        **outcome,
    }


def _train(
    run: PlannedRun,
    folder: RunFolder,
    data: ImageData,
    progress: Progress,
    on_epoch: EpochListener,
    on_step: StepListener,
    ranks: Ranks | None,
) -> dict[str, Any]:
    """Train to the end, saving after every epoch; fills `progress` and returns the result."""
    peak = PeakMemory(data.train.labels.device)
    check_batches(run.spec, data)
    if ranks is not None:
        check_shares(run.spec, data, ranks.size)
    experiment = _resumed(run.spec, data, folder, progress, ranks) or _fresh(run.spec, data, ranks)
    checkpoint.share(experiment, progress)
    spec = {**run.spec.to_dict(), **run.spec.sources()}
    folder.begin(spec)
    folder.begin_epochs(progress.history)
    if progress.history:  # a kill may have come before it was heard of
        on_epoch(progress.history[-1])
    for record in fit(experiment, progress, on_step):
        record["cost"]["peak_memory_mib"] = peak.mib()
        if ranks is None and folder.final_record() is not None:
            raise _EndedElsewhere
        checkpoint.save(folder.checkpoint, experiment, progress)
        folder.follow(progress.history)
        on_epoch(record)
    kept = chosen_weights(experiment, progress)
    result = final_result(experiment, progress)
    folder.begin(spec)  # again: the folder may have been deleted in the meantime
    if kept:
        save_weights(folder.path, kept, run.spec, data.shape)
    return result


def _probe(spec: RunSpec, folder: RunFolder, data: ImageData) -> dict[str, Any]:
    """Probe and return what its record says, peak memory included."""
    peak = PeakMemory(data.train.labels.device)
    outcome = probe(spec, data, lambda: folder.begin({**spec.to_dict(), **spec.sources()}))
    outcome["cost"]["peak_memory_mib"] = peak.mib()
    return outcome


def _fresh(spec: RunSpec, data: ImageData, ranks: Ranks | None) -> Experiment:
    """Return an experiment that has not begun."""
    experiment = build(spec, data, ranks)
    torch.manual_seed(spec.seed)
    set_first_weights(experiment)
    return experiment


def _resumed(
    spec: RunSpec, data: ImageData, folder: RunFolder, progress: Progress, ranks: Ranks | None
) -> Experiment | None:
    """Return the experiment of the checkpoint and update `progress`; None without a checkpoint."""
    if not os.path.lexists(folder.checkpoint):
        return None
    experiment = build(spec, data, ranks)
    try:
        saved = checkpoint.restore(folder.checkpoint, experiment)
    except checkpoint.Unusable as error:
        log.warning("%s; starting over", error)
        return None
    vars(progress).update(vars(saved))
    return experiment


def _cost(progress: Progress, images: int) -> dict[str, float | None]:
    """Return seconds, throughput of `images` an epoch, and peak memory, over all epochs."""
    costs = [record["cost"] for record in progress.history]
    if not costs:
        return dict(NO_COST)
    training = sum(cost["train_seconds"] for cost in costs)
    peaks = [cost["peak_memory_mib"] for cost in costs if cost["peak_memory_mib"] is not None]
    return {
        "seconds": training + sum(cost["evaluation_seconds"] for cost in costs),
        "images_per_second": images * len(costs) / training,
        "peak_memory_mib": max(peaks, default=None),
    }


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out, on a GPU or on the host (for which torch has no class)."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in error_text(error)
