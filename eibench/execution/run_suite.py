"""The runs of a plan, one after another or several at a time.

Several commands may work on one folder of results, on several machines too. Each run has a lock.
A command passes over the runs that others compute, and looks at them once more at its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from eibench.errors import UserError
from eibench.execution.data_paths import local_data
from eibench.execution.dataset_cache import DatasetCache, check_buildable
from eibench.execution.device import keep_freed_memory
from eibench.execution.engine import Engine
from eibench.execution.environment import SuiteSource, suite_source
from eibench.execution.holder import Holder
from eibench.execution.lock import Locks, shared
from eibench.execution.slots import Slots, Stop
from eibench.files import read_bytes
from eibench.plan.conditions import FROM
from eibench.plan.suite import Plan, PlannedRun
from eibench.results.archive import LARGEST
from eibench.results.paths import PLAN, member
from eibench.results.plan_file import plan_content
from eibench.results.plan_schema import PlanFile
from eibench.results.store import OK, RECORD, RunFolder, read_json, write_atomic
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

    def elsewhere(self, holders: Sequence[Holder]) -> None:
        """Note at the end who computes the other runs."""


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
    again. With `fail_fast` no run begins after the first failure. Runs that another command
    computes have no status.

    Raises:
        UserError: before anything is written, when data or a network is unusable, or when the
            results cannot be written.
    """
    keep_freed_memory()
    runs = list(runs)
    datasets = DatasetCache(engine.device, plan.folder)
    check_buildable(runs, datasets, listener.preparing)
    folder = member(root, plan.name)
    _check_own(folder)
    with shared(folder) as locks, engine.open(datasets, plan.plugins, folder) as slots:
        written = _write_plan(folder, plan, locks)
        data = local_data((run.spec for run in runs), plan.folder)
        suite = suite_source(plan.name, [*plan.files, *data])
        work = _SuiteWork(suite, folder, locks, slots, listener)
        try:
            statuses = work.run(runs, fail_fast)
        finally:
            if written != _content(folder):  # another command has written its own, with fewer runs
                _write_plan(folder, plan, locks)
        if len(statuses) == len(runs):
            _check_kept(folder, runs)
        return statuses


def _check_own(folder: Path) -> None:
    """Raise `UserError` where `folder` holds evaluations, which a sweep of another suite wrote."""
    try:
        known = read_json(member(folder, PLAN), PlanFile) or {"runs": []}
    except UserError:  # damaged, so it is written anew
        return
    if any(f"{FROM}.run" in run["fields"] for run in known["runs"]):
        raise UserError(
            f"{folder}: holds evaluations of trained networks, so no runs go there; give the suite"
            " another name, or name another folder by --results"
        )


def _content(folder: Path) -> bytes | None:
    """Return the content of the plan's file; None where it cannot be read."""
    try:
        return read_bytes(folder / PLAN, LARGEST, follow_links=False)
    except (OSError, UserError):
        return None


def _write_plan(folder: Path, plan: Plan, locks: Locks) -> bytes:
    """Write `plan` beside those of earlier commands, unless the file says the same; return it."""
    earlier = _content(folder)
    content = plan_content(folder, plan)
    if content != earlier:
        with locks.holding("plan"):
            if earlier != _content(folder):  # by another command
                content = plan_content(folder, plan)
            write_atomic(member(folder, PLAN), content)
    return content


def _check_kept(folder: Path, runs: list[PlannedRun]) -> None:
    """Raise `UserError` when records of `runs` are gone, since the folder was deleted meanwhile."""
    gone = [run for run in runs if not (folder / run.run_id / RECORD).exists()]
    if gone:
        raise UserError(
            f"{folder}: {len(gone)} of the records were deleted while the suite ran; the same"
            " command runs what is missing"
        )


class _SuiteWork:
    """The loop that gives runs to slots, as far as other commands leave them."""

    def __init__(
        self,
        suite: SuiteSource,
        folder: Path,
        locks: Locks,
        slots: Slots,
        listener: SuiteListener,
    ) -> None:
        self.suite, self.folder, self.locks = suite, folder, locks
        self.slots, self.listener = slots, listener
        self.statuses: list[str] = []
        self.left: deque[PlannedRun] = deque()
        self.elsewhere: dict[str, tuple[PlannedRun, Holder]] = {}
        """Runs that other commands compute."""

    def run(self, runs: list[PlannedRun], fail_fast: bool) -> list[str]:
        """Return the statuses of `runs`, in the order in which they ended."""
        self.left.extend(runs)
        for run, record in self.slots.each(self._work, self._following):
            if record is None:
                continue
            self.listener.finished(run, record)
            self.statuses.append(record["status"])
            if fail_fast and record["status"] != OK:
                self.left.clear()
                self.elsewhere.clear()
        if self.elsewhere:
            self.listener.elsewhere([holder for _, holder in self.elsewhere.values()])
        return self.statuses

    def _following(self) -> PlannedRun | None:
        """Return the next run that is due, locked; those before it that have ended are noted."""
        while self.left:
            if self._take(run := self.left.popleft()):
                return run
        for run, _ in list(self.elsewhere.values()):
            if self._take(run):
                return run
        return None

    def _take(self, run: PlannedRun) -> bool:
        """Lock `run` if it is due; return whether it is."""
        if self._has_ended(run):
            return False
        if (holder := self.locks.take(run.run_id)) is not None:
            self.elsewhere[run.run_id] = run, holder
            return False
        if self._has_ended(run):  # before it was locked
            self.locks.release(run.run_id)
            return False
        self.elsewhere.pop(run.run_id, None)
        return True

    def _has_ended(self, run: PlannedRun) -> bool:
        """Note the record of `run` if another attempt is not due; return whether that is so."""
        files = RunFolder(self.folder / run.run_id)
        record = files.final_record() or self._failed_elsewhere(files)
        if record is None:
            return False
        self.elsewhere.pop(run.run_id, None)
        self.listener.skipped(run, record)
        self.statuses.append(record["status"])
        return True

    def _failed_elsewhere(self, files: RunFolder) -> dict[str, Any] | None:
        """Return the record of an attempt that another command has made since this one began."""
        try:
            written = files.file(RECORD).stat().st_mtime
        except OSError:
            return None
        return files.record() if written > self.locks.began else None

    def _work(self, run: PlannedRun) -> dict[str, Any] | None:
        """Return the record of `run`; None if another command has taken it over."""

        def on_epoch(record: dict[str, Any]) -> None:
            self.listener.epoch(run, record)
            if self.locks.is_lost(run.run_id):
                raise Stop

        self.listener.started(run)
        files = RunFolder(self.folder / run.run_id)
        on_step = partial(self.listener.step, run)
        try:
            return self.slots.execute(run, self.suite, files, on_epoch, on_step)
        except Stop:
            if (holder := self.locks.holder(run.run_id)) is not None:
                self.elsewhere[run.run_id] = run, holder
            return None
        finally:
            self.locks.release(run.run_id)
