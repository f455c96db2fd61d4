"""One run over several processes, which `torchrun` starts with the same command.

The first process is the one that runs the suite: it holds the lock, chooses the next run, writes
its files and prints. It sends each run to the others, which train along (`follow`) and write
nothing. `training.ranks` has the exchanges of tensors and errors, `nn.shared_batch` the statistics
of a batch.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from eibench.errors import UserError, reraise_interrupt
from eibench.execution.dataset_cache import DatasetCache
from eibench.execution.device import keep_freed_memory
from eibench.execution.engine import Engine
from eibench.execution.environment import SuiteSource
from eibench.execution.run_one import EpochListener, execute
from eibench.execution.slots import Slot, Slots, Stop
from eibench.execution.torchrun import Torchrun
from eibench.plan.plugins import Loaded
from eibench.plan.spec import RunSpec
from eibench.plan.suite import PlannedRun
from eibench.results.store import RunFolder
from eibench.training import checkpoint
from eibench.training.build import build
from eibench.training.fit import Progress, final_result, fit
from eibench.training.ranks import RankLost, Ranks
from eibench.training.steps import StepListener, ignore_steps

PATIENCE = timedelta(minutes=30)
"""Time that processes wait for one another: for the first to write a checkpoint, say."""


def join(place: Torchrun, device: torch.device) -> Ranks:
    """Connect the processes of a run; each on a GPU takes its own as the current one.

    Tensors travel by NCCL where each process has a GPU, else by gloo.
    """
    nccl = False
    if device.type == "cuda":
        gpus = torch.cuda.device_count()
        torch.cuda.set_device(place.local_rank % gpus)
        nccl = place.local_size <= gpus and dist.is_nccl_available()
    with _as_message():
        dist.init_process_group("gloo", timeout=PATIENCE)
        return Ranks(dist.group.WORLD, dist.new_group(backend="nccl") if nccl else None)


class TorchrunEngine(Engine):
    """One slot: this process, the first, and those that follow it."""

    jobs = 1

    def __init__(self, place: Torchrun, device: torch.device) -> None:
        self.device = device
        self.first = FirstRank(join(place, device))

    def open(self, datasets: DatasetCache, plugins: Sequence[Loaded], folder: Path) -> Slots:
        """Return the slot; see `Engine.open`."""
        self.first.datasets = datasets
        return Slots([self.first])

    def __exit__(self, *error: object) -> None:
        self.first.end()  # the command may have ended before it opened the slot


class FirstRank(Slot):
    """The first process, which trains with the others."""

    name = "torchrun"

    datasets: DatasetCache

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.idle = True

    def execute(
        self,
        run: PlannedRun,
        suite: SuiteSource,
        folder: RunFolder,
        on_epoch: EpochListener,
        on_step: StepListener = ignore_steps,
    ) -> dict[str, Any]:
        """Train `run` with the others; see `Slot.execute`."""
        if run.spec.probe is not None:
            raise UserError("a probe measures a network in one process: start without torchrun")
        told = {"world_size": self.ranks.size, "backend": self.ranks.backend}
        suite = dataclasses.replace(suite, state={**suite.state, **told})
        self.idle = False
        with _as_message():
            self.ranks.hear(run.spec.to_dict())
            try:
                record = execute(run, suite, folder, self.datasets, on_epoch, on_step, self.ranks)
            except Stop:  # the others are in mid-run, and cannot leave it
                text = "another command has taken this run over; start this command again"
                raise UserError(f"{run.run_id}: {text}") from None
        self.idle = True
        return record

    def end(self) -> None:
        """Let the others go; after an error in mid-run they notice that this process ends."""
        if self.idle:
            self.idle = False
            with contextlib.suppress(RankLost):
                self.ranks.hear(None)
                dist.destroy_process_group()


def follow(ranks: Ranks, device: torch.device, folder: Path | None) -> None:
    """Train along every run that the first process sends, until it sends no more.

    `folder` is the suite's, for paths of data sets. Plugins have been loaded.
    """
    keep_freed_memory()
    datasets = DatasetCache(device, folder)
    with _as_message():
        while (values := ranks.hear()) is not None:
            try:
                _train_along(values, datasets, ranks)
            except BaseException as error:  # the first process has written it down
                reraise_interrupt(error)
        dist.destroy_process_group()


def _train_along(values: dict[str, Any], datasets: DatasetCache, ranks: Ranks) -> None:
    with ranks.together():
        spec = RunSpec.parse(values)
        progress = Progress()
        experiment = build(spec, datasets.get(spec), ranks)
        checkpoint.share(experiment, progress)
        for _ in fit(experiment, progress):
            pass
        final_result(experiment, progress)


@contextlib.contextmanager
def _as_message() -> Iterator[None]:
    """Raise `UserError` where another process is gone."""
    try:
        yield
    except RankLost as error:
        text = "another process of this command has ended, or does not answer"
        raise UserError(f"{text} ({error}); the same command goes on from the last epoch") from None
