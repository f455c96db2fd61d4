"""Worker processes: several runs at a time on this machine.

Each process has its share of the CPU's threads, or a GPU, and its own copy of the data. Command and
worker talk over a pipe; see `conversation`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from eibench.execution.conversation import converse
from eibench.execution.device import VISIBLE
from eibench.execution.environment import SuiteSource
from eibench.execution.run_one import EpochListener
from eibench.execution.slots import Slot, SlotLost, Stop
from eibench.execution.worker import Settings, serve
from eibench.plan.suite import PlannedRun
from eibench.results.store import RunFolder
from eibench.training.steps import StepListener, ignore_steps

KILLED = -9
"""Exit code of a process that the system ended without asking."""
CHECK = 1.0
"""Seconds between two looks at whether a process that says nothing is still there."""
GRACE = 5.0
"""Seconds that a process has to end in before it is killed."""


class _Died(Exception):
    """The process at the other end of a pipe is gone, or no longer listens."""


class WorkerProcess(Slot):
    """A process that executes the runs it is sent; it starts with the first of them."""

    starting = threading.Lock()
    """Held while a process starts, one at a time: a half-started one cannot be ended, and two must
    not inherit each other's pipes."""

    def __init__(self, settings: Settings, name: str = "worker", gpu: str | None = None) -> None:
        self.settings, self.name, self.gpu = settings, name, gpu
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
        """Return the record of `run`, executed by the process; see `Slot.execute`."""
        self._start_process()
        try:
            return converse(self, run, suite, folder, on_epoch, on_step)
        except _Died:
            if self.ended:  # by us, after an interrupt
                raise KeyboardInterrupt from None
            raise self._lost() from None
        except Stop:
            raise
        except BaseException:  # of the listener; the process waits for an answer
            self._finish()
            raise

    def send(self, message: object) -> None:
        """Send a message to the process."""
        try:
            self.pipe.send(message)
        except OSError:
            raise _Died from None

    def receive(self) -> Any:
        """Return the next message of the process.

        The pipe's end is not waited for: children of the process may outlive it and hold it open.
        """
        process = self.process
        try:
            while not self.pipe.poll(CHECK):
                if not (process and process.is_alive()) and not self.pipe.poll():
                    raise EOFError
            return self.pipe.recv()
        except (EOFError, OSError):
            raise _Died from None

    def _start_process(self) -> None:
        """Start the process unless it runs; raise `KeyboardInterrupt` once it was ended."""
        with self.starting:
            if self.ended:
                raise KeyboardInterrupt
            if self.process is not None:
                return
            context = multiprocessing.get_context("spawn")  # threads and CUDA do not survive a fork
            self.pipe, other = context.Pipe()
            process = context.Process(target=serve, args=(other, self.settings), daemon=False)
            with _seeing(self.gpu), _interrupts_blocked():
                process.start()
            other.close()
            self.process = process

    def _lost(self) -> SlotLost:
        """Return how the process died, in words; the next run gets a new one."""
        process = self.process
        if process is None:  # ended by us in this moment
            raise KeyboardInterrupt
        process.join(GRACE)
        alive = process.is_alive()
        self._finish()
        code = process.exitcode
        died = "the process that ran it died"
        if alive or code is None:
            return SlotLost(f"{died} (it no longer answered)")
        if code == KILLED:
            hint = "the system ends what needs too much memory so"
            return SlotLost(f"{died} (signal {-code}); {hint}", again=False)
        return SlotLost(f"{died} ({f'signal {-code}' if code < 0 else f'exit code {code}'})")

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


@contextlib.contextmanager
def _seeing(gpu: str | None) -> Iterator[None]:
    """Let a process that is started here see one GPU alone; None: all.

    The variable counts when CUDA is first used, which this process has done.
    """
    if gpu is None:
        yield
        return
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = gpu
    try:
        yield
    finally:
        if before is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = before


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT for this thread, and for good in processes that it starts here.

    While such a process imports torch, an interrupt would end it with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # not a POSIX system
        yield
        return
    resource_tracker.ensure_running()  # starting it unblocks SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
