"""Where runs are executed: in this process, or several at a time in processes of their own.

Each process has its share of the CPU's threads and its own copy of the data. A process that dies
takes one run with it, which gets a record that says so.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any, Self, TypeVar

import torch

from eibench.errors import UserError
from eibench.execution.loaded import Datasets
from eibench.execution.memory import keep_freed_memory
from eibench.execution.single import EpochListener, execute, failure
from eibench.plan.plugins import Loaded, load_plugin
from eibench.plan.spec import RunSpec
from eibench.plan.suite import PlannedRun
from eibench.results.store import ERROR, RunFolder

Item = TypeVar("Item")
Result = TypeVar("Result")

KILLED = -9
"""Exit code of a process that the system ended without asking."""


class Stop(BaseException):
    """Raised where an epoch is heard of: the run ends there, and can go on later."""


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
        self, run: PlannedRun, suite: str, folder: RunFolder, on_epoch: EpochListener
    ) -> dict[str, Any]:
        """Train or probe `run`; see `eibench.execution.single.execute`.

        Raises:
            Stop: `on_epoch` raised it.
        """
        if not self.processes:
            return execute(run, suite, folder, self.datasets.get(run.spec), on_epoch)
        process = self.idle.get()
        try:
            return process.execute(run, suite, folder, on_epoch)
        finally:
            self.idle.put(process)


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
        self, run: PlannedRun, suite: str, folder: RunFolder, on_epoch: EpochListener
    ) -> dict[str, Any]:
        self._start()
        job = (run.spec.to_dict(), run.ablation, run.called, suite, str(folder.path))
        try:
            self.pipe.send(job)
            while True:
                kind, content = self.pipe.recv()
                if kind == "record":
                    return dict(content)
                if kind == "stopped":
                    raise Stop
                self.pipe.send(_goes_on(on_epoch, content))
        except (EOFError, OSError):
            if self.ended:  # by us, after an interrupt
                raise KeyboardInterrupt from None
            return self._died(run, suite, folder)

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

    def _died(self, run: PlannedRun, suite: str, folder: RunFolder) -> dict[str, Any]:
        """The record of the run under which the process died; the next run gets a new one."""
        self.process.join()
        code = self.process.exitcode
        self.process = None
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        hint = "; the system ends what needs too much memory so" if code == KILLED else ""
        return failure(run, suite, folder, ERROR, f"the process that ran it died ({cause}){hint}")

    def end(self) -> None:
        with self.starting:
            self.ended = True
            process = self.process
        if process is not None:
            process.terminate()
            process.join()


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
    for entry in plugins:
        load_plugin(entry)
    datasets = Datasets(torch.device(device))
    while True:
        values, ablation, called, suite, folder = pipe.recv()
        spec = RunSpec.parse(values)
        run = PlannedRun(spec.run_id, spec, ablation, called)

        def on_epoch(record: dict[str, Any]) -> None:
            pipe.send(("epoch", record))
            if not pipe.recv():
                raise Stop

        files = RunFolder(Path(folder))
        try:
            record = execute(run, suite, files, datasets.get(spec), on_epoch)
        except Stop:
            pipe.send(("stopped", None))
        except UserError as error:
            pipe.send(("record", failure(run, suite, files, ERROR, str(error))))
        else:
            pipe.send(("record", record))
