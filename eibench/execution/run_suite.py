"""The runs of a plan, one after another or several at a time."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from eibench.errors import UserError
from eibench.execution.data_paths import local_data
from eibench.execution.dataset_cache import DatasetCache, check_buildable
from eibench.execution.device import keep_freed_memory
from eibench.execution.engine import Engine
from eibench.execution.environment import SuiteSource, suite_source
from eibench.execution.lock import locked
from eibench.execution.slots import Slots
from eibench.plan.suite import Plan, PlannedRun
from eibench.results.paths import member
from eibench.results.plan_file import write_plan
from eibench.results.store import OK, RunFolder
from eibench.training.steps import StepReport

__all__ = ["StepReport", "SuiteListener", "run_plan"]


class SuiteListener(Protocol):
    """A receiver of the progress of runs; the command line shows it.

    With several runs at a time, `started`, `step` and `epoch` come from several threads.
    """

    def preparing(self, text: str) -> None:
        """Note what is done before the first run."""

    def skipped(self, run: PlannedRun, record: dict[str, Any]) -> None:
        """Note that `run` had already finished."""

    def started(self, run: PlannedRun) -> None:
        """Note that `run` begins, or goes on."""

    def step(self, run: PlannedRun, report: StepReport) -> None:
        """Note how far `run` is within an epoch."""

    def epoch(self, run: PlannedRun, record: dict[str, Any]) -> None:
        """Note that an epoch of `run` is done."""

    def finished(self, run: PlannedRun, record: dict[str, Any]) -> None:
        """Note that `run` has its record."""


def run_plan(
    plan: Plan,
    runs: Iterable[PlannedRun],
    root: Path,
    engine: Engine,
    listener: SuiteListener,
    fail_fast: bool = False,
) -> list[str]:
    """Execute `runs` of `plan` under `root` on the slots of `engine`; return the status of each.

    Finished runs are skipped, interrupted ones go on, failed ones other than diverged are tried
    again. With `fail_fast` no run begins after the first failure.

    Raises:
        UserError: before anything is written, when data or a network is unusable, or when another
            process works on the same results.
    """
    keep_freed_memory()
    runs = list(runs)
    datasets = DatasetCache(engine.device, plan.folder)
    check_buildable(runs, datasets, listener.preparing)
    folder = member(root, plan.name)
    with locked(folder), engine.open(datasets, plan.plugins, folder) as slots:
        write_plan(folder, plan)
        data = local_data((run.spec for run in runs), plan.folder)
        suite = suite_source(plan.name, [*plan.files, *data])
        statuses = _run_all(suite, runs, folder, slots, listener, fail_fast)
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
    slots: Slots,
    listener: SuiteListener,
    fail_fast: bool,
) -> list[str]:
    """Return the statuses of `runs`, in the order in which they ended."""
    statuses: list[str] = []
    left = iter(runs)

    def following() -> PlannedRun | None:
        """Return the next run that is due; those before it that have ended are passed over."""
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
        return slots.execute(
            run, suite, files, partial(listener.epoch, run), partial(listener.step, run)
        )

    for run, record in slots.each(work, following):
        listener.finished(run, record)
        statuses.append(record["status"])
        if fail_fast and record["status"] != OK:
            left = iter(())
    return statuses
