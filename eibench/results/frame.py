"""Results as a tidy table: one row per run, planned or found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from eibench.errors import UserError
from eibench.results.metrics import EPOCH_METRICS, LAYER_METRICS, METRICS_OF
from eibench.results.paths import SEARCH, suite_folders
from eibench.results.store import RunFolder, kind_of, read_plan, recorded_runs

LEADING = ("suite", "run_id", "status", "method", "model", "data", "seed")
TRIAL = ("study", "trial")
EPOCH = ("epoch", *EPOCH_METRICS, "lr", "firing_rate_by_layer")
EPOCH_COST = ("train_seconds", "evaluation_seconds", "peak_memory_mib")


def load_results(path: str | Path) -> pd.DataFrame:
    """Return the runs at or below `path` (a results folder, or one suite in it), one row each.

    Trials of searches are left out, unless there is nothing else. Those of one search are at
    `results/NAME/search`, where the columns `study` and `trial` identify the trial of a run.

    Columns: suite, run_id, status, reason, method, model, data, seed, the metrics of training runs
    (test_accuracy in percent, seconds ...) or of probes, and one column, named by its dotted path
    such as `model.depth`, for every field that differs between runs that have it. A planned run
    without a record has the status `missing` or `interrupted` and no numbers. `planned` separates
    runs of the current plan from older ones.

    Raises:
        UserError: there are no results at `path`.
    """
    rows = _rows(Path(path))
    kinds = sorted({row["kind"] for row in rows}, key=list(METRICS_OF).index)
    of_trial = TRIAL if SEARCH in kinds else ()
    numbers = dict.fromkeys(
        name for kind in METRICS_OF if kind in kinds for name in METRICS_OF[kind]
    )
    return _frame(rows, (*of_trial, *numbers))


def load_epochs(path: str | Path) -> pd.DataFrame:
    """Return the epochs of all runs at or below `path`, one row each: learning curves and cost.

    Columns: those of `load_results` that name a run, with `epoch` (from 1), `train_loss`,
    `validation_loss`, `train_accuracy` and `validation_accuracy` (in percent), `lr` at the end of
    the epoch, `firing_rate_by_layer` (a list, in forward order), `train_seconds`,
    `evaluation_seconds` and `peak_memory_mib`. A missing number is NaN. Epochs of a run that has
    not ended or has failed are there too, as `status` says. Trials of searches are as in
    `load_results`.

    Raises:
        UserError: there are no results at `path`, or none with epochs.
    """
    found = _rows(Path(path))
    names = (*EPOCH, *EPOCH_COST)
    rows = [
        {**row, **dict.fromkeys(names), **line, **line.get("cost", {})}
        for row in found
        for line in row["files"].epochs()
    ]
    if not rows:
        raise UserError(f"{path}: no epochs here; `eibench run SUITE` trains some")
    of_trial = TRIAL if any(row["kind"] == SEARCH for row in found) else ()
    return _frame(rows, (*of_trial, *names))


def load_layers(path: str | Path) -> pd.DataFrame:
    """Return the layers of all probes at or below `path`, one row each, in forward order.

    Columns: those of `load_results` that name a run, with `layer` (from 1), `name` (of the neuron
    in the network), `neurons`, and the numbers of `LAYER_METRICS`. A missing number is NaN;
    `non_finite` names those that were not finite, separated by spaces. A run without layers has no
    rows.

    Raises:
        UserError: there are no results at `path`, or none with layers.
    """
    rows = [
        {**row, **layer, "non_finite": " ".join(layer.get("non_finite", []))}
        for row in _rows(Path(path))
        for layer in row["layers"]
    ]
    if not rows:
        raise UserError(f"{path}: no layers here; `eibench probe SUITE` measures some")
    return _frame(rows, ("layer", "name", "neurons", *LAYER_METRICS, "non_finite"))


def _rows(root: Path) -> list[dict[str, Any]]:
    """Return all runs at or below `root`, each with all its numbers, its `layers` and `files`."""
    plans = {folder: read_plan(folder) for folder in suite_folders(root)}
    suites = {folder: plan for folder, plan in plans.items() if kind_of(plan) != SEARCH}
    rows = [row for folder, plan in (suites or plans).items() for row in _suite_rows(folder, plan)]
    if not rows:
        raise UserError(f"{root}: no results here; `eibench run SUITE` makes some")
    return rows


def _frame(rows: list[dict[str, Any]], metrics: tuple[str, ...]) -> pd.DataFrame:
    """Return the rows with identifying columns first, then `metrics`, then the fields that vary."""
    frame = pd.DataFrame(rows)
    values: dict[str, set[str]] = {}
    for row in rows:
        for key, value in row.items():
            if key.startswith("field:"):
                values.setdefault(key, set()).add(repr(value))
    varied = [key for key, taken in values.items() if len(taken) > 1]
    columns = [*LEADING, *metrics, "reason", "planned", *varied]
    frame = frame.reindex(columns=columns)  # records older than a number lack it
    return frame.rename(columns={key: key.removeprefix("field:") for key in varied})


def _suite_rows(folder: Path, plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of one suite: its planned runs in order, then others found in its folder."""
    planned = {run["run_id"]: run["fields"] for run in plan["runs"]}
    rows = [_row(plan, RunFolder(folder / i), f, True) for i, f in planned.items()]
    others = [run for run in recorded_runs(folder) if run.run_id not in planned]
    rows += [_row(plan, run, {}, False) for run in others]
    trials = _trials(plan)
    nothing = dict.fromkeys(TRIAL)
    return [{**row, **trials.get(row["run_id"], nothing)} for row in rows]


def _trials(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Study and number of each run's trial; a run that serves several is of the first."""
    found: dict[str, dict[str, Any]] = {}
    for study in plan.get("studies", ()):
        for trial in study["trials"]:
            for run_id in trial["runs"]:
                found.setdefault(run_id, {"study": study["name"], "trial": trial["number"]})
    return found


def _row(
    plan: dict[str, Any], run: RunFolder, fields: dict[str, Any], planned: bool
) -> dict[str, Any]:
    record = run.outcome()
    fields = fields or record.get("fields", {})  # the plan knows options that came later
    numbers = {**record.get("result", {}), **record.get("cost", {})}
    leading = {key: fields.get(key) for key in LEADING[3:]}
    inner = {f"field:{k}": v for k, v in fields.items() if k not in leading}
    return {
        "suite": plan["suite"],
        "kind": kind_of(plan),
        "run_id": run.run_id,
        "status": record["status"],
        "reason": record.get("reason"),
        "planned": planned,
        **leading,
        "layers": record.get("layers", []),
        "files": run,
        **{metric: numbers.get(metric) for names in METRICS_OF.values() for metric in names},
        **inner,
    }
