"""The runs of a plan, one after another or several at a time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import torch

from eibench.execution.loaded import Datasets, check_buildable
from eibench.execution.lock import locked
from eibench.execution.memory import keep_freed_memory
from eibench.execution.workers import Workers
from eibench.plan.suite import Plan, PlannedRun
from eibench.results.paths import member
from eibench.results.plan_file import write_plan
from eibench.results.store import OK, RunFolder


class Listener(Protocol):
    """Who is told how the work goes; the command line shows it.

    With several runs at a time, `started` and `epoch` come from several threads.
    """

    def skipped(self, run: PlannedRun, record: dict[str, Any]) -> None:
        """`run` had already finished."""

    def started(self, run: PlannedRun) -> None:
        """`run` begins, or goes on."""

    def epoch(self, run: PlannedRun, record: dict[str, Any]) -> None:
        """An epoch of `run` is done."""

    def finished(self, run: PlannedRun, record: dict[str, Any]) -> None:
        """`run` has its record."""


def run_plan(
    plan: Plan,
    runs: Iterable[PlannedRun],
    root: Path,
    device: torch.device,
    listener: Listener,
    fail_fast: bool = False,
    jobs: int = 1,
) -> list[str]:
    """Execute `runs` of `plan` under `root`, `jobs` at a time; a status for each run looked at.

    Finished runs are skipped, interrupted ones go on, failed ones other than diverged are tried
    again. With `fail_fast` no run begins after the first failure.

    Raises:
        UserError: before anything is written, when data or a network is unusable, or when another
            process works on the same results.
    """
    keep_freed_memory()
    runs = list(runs)
    datasets = Datasets(device)
    check_buildable(runs, datasets)
    folder = member(root, plan.name)
    with locked(folder), Workers(jobs, datasets, plan.plugins) as workers:
        write_plan(folder, plan)
        return _run_all(plan.name, runs, folder, workers, listener, fail_fast)


def _run_all(
    suite: str,
    runs: list[PlannedRun],
    folder: Path,
    workers: Workers,
    listener: Listener,
    fail_fast: bool,
) -> list[str]:
    """The statuses of `runs`, in the order in which they ended."""
    statuses: list[str] = []
    left = iter(runs)

    def following() -> PlannedRun | None:
        """The next run that is due; those before it that have ended are passed over."""
        for run in left:
            earlier = RunFolder(folder / run.run_id).final_record()
            if earlier is None:
                return run
            listener.skipped(run, earlier)
            statuses.append(earlier["status"])
        return None

    def work(run: PlannedRun) -> dict[str, Any]:
        listener.started(run)
        files = RunFolder(folder / run.run_id)
        return workers.execute(run, suite, files, lambda epoch: listener.epoch(run, epoch))

    for run, record in workers.each(work, following):
        listener.finished(run, record)
        statuses.append(record["status"])
        if fail_fast and record["status"] != OK:
            left = iter(())
    return statuses
