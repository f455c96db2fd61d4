"""Worker processes: several runs at a time on this machine.

Each process has its share of the CPU's threads and its own copy of the data. A process that dies
takes one run with it, which gets a record that says so. Parent and worker talk over a pipe:

    parent -> worker    a `RunRequest`, then True (go on) or False (stop) after each epoch
    worker -> parent    ("step", report) and ("epoch", record) ..., then one of ("record", record),
                        ("failed", reason), ("stopped", None),
                        ("unwritten", arguments of an OSError)
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import threading
from collections.abc import Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from eibench.execution.dataset_cache import DatasetCache
from eibench.execution.device import threads_of_job
from eibench.execution.environment import SuiteSource
from eibench.execution.run_one import EpochListener, failure
from eibench.execution.slots import Slots, Stop, ThisProcess
from eibench.execution.worker import RunRequest, Settings, serve
from eibench.plan.plugins import Loaded
from eibench.plan.suite import PlannedRun
from eibench.results.store import ERROR, RunFolder
from eibench.training.steps import StepListener, ignore_steps

KILLED = -9
"""Exit code of a process that the system ended without asking."""
CHECK = 1.0
"""Seconds between two looks at whether a process that says nothing is still there."""
GRACE = 5.0
"""Seconds that a process has to end in before it is killed."""


class _Died(Exception):
    """The process at the other end of a pipe is gone, or no longer listens."""


def open_slots(jobs: int, datasets: DatasetCache, plugins: Sequence[Loaded] = ()) -> Slots:
    """Return `jobs` slots on this machine; one job is this process itself."""
    return WorkerProcesses(jobs, datasets, plugins) if jobs > 1 else ThisProcess(datasets)


class WorkerProcesses(Slots):
    """Several slots: processes of their own, each with its share of the CPU's threads."""

    def __init__(self, count: int, datasets: DatasetCache, plugins: Sequence[Loaded] = ()) -> None:
        self.count = count
        threads = threads_of_job(count)
        entries = [plugin.entry for plugin in plugins]
        settings = Settings(str(datasets.device), threads, entries, datasets.folder)
        self.processes = [_WorkerProcess(settings) for _ in range(count)]
        self.idle: queue.SimpleQueue[_WorkerProcess] = queue.SimpleQueue()
        for process in self.processes:
            self.idle.put(process)

    def execute(
        self,
        run: PlannedRun,
        suite: SuiteSource,
        folder: RunFolder,
        on_epoch: EpochListener,
        on_step: StepListener = ignore_steps,
    ) -> dict[str, Any]:
        """Train or probe `run` in an idle process; see `Slots.execute`."""
        process = self.idle.get()
        try:
            return process.execute(run, suite, folder, on_epoch, on_step)
        finally:
            self.idle.put(process)

    def close(self) -> None:
        """End the processes."""
        for process in self.processes:
            process.end()


class _WorkerProcess:
    """One process that executes the runs it is sent; it starts with the first of them."""

    starting = threading.Lock()
    """Held while a process starts, one at a time: a half-started one cannot be ended, and two must
    not inherit each other's pipes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ended = False
        self.process: Any = None
        self.pipe: Connection

    def execute(
        self,
        run: PlannedRun,
        suite: SuiteSource,
        folder: RunFolder,
        on_epoch: EpochListener,
        on_step: StepListener = ignore_steps,
    ) -> dict[str, Any]:
        """Return the record of `run`, executed by the process."""
        self._start()
        try:
            return self._converse(run, suite, folder, on_epoch, on_step)
        except _Died:
            if self.ended:  # by us, after an interrupt
                raise KeyboardInterrupt from None
            cause = self._cause_of_death()
            return failure(run, suite, folder, ERROR, f"the process that ran it died ({cause}")
        except Stop:
            raise
        except BaseException:  # of the listener; the process waits for an answer
            self._finish()
            raise

    def _converse(
        self,
        run: PlannedRun,
        suite: SuiteSource,
        folder: RunFolder,
        on_epoch: EpochListener,
        on_step: StepListener = ignore_steps,
    ) -> dict[str, Any]:
        """Send the run, answer each epoch, and return the record.

        Raises:
            _Died: the process died. Exceptions of the listener (a full disk, perhaps) pass.
        """
        process = self.process
        spec = run.spec.to_dict()
        self._send(RunRequest(run.run_id, spec, run.ablation, run.called, suite, folder.path))
        while True:
            kind, content = self._receive(process)
            if kind == "epoch":
                self._send(_may_go_on(on_epoch, content))
            elif kind == "step":
                on_step(content)
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
        """Return the next message.

        The pipe's end is not waited for: children of the process may outlive it and hold it open.
        """
        try:
            while not self.pipe.poll(CHECK):
                if not process.is_alive() and not self.pipe.poll():
                    raise EOFError
            return self.pipe.recv()
        except (EOFError, OSError):
            raise _Died from None

    def _start(self) -> None:
        """Start the process unless it runs; raise `KeyboardInterrupt` once it was ended."""
        with self.starting:
            if self.ended:
                raise KeyboardInterrupt
            if self.process is not None:
                return
            _block_interrupts()
            context = multiprocessing.get_context("spawn")  # threads and CUDA do not survive a fork
            self.pipe, other = context.Pipe()
            process = context.Process(target=serve, args=(other, self.settings), daemon=False)
            process.start()
            other.close()
            self.process = process

    def _cause_of_death(self) -> str:
        """Return the process's signal or exit code in words; the next run gets a new process."""
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


def _block_interrupts() -> None:
    """Block SIGINT for this thread and for processes that it starts.

    While such a process imports torch, an interrupt would end it with a traceback.
    """
    if hasattr(signal, "pthread_sigmask"):  # POSIX
        resource_tracker.ensure_running()  # starting it unblocks SIGINT
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _may_go_on(on_epoch: EpochListener, record: dict[str, Any]) -> bool:
    """Tell the listener of an epoch; return False if it stops the run."""
    try:
        on_epoch(record)
    except Stop:
        return False
    return True
