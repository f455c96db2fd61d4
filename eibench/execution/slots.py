"""Slots: places that compute runs, one run each at a time.

A `Slot` is a place: this process, a worker process (`workers`), an actor on a Ray cluster
(`ray_slot`). `Slots` is all that suites and searches know of them. It gives each run to an idle
slot. A run whose slot is lost goes to another one, and resumes there from its last checkpoint.
"""

from __future__ import annotations

import dataclasses
import logging
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Self, TypeVar

from eibench.errors import ControlFlow
from eibench.execution.dataset_cache import DatasetCache
from eibench.execution.environment import SuiteSource
from eibench.execution.run_one import EpochListener, execute, failure
from eibench.plan.suite import PlannedRun
from eibench.results.store import ERROR, RunFolder
from eibench.training.denormals import start_threads
from eibench.training.steps import StepListener, ignore_steps

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")
REQUEUES = 2
"""Number of times that a run is tried again after the loss of its slot."""
WAKE = 0.5
"""Seconds that one wait for runs takes: an interrupt that comes just before it is heard after."""
PATIENCE = 60.0
"""Seconds without any slot after which the user is told."""


class Stop(ControlFlow):
    """Raised by an epoch's listener: the run ends there, and can go on later."""


class SlotLost(Exception):
    """Loss of the place that computed a run; the run has no record."""

    def __init__(self, cause: str, again: bool = True) -> None:
        super().__init__(cause)
        self.again = again
        """False where another attempt would probably end likewise."""


class Slot(ABC):
    """A place that computes one run at a time."""

    name: str
    """Its name in records."""
    ready = True
    """False while `start` has to be called first."""

    def start(self) -> None:  # noqa: B027 (most are ready at once)
        """Wait until the slot can compute; called in a thread of its own.

        Raises:
            UserError: no slot of its kind will ever compute.
            KeyboardInterrupt: it was ended.
        """

    @abstractmethod
    def execute(
        self,
        run: PlannedRun,
        suite: SuiteSource,
        folder: RunFolder,
        on_epoch: EpochListener,
        on_step: StepListener = ignore_steps,
    ) -> dict[str, Any]:
        """Train or probe `run`; see `Slots.execute`.

        Raises:
            SlotLost: the place is gone; the next call gets a new one.
            KeyboardInterrupt: it was ended.
        """

    @abstractmethod
    def end(self) -> None:
        """End a run under way at once; it keeps its last epoch."""


class ThisProcess(Slot):
    """The process itself: runs are computed where they are asked for."""

    name = "process"

    def __init__(self, datasets: DatasetCache) -> None:
        self.datasets = datasets
        start_threads()

    def execute(
        self,
        run: PlannedRun,
        suite: SuiteSource,
        folder: RunFolder,
        on_epoch: EpochListener,
        on_step: StepListener = ignore_steps,
    ) -> dict[str, Any]:
        """Train or probe `run`; see `Slot.execute`."""
        return execute(run, suite, folder, self.datasets, on_epoch, on_step)

    def end(self) -> None:
        """Do nothing: the process goes on."""


class Slots:
    """The slots of a command; a context manager that ends them."""

    def __init__(self, slots: Sequence[Slot], clean_up: Callable[[], object] | None = None) -> None:
        """Take `slots`, and what is done once they have ended."""
        self.slots, self.count, self.clean_up = slots, len(slots), clean_up
        self.waited = False
        self.idle: queue.SimpleQueue[Slot | BaseException] = queue.SimpleQueue()
        """Slots that are ready, or why none will be."""
        self.threads: ThreadPoolExecutor | None = None
        """Threads of `each`, which wait for runs."""
        for slot in slots:
            self._offer(slot)

    def execute(
        self,
        run: PlannedRun,
        suite: SuiteSource,
        folder: RunFolder,
        on_epoch: EpochListener,
        on_step: StepListener = ignore_steps,
    ) -> dict[str, Any]:
        """Train or probe `run` on an idle slot and return its record, which is in `folder`.

        The listeners hear of epochs and of steps in the calling thread; see `run_one.execute`. The
        loss of a slot is a record with a reason, if it is that of the last attempt.

        Raises:
            Stop: `on_epoch` raised it; other exceptions of the listeners pass too.
            OSError: the record cannot be written.
        """
        lost = 0
        while True:
            slot = self._take()
            placed = _placed(suite, slot, lost)
            try:
                return slot.execute(run, placed, folder, on_epoch, on_step)
            except SlotLost as error:
                lost += 1
                if not error.again or lost > REQUEUES:
                    tried = f", in each of {lost} attempts" * (lost > 1)
                    return failure(run, placed, folder, ERROR, f"{error}{tried}")
                log.warning(f"{run.run_id}: {error}; it is tried again")
            finally:
                self._offer(slot)

    def _take(self) -> Slot:
        """Return the next idle slot; raise the reason why there will be none."""
        try:
            found = self.idle.get(timeout=None if self.waited else PATIENCE)
        except queue.Empty:
            if not self.waited:
                self.waited = True
                log.warning("runs wait until the cluster has room for them")
            found = self.idle.get()
        if isinstance(found, BaseException):
            self.idle.put(found)  # other threads wait too
            raise found
        return found

    def _offer(self, slot: Slot) -> None:
        """Let runs have `slot` as soon as it is ready."""
        if slot.ready:
            self.idle.put(slot)
        else:
            threading.Thread(target=self._start, args=(slot,), daemon=True).start()

    def _start(self, slot: Slot) -> None:
        try:
            slot.start()
        except BaseException as error:
            self.idle.put(error)
        else:
            self.idle.put(slot)

    def each(
        self, work: Callable[[Item], Result], following: Callable[[], Item | None]
    ) -> Iterator[tuple[Item, Result]]:
        """Yield every item with the result of `work`, which calls `execute`, as it is done.

        `following` gives the next item, or None when there is none now. It is asked again whenever
        an item is done. With one slot `work` is called in this thread.
        """
        if self.count == 1:
            while (item := following()) is not None:
                yield item, work(item)
            return
        self.threads = ThreadPoolExecutor(self.count)
        pending: dict[Future[Result], Item] = {}
        while True:
            while len(pending) < self.count and (item := following()) is not None:
                pending[self.threads.submit(work, item)] = item
            if not pending:
                return
            done: set[Future[Result]] = set()
            while not done:
                done, _ = wait(pending, WAKE, FIRST_COMPLETED)
            for future in done:
                yield pending.pop(future), future.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for slot in self.slots:
            slot.end()
        self.idle.put(KeyboardInterrupt())  # for threads that wait for a slot
        if self.threads is not None:
            self.threads.shutdown(cancel_futures=True)
        if self.clean_up is not None:
            self.clean_up()


def _placed(suite: SuiteSource, slot: Slot, lost: int) -> SuiteSource:
    """Return `suite` with what records say of the place and of earlier attempts."""
    requeued = {"requeued": lost} if lost else {}
    return dataclasses.replace(suite, state={**suite.state, "slot": slot.name, **requeued})
