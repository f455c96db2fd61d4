"""A worker: it executes the runs that a command sends; see `conversation` for the messages."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from eibench.errors import describe_error
from eibench.execution.dataset_cache import DatasetCache
from eibench.execution.device import keep_freed_memory
from eibench.execution.environment import SuiteSource
from eibench.execution.lock_file import attending
from eibench.execution.run_one import execute
from eibench.execution.slots import Stop
from eibench.plan.plugins import load_plugin
from eibench.plan.spec import RunSpec
from eibench.plan.suite import PlannedRun
from eibench.results.store import RunFolder
from eibench.training.denormals import start_threads
from eibench.training.steps import StepReport


@dataclass(frozen=True)
class RunRequest:
    """A run as it is sent, in plain values: the worker has not loaded the plugins yet."""

    run_id: str
    spec: dict[str, Any]
    ablation: str | None
    called: str | None
    suite: SuiteSource
    folder: Path


class Settings(NamedTuple):
    """Settings of a worker."""

    device: str
    threads: int
    plugins: list[str]
    folder: Path | None
    """The suite's, for paths of data sets."""


class Pipe(Protocol):
    """A worker's end of its connection to the command."""

    def send(self, message: Any, /) -> None:
        """Send a message."""

    def recv(self) -> Any:
        """Return the next message."""


def serve(pipe: Connection, settings: Settings) -> None:
    """Execute runs until the process is ended: the main function of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles interrupts
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(OSError, EOFError):  # the parent is gone
        serve_runs(pipe, settings)


def serve_runs(pipe: Pipe, settings: Settings) -> None:
    """Execute runs, one after another, until the pipe fails."""
    torch.set_num_threads(settings.threads)
    start_threads()
    keep_freed_memory()
    datasets = DatasetCache(torch.device(settings.device), settings.folder)
    while True:
        pipe.send(_served(pipe, datasets, settings.plugins, pipe.recv()))


def _served(
    pipe: Pipe, datasets: DatasetCache, plugins: list[str], job: RunRequest
) -> tuple[str, Any]:
    """Execute a run and return the last message about it."""

    def on_epoch(record: dict[str, Any]) -> None:
        pipe.send(("epoch", record))
        if not pipe.recv():
            raise Stop

    def on_step(report: StepReport) -> None:
        pipe.send(("step", report))

    try:
        with attending(job.folder):
            for entry in plugins:
                load_plugin(entry)
            spec = RunSpec.parse(job.spec)
            if spec.run_id != job.run_id:
                return "failed", "a plugin's code has changed since the command began"
            run = PlannedRun(spec.run_id, spec, job.ablation, job.called)
            folder = RunFolder(job.folder)
            return "record", execute(run, job.suite, folder, datasets, on_epoch, on_step)
    except Stop:
        return "stopped", None
    except OSError as error:  # of the record
        return "unwritten", (error.errno, error.strerror, error.filename)
    except Exception as error:
        return "failed", describe_error(error)


def _end_with_parent() -> None:
    """Exit when the parent is gone, killed perhaps: another may be at the same runs soon."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)
