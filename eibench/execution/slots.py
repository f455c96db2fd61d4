"""Slots: places that compute runs, one run each at a time.

`Slots` is all that suites and searches know of where a run is computed. `ThisProcess` is one slot;
`workers.WorkerProcesses` are several. Another kind of place (a machine, a queue) implements the
same three things: `count`, `execute` and `close`. `execute` blocks until the run has its record; at
most `count` threads call it at a time. The death of a place is a record with a reason, not an
exception.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Self, TypeVar

from eibench.errors import ControlFlow
from eibench.execution.dataset_cache import DatasetCache
from eibench.execution.environment import SuiteSource
from eibench.execution.run_one import EpochListener, execute
from eibench.plan.suite import PlannedRun
from eibench.results.store import RunFolder
from eibench.training.steps import StepListener, ignore_steps

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stop(ControlFlow):
    """Raised by an epoch's listener: the run ends there, and can go on later."""


class Slots(ABC):
    """A number of places that compute runs; a context manager that closes them."""

    count: int
    """Runs at a time."""
    threads: ThreadPoolExecutor | None = None
    """Threads of `each`, which wait for runs."""

    @abstractmethod
    def execute(
        self,
        run: PlannedRun,
        suite: SuiteSource,
        folder: RunFolder,
        on_epoch: EpochListener,
        on_step: StepListener = ignore_steps,
    ) -> dict[str, Any]:
        """Train or probe `run` on a free slot and return its record, which is in `folder`.

        The listeners hear of epochs and of steps in the calling thread; see `run_one.execute`.

        Raises:
            Stop: `on_epoch` raised it; other exceptions of the listeners pass too.
            OSError: the record cannot be written.
        """

    @abstractmethod
    def close(self) -> None:
        """End runs under way at once; they keep their last epoch."""

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
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield pending.pop(future), future.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        if self.threads is not None:
            self.threads.shutdown(cancel_futures=True)


class ThisProcess(Slots):
    """One slot: runs are computed where they are asked for."""

    count = 1

    def __init__(self, datasets: DatasetCache) -> None:
        self.datasets = datasets

    def execute(
        self,
        run: PlannedRun,
        suite: SuiteSource,
        folder: RunFolder,
        on_epoch: EpochListener,
        on_step: StepListener = ignore_steps,
    ) -> dict[str, Any]:
        """Train or probe `run`; see `Slots.execute`."""
        return execute(run, suite, folder, self.datasets, on_epoch, on_step)

    def close(self) -> None:
        """Do nothing: the process goes on."""
