"""The sweeps of a suite: kept weights of its runs under every condition, as rows of results.

Each sweep has a results folder beside the suite's. Its plan holds a row for every planned run and
condition, so that missing ones show. A row of a run that failed has the same status and reason.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from eibench.errors import UserError, describe_error, reraise_interrupt
from eibench.execution.dataset_cache import DatasetCache
from eibench.execution.evaluate_network import (
    RecordWriter,
    TrainedNetwork,
    check_own,
    row_id,
    rows_plan,
)
from eibench.execution.lock import shared
from eibench.execution.run_one import is_out_of_memory
from eibench.plan.conditions import FROM, Conditions, fields_of
from eibench.plan.suite import Plan, PlannedRun
from eibench.plan.sweeps import Sweep
from eibench.results.paths import PLAN, member
from eibench.results.store import (
    ERROR,
    FINAL,
    OK,
    OUT_OF_MEMORY,
    RunFolder,
    read_plan,
    to_json,
    write_atomic,
)

KEPT = ("control", "margin", "labels", "tuned_by", "same")
"""Parts of a suite's plan that hold for its sweeps as well."""


def evaluate_sweeps(
    plan: Plan,
    runs: Iterable[PlannedRun],
    root: Path,
    device: torch.device,
    tell: Callable[[str], None] = lambda text: None,
) -> list[tuple[Path, int]]:
    """Evaluate the finished `runs` of `plan` under its sweeps; return the folder of each sweep, and
    the number of rows among those of `runs` that are not ok.

    Rows whose weights have not changed are not computed again. `tell` hears what is being done.

    Raises:
        UserError: results are damaged, or cannot be written.
    """
    runs = list(runs)
    datasets = DatasetCache(device, plan.folder)
    suite = member(root, plan.name)
    done = []
    for sweep in plan.sweeps:
        folder = member(root, sweep.folder(plan.name))
        with shared(folder) as locks:
            check_own(folder)
            with locks.holding("plan"):
                _write_plan(folder, read_plan(suite), sweep)
            rows = _SweepRows(suite, RecordWriter(folder, device), sweep, datasets)
            failed = 0
            for i, run in enumerate(runs, start=1):
                tell(f"{folder.name}: evaluating {run.title} ({i} of {len(runs)})")
                with locks.holding(run.run_id, patience=math.inf):
                    failed += rows.write(run)
            done.append((folder, failed))
    return done


def _write_plan(folder: Path, plan: Mapping[str, Any], sweep: Sweep) -> None:
    """Write the plan of a sweep over the runs in the plan of its suite."""
    rows = {
        row_id(run["run_id"], run["run_id"], conditions): _fields(
            run["fields"], conditions, run["run_id"]
        )
        for run in plan["runs"]
        for conditions in sweep.conditions
    }
    title = f"{plan['title']}: {sweep.name.replace('_', ' ')}"
    content = rows_plan(folder.name, title, [*plan["axes"], *sweep.fields], rows)
    kept = {key: plan[key] for key in KEPT if key in plan}
    write_atomic(member(folder, PLAN), to_json({**content, **kept}))


def _fields(trained: Mapping[str, Any], conditions: Conditions, run_id: str) -> dict[str, Any]:
    return {**trained, **fields_of(conditions), f"{FROM}.run": run_id}


class _SweepRows:
    """Rows of one sweep, written run by run."""

    def __init__(
        self, suite: Path, writer: RecordWriter, sweep: Sweep, datasets: DatasetCache
    ) -> None:
        self.suite, self.writer, self.sweep = suite, writer, sweep
        self.datasets = datasets

    def write(self, run: PlannedRun) -> int:
        """Write the rows of `run` that are missing; return how many are not ok.

        A run that has not ended gets none.
        """
        record = RunFolder(member(self.suite, run.run_id)).record()
        if record is None:
            return len(self.sweep.conditions)
        if record["status"] != OK:
            failure = {key: record[key] for key in ("status", "reason")}
            return self._write_all(run, None, {**failure, "result": {}})
        try:
            trained = TrainedNetwork.load(member(self.suite, run.run_id), self.datasets.device)
        except UserError as error:
            text = f"{error}; delete the run's folder to have it trained again"
            return self._write_all(run, None, {"status": ERROR, "reason": text, "result": {}})
        return self._write_all(run, trained, {})

    def _write_all(
        self, run: PlannedRun, trained: TrainedNetwork | None, failure: Mapping[str, Any]
    ) -> int:
        """Write the row of every condition, with the same `failure` if there is no network.

        Return how many failed.
        """
        failed = 0
        for conditions in self.sweep.conditions:
            start = time.perf_counter()
            run_id = row_id(run.run_id, run.run_id, conditions)
            fields = _fields(run.fields(), conditions, run.run_id)
            if trained:
                fields[f"{FROM}.sha256"] = trained.digest
            record = self._known(run_id, fields) if trained else None
            if record is None:
                outcome = self._outcome(trained, conditions) if trained else failure
                spec = trained.under(None, conditions) if trained else run.spec
                record = self.writer.write(run_id, fields, spec, outcome, start)
            failed += record["status"] != OK
        return failed

    def _known(self, run_id: str, fields: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the record of a row that another evaluation would only repeat."""
        record = RunFolder(member(self.writer.folder, run_id)).record()
        same = record is not None and record["fields"] == fields and record["status"] in FINAL
        return record if same else None

    def _outcome(self, trained: TrainedNetwork, conditions: Conditions) -> dict[str, Any]:
        """Return status, reason and result under `conditions`."""
        try:
            spec = trained.under(None, conditions)
            result = trained.result(spec, conditions, self.datasets)
            return {"status": OK, "reason": None, "result": result}
        except BaseException as error:
            reraise_interrupt(error)
            status = OUT_OF_MEMORY if is_out_of_memory(error) else ERROR
            return {"status": status, "reason": describe_error(error), "result": {}}
