"""The runs of a plan, one after another or several at a time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import torch

from eibench.errors import UserError
from eibench.execution.dataset_cache import Datasets, check_buildable, local_data
from eibench.execution.environment import SuiteSource, suite_source
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
        suite = suite_source(plan.name, [*plan.files, *local_data(run.spec for run in runs)])
        statuses = _run_all(suite, runs, folder, workers, listener, fail_fast)
        if len(statuses) == len(runs):
            _check_kept(folder, plan, runs)
        return statuses


def _check_kept(folder: Path, plan: Plan, runs: list[PlannedRun]) -> None:
    """Raise `UserError` when records of `runs` are gone, since the folder was deleted meanwhile."""
    if not (folder / "plan.json").exists():
        write_plan(folder, plan)
    gone = [run for run in runs if RunFolder(folder / run.run_id).record() is None]
    if gone:
        raise UserError(
            f"{folder}: {len(gone)} of the records were deleted while the suite ran; the same"
            " command runs what is missing"
        )


def _run_all(
    suite: SuiteSource,
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
