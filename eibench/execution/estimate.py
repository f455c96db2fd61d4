"""Estimates of the time that runs take: from records of this machine, or a few training steps.

A record counts if its run has the same network, data and batch size, and ended on the same kind of
processor with as many threads. Else a few steps are timed. On a CPU the clock is the processor time
of the thread that trains: it takes part in all that torch computes in parallel, so its time is that
of an idle machine, however busy this one is.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eibench.data import ImageData
from eibench.errors import reraise_interrupt
from eibench.execution.dataset_cache import DatasetCache, StandInCache, check_buildable
from eibench.execution.device import device_name, keep_freed_memory
from eibench.execution.environment import cpu_name
from eibench.plan.spec import RunSpec
from eibench.plan.suite import Plan, PlannedRun
from eibench.results.paths import RESULTS, SEARCH, evidence_of, is_packed
from eibench.results.store import OK, RunFolder
from eibench.training.build import Experiment, build, epoch_batches
from eibench.training.fit import total_steps, train_step
from eibench.training.start import set_first_weights

STEPS = 6
PATIENCE = 10.0
"""Seconds after which no further step is timed."""
EVALUATION_SHARE = 1.2
"""A run's time over that of its training steps: validation, checkpoint and records."""
PROBE_STEPS = 3
"""Building, preparing and measuring a network, in optimizer steps."""
MOST_RECORDS = 25
"""Records of each kind of run that are read."""
Clock = Callable[[], float]
Kind = tuple[str, Any]


class Estimator:
    """Expected times of the runs of a plan, each from its start and in one process.

    Runs that differ only in seed, rates and epochs are timed once.

    Args:
        root: results folder, whose records are used; committed evidence is used too.
        seeds: seeds of further records of the same runs, such as those of trials.

    Raises:
        UserError: data or a network is unusable.
    """

    def __init__(
        self,
        plan: Plan,
        runs: Iterable[PlannedRun],
        root: Path,
        device: torch.device,
        seeds: Iterable[int] = (),
    ) -> None:
        keep_freed_memory()  # as in runs
        self.datasets = StandInCache(device, plan.folder)
        check_buildable(runs, self.datasets)
        self.recorded = recorded_costs(plan, root, device_name(device), tuple(seeds))
        self.measured: dict[str, float | None] = {}
        self.used: set[str] = set()
        """Networks whose records were used."""

    def seconds(self, run: PlannedRun) -> float | None:
        """Return the expected duration of `run`; None if it fails when it is tried, for lack of
        memory above all."""
        spec = dataclasses.replace(run.spec, seed=0)  # splits of all seeds have the same sizes
        key = _shape(spec)
        if (seconds := self.recorded.get(kind_of_run(spec))) is not None:
            self.used.add(key)
            return seconds * epochs_of(spec)
        if key not in self.measured:
            self.measured[key] = _seconds_per_step(spec, self.datasets)
        step = self.measured[key]
        return None if step is None else step * _steps(spec, self.datasets.get(spec))

    def basis(self) -> str:
        """Return what the estimates so far are made from, in a few words."""
        sources = {"records of this machine": self.used, "training steps timed now": self.measured}
        parts = [
            f"{words} ({len(networks)} network{'s' * (len(networks) > 1)})"
            for words, networks in sources.items()
            if networks
        ]
        absent = ", ".join(sorted(self.datasets.absent))
        parts += [f"random images in place of {absent}, which is not here"] * bool(absent)
        return ", ".join(parts) or "no run that is left"


def recorded_costs(
    plan: Plan, root: Path, device: str, seeds: tuple[int, ...] = ()
) -> dict[Kind, float]:
    """Return the median seconds per epoch, or per probe, of each kind of run that has records of
    this machine and of `device`, as `device_name` names it."""
    found: dict[Kind, list[float]] = {}
    machine = cpu_name(), device
    own = root / plan.name
    places = dict.fromkeys([own, evidence_of(own), evidence_of(RESULTS / plan.name)])
    there = [folder for folder in places if folder.is_dir() or is_packed(folder)]
    folders = [folder / part for folder in there for part in ("", SEARCH)]
    for spec in {
        spec.run_id: spec for run in plan.runs for spec in _seeded(run.spec, seeds)
    }.values():
        known = found.setdefault(kind_of_run(spec), [])
        for folder in folders:
            if len(known) >= MOST_RECORDS:
                break
            record = RunFolder(folder / spec.run_id).record()
            if record is not None and (seconds := _cost(record, machine)) is not None:
                known.append(seconds / epochs_of(spec))
    return {key: statistics.median(seconds) for key, seconds in found.items() if seconds}


def _seeded(spec: RunSpec, seeds: tuple[int, ...]) -> Iterator[RunSpec]:
    yield spec
    yield from (dataclasses.replace(spec, seed=seed) for seed in seeds)


def _cost(record: dict[str, Any], machine: tuple[str, str]) -> float | None:
    """Return the seconds of a run that ended well on `machine`."""
    environment = record.get("environment", {})
    if record["status"] != OK or machine != (environment.get("cpu"), environment.get("device")):
        return None
    seconds: float | None = record["cost"].get("seconds")
    return seconds


def epochs_of(spec: RunSpec) -> int:
    """Return the epochs of a run; a probe counts as one."""
    return spec.train.epochs if spec.probe is None else 1


def _steps(spec: RunSpec, data: ImageData) -> float:
    """Return a run's work in optimizer steps."""
    if spec.probe is not None:
        return spec.probe.steps + PROBE_STEPS
    return total_steps(spec, data) * EVALUATION_SHARE


def kind_of_run(spec: RunSpec) -> Kind:
    """Return a key of all that the duration of an epoch, or a probe, depends on."""
    return _shape(spec), spec.probe


def _shape(spec: RunSpec) -> str:
    """Return a key of all that a step's duration depends on."""
    train = (spec.train.batch_size, spec.train.optimizer, spec.train.precision)
    pieces = spec.train.accumulate
    parts = (spec.method, spec.model, spec.data, spec.neuron, spec.timesteps, spec.input, train)
    rare = [*([pieces] if pieces > 1 else []), *spec.perturb.strengths().items()]
    return repr((*parts, *rare))


def _seconds_per_step(spec: RunSpec, datasets: DatasetCache) -> float | None:
    """Return the duration of the fastest of a few optimizer steps; None if they fail."""
    try:
        return _timed_steps(spec, datasets.get(spec))
    except BaseException as error:  # whatever it is, it will be a row with its reason
        reraise_interrupt(error)
        return None


def _timed_steps(spec: RunSpec, data: ImageData) -> float:
    experiment = build(spec, data)
    set_first_weights(experiment)
    epochs = (epoch_batches(experiment, spec.train.batch_size, i) for i in itertools.count())
    batches = itertools.chain.from_iterable(epochs)
    return fastest_step(experiment, batches, _clock(data))


def _clock(data: ImageData) -> Clock:
    """Return processor time of this thread; the wall clock where a GPU or other processes work."""
    here = data.train.labels.device.type == "cpu" and isinstance(data.train.images, Tensor)
    return time.thread_time if here else time.perf_counter


def fastest_step(
    experiment: Experiment,
    batches: Iterator[tuple[Tensor, Tensor]],
    clock: Clock = time.perf_counter,
) -> float:
    """Return the seconds of the fastest of a few optimizer steps, reading of batches included."""
    durations: list[float] = []
    while len(durations) < STEPS and sum(durations) < PATIENCE:
        start = clock()
        loss, _ = train_step(experiment, next(batches), experiment.spec.train.lr)
        loss.item()  # waits for the device
        durations.append(clock() - start)
    return min(durations)  # other work on the machine only ever adds
