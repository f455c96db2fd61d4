"""Engines: where the slots of a command are, and how many runs they compute at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch

from eibench.data.machine import memory_bytes
from eibench.execution.dataset_cache import DatasetCache
from eibench.execution.device import gpus_of_jobs, threads_of_job
from eibench.execution.environment import available_cores
from eibench.execution.slots import Slots, ThisProcess
from eibench.execution.worker import Settings
from eibench.execution.workers import WorkerProcess
from eibench.plan.plugins import Loaded

WORKER_BYTES = 2**31
"""Main memory that `--jobs auto` leaves to each worker process."""


class Engine(ABC):
    """A kind of slots; a context manager, since it may hold a connection."""

    jobs: int
    """Runs at a time."""
    device: torch.device
    """Device on which this process loads data sets."""

    @abstractmethod
    def open(self, datasets: DatasetCache, plugins: Sequence[Loaded], folder: Path) -> Slots:
        """Return slots for runs whose results are in `folder`, which exists."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:  # noqa: B027 (most hold nothing)
        """Let go of what the engine holds."""


class LocalEngine(Engine):
    """Slots on this machine: this process itself, or several worker processes.

    On GPUs the processes take turns: each sees one device alone.
    """

    def __init__(self, device: torch.device, jobs: int | None = 1, runs: int | None = None) -> None:
        """Choose the number of jobs for so many `runs` where it is None."""
        self.device = device
        self.jobs = jobs or _jobs_here(device, runs)

    def open(self, datasets: DatasetCache, plugins: Sequence[Loaded], folder: Path) -> Slots:
        """Return the slots; see `Engine.open`."""
        if self.jobs == 1:
            return Slots([ThisProcess(datasets)])
        entries = [plugin.entry for plugin in plugins]
        settings = Settings(str(self.device), threads_of_job(self.jobs), entries, datasets.folder)
        gpus = gpus_of_jobs(self.device, self.jobs)
        return Slots([WorkerProcess(settings, f"worker {i}", gpu) for i, gpu in enumerate(gpus, 1)])


def _jobs_here(device: torch.device, runs: int | None) -> int:
    """Return the number of GPUs; on a CPU that of cores, as far as memory goes.

    More than the number of runs are of no use.
    """
    if device.type == "cuda":
        places = torch.cuda.device_count()
    else:
        places = min(available_cores(), memory_bytes() // WORKER_BYTES)
    return max(1, places if runs is None else min(places, runs))
