"""Options that say where runs are computed, and how many at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from eibench.cli.options import Device, finite
from eibench.errors import UserError
from eibench.execution.torchrun import refuse_torchrun, torchrun

if TYPE_CHECKING:
    from eibench.execution.engine import Engine

MOST_JOBS = 1024
AUTO = "auto"


class EngineName(StrEnum):
    """Where runs are computed: on this machine, or on a Ray cluster."""

    local = "local"
    ray = "ray"


def read_jobs(text: str | None) -> int | None:
    """Return the number of jobs in `--jobs`; None for `auto`."""
    if text is None or text == AUTO:
        return None
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= MOST_JOBS:
        raise UserError(f"--jobs {text}: must be a whole number from 1 to {MOST_JOBS}, or {AUTO}")
    return int(text)


def _whole_above_one(number: float | None) -> float | None:
    """Return a number of GPUs, of which only one can be shared."""
    if number is not None and finite(number) > 1 and number != int(number):
        raise typer.BadParameter(f"{number} is neither below 1 nor a whole number.")
    return number


EngineOption = Annotated[
    EngineName, typer.Option("--engine", help="Compute on this machine, or on a Ray cluster.")
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Address of the Ray cluster.",
        show_default="RAY_ADDRESS, or a cluster that was started here, or a new one",
    ),
]
Jobs = Annotated[
    str | None,
    typer.Option(
        metavar=f"N|{AUTO}",
        help="Runs at a time, each in a process with its share of the cores or a GPU in turn;"
        f" {AUTO}: as many as there are GPUs, or cores.",
        show_default=f"1; {AUTO} on a cluster",
    ),
]
GpusPerRun = Annotated[
    float | None,
    typer.Option(
        min=0,
        callback=_whole_above_one,
        help="GPUs of each run on a cluster; 0.5: two runs share one.",
        show_default="1 if the cluster has any",
    ),
]
CpusPerRun = Annotated[
    float, typer.Option(min=0.01, callback=finite, help="Cores of each run on a cluster.")
]


@dataclass(frozen=True)
class EngineChoice:
    """The options of an engine, as they were given."""

    name: EngineName
    device: Device
    jobs: int | None
    """None: as many as are of use."""
    address: str | None
    gpus_per_run: float | None
    cpus_per_run: float

    @classmethod
    def read(
        cls,
        name: EngineName,
        device: Device,
        jobs: str | None,
        address: str | None,
        gpus_per_run: float | None,
        cpus_per_run: float,
    ) -> EngineChoice:
        """Check the options.

        Raises:
            UserError: a number of jobs that is none, or options of a cluster without one.
        """
        number = read_jobs(jobs)
        given = {
            "--address": address is not None,
            "--gpus-per-run": gpus_per_run is not None,
            "--cpus-per-run": cpus_per_run != 1,
        }
        if name is EngineName.local and any(given.values()):
            first = next(option for option, is_given in given.items() if is_given)
            raise UserError(f"{first}: only with --engine ray")
        if name is EngineName.ray and device is Device.cpu and gpus_per_run:
            raise UserError("--gpus-per-run: runs with --device cpu use none")
        if name is EngineName.ray and device is Device.cuda and gpus_per_run == 0:
            raise UserError("--gpus-per-run 0: runs with --device cuda need a GPU, or a part of it")
        if name is EngineName.ray:
            refuse_torchrun("--engine ray")
        if jobs is not None and number != 1:
            refuse_torchrun("--jobs")
        if name is EngineName.local and jobs is None:
            number = 1
        return cls(name, device, number, address, gpus_per_run, cpus_per_run)

    @property
    def device_here(self) -> Device:
        """The device for what this process computes itself; a cluster's GPUs are elsewhere."""
        is_elsewhere = self.name is EngineName.ray and self.device is Device.cuda
        return Device.auto if is_elsewhere else self.device

    def opener(self, runs: int, stack: ExitStack) -> Callable[[], Engine]:
        """Return what opens the engine for so many `runs`; `stack` closes it."""
        return lambda: stack.enter_context(self._engine(runs))

    def _engine(self, runs: int) -> Engine:
        if self.name is EngineName.ray:
            from eibench.execution.ray_engine import RayEngine, Request

            request = Request(
                self.address, self.jobs, self.device.value, self.gpus_per_run, self.cpus_per_run
            )
            return RayEngine(request, runs)
        from eibench.execution.device import choose_device
        from eibench.execution.engine import LocalEngine

        if (place := torchrun()) is not None:
            from eibench.execution.distributed import TorchrunEngine

            return TorchrunEngine(place, choose_device(self.device))
        return LocalEngine(choose_device(self.device), self.jobs, runs)
