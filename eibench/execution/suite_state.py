"""The state of a suite's runs, whoever computes them: read from the results folder alone."""

from __future__ import annotations

import os
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from eibench.errors import UserError, error_line
from eibench.execution.holder import Holder
from eibench.execution.lock_file import LockFile, lock_files
from eibench.execution.remaining import RemainingWork
from eibench.results.paths import PLAN
from eibench.results.store import FINAL, OK, RECORD, RunFolder, kind_of, read_plan

State = Literal["done", "failed", "running", "lost", "to do"]
STATES: tuple[State, ...] = ("done", "failed", "running", "lost", "to do")
NO_PART = ("seed", "ablation", "train.lr", "train.epochs")
"""Fields on which the duration of an epoch does not depend."""


@dataclass(frozen=True)
class RunState:
    """The state of a run."""

    run_id: str
    state: State
    kind: Hashable
    """Runs of one kind take the same time for each epoch."""
    epochs: int
    """Epochs of the whole run; a probe counts as one."""
    epoch: int = 0
    """Epochs that are done."""
    reason: str | None = None
    """Why it failed."""
    seconds: float | None = None
    """Duration of a run that is done."""
    holder: Holder | None = None
    """Who computes it, or did until it was lost."""


@dataclass(frozen=True)
class SuiteState:
    """The states of the runs of a suite, or of the trials of a search that have begun."""

    folder: Path
    suite: str
    kind: str
    runs: tuple[RunState, ...]

    def count(self) -> Counter[str]:
        """Return the number of runs in each state."""
        return Counter(run.state for run in self.runs)

    def of(self, state: State) -> list[RunState]:
        """Return the runs in a state."""
        return [run for run in self.runs if run.state == state]

    def seconds_left(self) -> float | None:
        """Return the expected time of what is left, with as many runs at a time as now; None where
        no run of the suite has ended."""
        left: dict[Hashable, float] = defaultdict(float)
        costs: dict[Hashable, list[float]] = defaultdict(list)
        for run in self.runs:
            if run.state not in ("done", "failed"):
                left[run.kind] += run.epochs - run.epoch
            if run.seconds is not None:
                costs[run.kind].append(run.seconds / run.epochs)
        if not costs:
            return None if left else 0.0
        usual = statistics.fmean(statistics.median(values) for values in costs.values())
        known = {kind: statistics.median(costs[kind]) if kind in costs else usual for kind in left}
        return RemainingWork(left, known).seconds(max(1, self.count()["running"])) or 0.0


class StateReader:
    """A reader of states that reads again only what has changed since."""

    def __init__(self) -> None:
        self.known: dict[Path, tuple[tuple[int, int], Any]] = {}
        """For each file its time stamp and size, and what it said."""

    def read(self, folder: Path) -> SuiteState:
        """Return the state of the suite with results in `folder`.

        Raises:
            UserError: there is no plan, or it is damaged.
        """
        plan = self._cached(folder / PLAN, lambda: read_plan(folder))
        locks, now = lock_files(folder), time.time()
        stopped = {
            run_id: trial
            for study in plan.get("studies", [])
            for trial in study["trials"]
            if trial["state"] in ("pruned", "failed")
            for run_id in trial["runs"]
        }
        fields = {run["run_id"]: run["fields"] for run in plan["runs"]}
        others = [name for name in locks if name not in fields and (folder / name).is_dir()]
        runs = [
            self._run(RunFolder(folder / run_id), fields.get(run_id, {}), locks.get(run_id), now)
            for run_id in [*fields, *others]
        ]
        runs = [
            _stopped(run, stopped[run.run_id]) if run.run_id in stopped else run for run in runs
        ]
        return SuiteState(folder, plan["suite"], kind_of(plan), tuple(runs))

    def _cached(self, path: Path, reading: Any) -> Any:
        """Return what `reading` returns, or did when the file `path` was the same."""
        try:
            found = os.lstat(path)
        except OSError:
            return reading()
        stamp = found.st_mtime_ns, found.st_size
        if path not in self.known or self.known[path][0] != stamp:
            self.known[path] = stamp, reading()
        return self.known[path][1]

    def _run(
        self, files: RunFolder, fields: Mapping[str, Any], lock: LockFile | None, now: float
    ) -> RunState:
        epochs = fields.get("train.epochs")
        known: dict[str, Any] = {
            "run_id": files.run_id,
            "kind": _kind(fields),
            "epochs": max(epochs, 1) if isinstance(epochs, int) else 1,
        }
        try:
            ended = self._cached(files.path / RECORD, lambda: _ended(files))
            if lock and (ended is None or ended["status"] not in FINAL):
                state: State = "lost" if lock.is_stale(now) else "running"
                return RunState(state=state, epoch=len(files.epochs()), holder=lock.holder, **known)
            if ended is None:
                return RunState(state="to do", epoch=len(files.epochs()), **known)
        except UserError as error:
            return RunState(state="failed", reason=error_line(error), **known)
        if ended["status"] == OK:
            return RunState(state="done", seconds=ended["seconds"], **known)
        reason = ": ".join(filter(None, [ended["status"], ended["reason"]]))
        return RunState(state="failed", reason=reason, **known)


def _stopped(run: RunState, trial: Mapping[str, Any]) -> RunState:
    """Return the state of a run of a trial that ended early: one without a record has none due."""
    if run.state != "to do":
        return run
    if trial["state"] == "pruned":
        return replace(run, state="done")
    return replace(run, state="failed", reason=trial["reason"])


def _ended(files: RunFolder) -> dict[str, Any] | None:
    """Return what matters of a record; None while there is none."""
    record = files.record()
    if record is None:
        return None
    return {
        "status": record["status"],
        "reason": record["reason"],
        "seconds": record["cost"].get("seconds"),
    }


def _kind(fields: Mapping[str, Any]) -> Hashable:
    return tuple((key, repr(value)) for key, value in fields.items() if key not in NO_PART)


def all_ended(suites: Iterable[SuiteState]) -> bool:
    """Return whether nothing runs, and nothing is left to run."""
    return all(run.state in ("done", "failed") for suite in suites for run in suite.runs)
