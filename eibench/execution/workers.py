"""Where runs are executed: in this process, or several at a time in processes of their own.

Each process has its share of the CPU's threads and its own copy of the data. A process that dies
takes one run with it, which gets a record that says so.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any, Self, TypeVar

import torch

from eibench.errors import Control, described
from eibench.execution.dataset_cache import Datasets
from eibench.execution.environment import SuiteSource
from eibench.execution.lock import attend
from eibench.execution.memory import keep_freed_memory
from eibench.execution.run_one import EpochListener, execute, failure
from eibench.plan.plugins import Loaded, load_plugin
from eibench.plan.spec import RunSpec
from eibench.plan.suite import PlannedRun
from eibench.results.store import ERROR, RunFolder

Item = TypeVar("Item")
Result = TypeVar("Result")

KILLED = -9
"""Exit code of a process that the system ended without asking."""


CHECK = 1.0
"""Seconds between two looks at whether a process that says nothing is still there."""
GRACE = 5.0
"""Seconds that a process has to end in before it is killed."""


class Stop(Control):
    """Raised where an epoch is heard of: the run ends there, and can go on later."""


class _Died(Exception):
    """The process at the other end of a pipe is gone, or no longer listens."""


class Workers:
    """`jobs` runs at a time; one job is this process itself."""

    def __init__(self, jobs: int, datasets: Datasets, plugins: Sequence[Loaded] = ()) -> None:
        self.jobs, self.datasets = jobs, datasets
        self.idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        self.processes: list[_Process] = []
        self.threads: ThreadPoolExecutor | None = None
        if jobs > 1:
            threads = max(1, torch.get_num_threads() // jobs)
            entries = [plugin.entry for plugin in plugins]
            device = str(datasets.device)
            self.processes = [_Process(device, threads, entries) for _ in range(jobs)]
            self.threads = ThreadPoolExecutor(jobs)
            for process in self.processes:
                self.idle.put(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """End the processes at once; runs under way keep their last epoch."""
        for process in self.processes:
            process.end()
        if self.threads is not None:
            self.threads.shutdown(cancel_futures=True)

    def each(
        self, work: Callable[[Item], Result], following: Callable[[], Item | None]
    ) -> Iterator[tuple[Item, Result]]:
        """Every item with what `work` makes of it, as it is done.

        `following` gives the next item; None: none now. It is asked again whenever one is done.
        """
        if self.threads is None:
            while (item := following()) is not None:
                yield item, work(item)
            return
        pending: dict[Future[Result], Item] = {}
        while True:
            while len(pending) < self.jobs and (item := following()) is not None:
                pending[self.threads.submit(work, item)] = item
            if not pending:
                return
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield pending.pop(future), future.result()

    def execute(
        self, run: PlannedRun, suite: SuiteSource, folder: RunFolder, on_epoch: EpochListener
    ) -> dict[str, Any]:
        """Train or probe `run`; see `eibench.execution.run_one.execute`.

        Raises:
            Stop: `on_epoch` raised it.
            OSError: the record cannot be written.
        """
        if not self.processes:
            return execute(run, suite, folder, self.datasets, on_epoch)
        process = self.idle.get()
        try:
            return process.execute(run, suite, folder, on_epoch)
        finally:
            self.idle.put(process)


@dataclass(frozen=True)
class _Job:
    """A run as it is sent: classes of plugins are not known at the other end yet."""

    run_id: str
    spec: dict[str, Any]
    ablation: str | None
    called: str | None
    suite: SuiteSource
    folder: Path


class _Process:
    """One process that executes the runs it is sent, from the first of them on."""

    def __init__(self, device: str, threads: int, plugins: list[str]) -> None:
        self.settings = (device, threads, plugins)
        self.ended = False
        self.starting = threading.Lock()
        """Held while the process starts: what is half made cannot be ended."""
        self.process: Any = None
        self.pipe: Connection

    def execute(
        self, run: PlannedRun, suite: SuiteSource, folder: RunFolder, on_epoch: EpochListener
    ) -> dict[str, Any]:
        """The record of `run`, executed by the process."""
        self._start()
        try:
            return self._converse(run, suite, folder, on_epoch)
        except _Died:
            if self.ended:  # by us, after an interrupt
                raise KeyboardInterrupt from None
            cause = self._cause_of_death()
            return failure(run, suite, folder, ERROR, f"the process that ran it died ({cause}")
        except Stop:
            raise
        except BaseException:  # of whoever listens: the process waits for an answer
            self._finish()
            raise

    def _converse(
        self, run: PlannedRun, suite: SuiteSource, folder: RunFolder, on_epoch: EpochListener
    ) -> dict[str, Any]:
        """Send the run, answer each epoch, and return the record.

        Raises:
            _Died: the process died. What the listener raises, that of a full disk perhaps, passes.
        """
        process = self.process
        spec = run.spec.to_dict()
        self._send(_Job(run.run_id, spec, run.ablation, run.called, suite, folder.path))
        while True:
            kind, content = self._receive(process)
            if kind == "epoch":
                self._send(_goes_on(on_epoch, content))
            elif kind == "record":
                return dict(content)
            elif kind == "failed":
                return failure(run, suite, folder, ERROR, content)
            elif kind == "unwritten":
                raise OSError(*content)
            else:
                raise Stop

    def _send(self, message: object) -> None:
        try:
            self.pipe.send(message)
        except OSError:
            raise _Died from None

    def _receive(self, process: Any) -> Any:
        """The next message. An end of the file is not waited for: what the process has started may
        outlive it, and hold the pipe open."""
        try:
            while not self.pipe.poll(CHECK):
                if not process.is_alive() and not self.pipe.poll():
                    raise EOFError
            return self.pipe.recv()
        except (EOFError, OSError):
            raise _Died from None

    def _start(self) -> None:
        """Start the process unless it runs; `KeyboardInterrupt` when none shall start any more."""
        with self.starting:
            if self.ended:
                raise KeyboardInterrupt
            if self.process is not None:
                return
            _leave_interrupts_to_main()
            context = multiprocessing.get_context("spawn")  # threads and CUDA do not survive a fork
            self.pipe, other = context.Pipe()
            process = context.Process(target=_serve, args=(other, *self.settings), daemon=False)
            process.start()
            other.close()
            self.process = process

    def _cause_of_death(self) -> str:
        """The process's signal or exit code in words; the next run gets a new process."""
        process = self.process
        if process is None:  # ended by us in this moment
            raise KeyboardInterrupt
        process.join(GRACE)
        alive = process.is_alive()
        self._finish()
        code = process.exitcode
        if alive or code is None:
            return "it no longer answered)"
        hint = "; the system ends what needs too much memory so" if code == KILLED else ""
        return (f"signal {-code})" if code < 0 else f"exit code {code})") + hint

    def _finish(self) -> None:
        """End the process within `GRACE`, by force if need be; the next run gets a new one."""
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        process.join(GRACE)
        if process.is_alive():
            process.kill()
            process.join(GRACE)

    def end(self) -> None:
        """End the process at once; it starts no more."""
        with self.starting:
            self.ended = True
        self._finish()


def _leave_interrupts_to_main() -> None:
    """No SIGINT for this thread, nor for a process that it starts: while that one imports torch, an
    interrupt from the keyboard would end it with a traceback."""
    if hasattr(signal, "pthread_sigmask"):  # POSIX
        resource_tracker.ensure_running()  # which lets them in again where it starts
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _goes_on(on_epoch: EpochListener, record: dict[str, Any]) -> bool:
    try:
        on_epoch(record)
    except Stop:
        return False
    return True


def _end_with_parent() -> None:
    """Leave when the parent is gone, killed perhaps: another may be at the same runs soon."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


def _serve(pipe: Connection, device: str, threads: int, plugins: list[str]) -> None:
    """What a process does: execute runs until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's business
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    keep_freed_memory()
    datasets = Datasets(torch.device(device))
    with contextlib.suppress(OSError, EOFError):  # the parent is gone
        while True:
            pipe.send(_served(pipe, datasets, plugins, pipe.recv()))


def _served(pipe: Connection, datasets: Datasets, plugins: list[str], job: _Job) -> tuple[str, Any]:
    """Execute a run; the last message about it."""

    def on_epoch(record: dict[str, Any]) -> None:
        pipe.send(("epoch", record))
        if not pipe.recv():
            raise Stop

    try:
        attend(job.folder.parent)
        for entry in plugins:
            load_plugin(entry)
        spec = RunSpec.parse(job.spec)
        if spec.run_id != job.run_id:
            return "failed", "a plugin's code has changed since the command began"
        run = PlannedRun(spec.run_id, spec, job.ablation, job.called)
        return "record", execute(run, job.suite, RunFolder(job.folder), datasets, on_epoch)
    except Stop:
        return "stopped", None
    except OSError as error:  # of the record
        return "unwritten", (error.errno, error.strerror, error.filename)
    except Exception as error:
        return "failed", described(error)
