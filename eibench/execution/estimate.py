"""Estimates of the time that runs take, from a few training steps of each distinct network."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from eibench.errors import reraise_interrupt
from eibench.execution.dataset_cache import DatasetCache, check_buildable
from eibench.plan.spec import RunSpec
from eibench.plan.suite import Plan, PlannedRun
from eibench.results.store import RunFolder
from eibench.training.build import Experiment, build, epoch_batches, prepare
from eibench.training.fit import total_steps, train_step

STEPS = 6
EVALUATION_SHARE = 1.2
"""A run's time over that of its training steps: validation, checkpoint and records."""
PROBE_STEPS = 3
"""Building, preparing and measuring a network, in optimizer steps."""


def estimates(
    plan: Plan, runs: Iterable[PlannedRun], root: Path, device: torch.device
) -> Iterator[tuple[PlannedRun, float | None]]:
    """Yield each run with its expected seconds from the start; 0 for one that has finished.

    None for a run that fails when it is tried, for lack of memory above all. Runs that differ only
    in seed, rates and epochs are measured once.

    Raises:
        UserError: data or a network is unusable.
    """
    runs = list(runs)
    datasets = DatasetCache(device)
    check_buildable(runs, datasets)
    measured: dict[str, float | None] = {}
    for run in runs:
        if RunFolder(root / plan.name / run.run_id).final_record() is not None:
            yield run, 0.0
            continue
        spec = dataclasses.replace(run.spec, seed=0)  # splits of all seeds have the same sizes
        key = _shape(spec)
        if key not in measured:
            measured[key] = _seconds_per_step(spec, datasets)
        seconds = measured[key]
        yield run, None if seconds is None else seconds * _steps(spec, datasets)


def _steps(spec: RunSpec, datasets: DatasetCache) -> float:
    """Return a run's work in optimizer steps."""
    if spec.probe is not None:
        return spec.probe.steps + PROBE_STEPS
    return total_steps(spec, datasets.get(spec)) * EVALUATION_SHARE


def _shape(spec: RunSpec) -> str:
    """Return a key of all that a step's duration depends on."""
    train = (spec.train.batch_size, spec.train.optimizer, spec.train.precision)
    parts = (spec.method, spec.model, spec.data, spec.neuron, spec.timesteps, spec.input, train)
    return repr(parts)


def _seconds_per_step(spec: RunSpec, datasets: DatasetCache) -> float | None:
    """Return the duration of the fastest of a few optimizer steps; None if they fail."""
    try:
        return _timed_steps(spec, datasets)
    except BaseException as error:  # whatever it is, it will be a row with its reason
        reraise_interrupt(error)
        return None


def _timed_steps(spec: RunSpec, datasets: DatasetCache) -> float:
    experiment = build(spec, datasets.get(spec))
    prepare(experiment)
    epochs = (epoch_batches(experiment, spec.train.batch_size, i) for i in itertools.count())
    return fastest_step(experiment, itertools.chain.from_iterable(epochs))


def fastest_step(experiment: Experiment, batches: Iterator[tuple[Tensor, Tensor]]) -> float:
    """Return the seconds of the fastest of a few optimizer steps, reading of batches included."""
    durations = []
    for _ in range(STEPS):
        start = time.perf_counter()
        loss, _ = train_step(experiment, next(batches), experiment.spec.train.lr)
        loss.item()  # waits for the device
        durations.append(time.perf_counter() - start)
    return min(durations)  # other work on the machine only ever adds
