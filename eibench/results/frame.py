"""Results as a tidy table: one row per run, planned or found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from eibench.errors import UserError
from eibench.results.store import RunFolder, read_plan, suite_folders

LEADING = ("suite", "run_id", "status", "method", "model", "data", "seed")
METRICS = (
    "test_accuracy",
    "test_loss",
    "test_accuracy_last",
    "validation_accuracy",
    "best_epoch",
    "firing_rate",
    "silent_share",
    "negative_weights",
    "parameters",
    "seconds",
    "images_per_second",
    "peak_memory_mib",
)
"""Numbers of a run that a report can show; accuracies in percent."""


def load_results(path: str | Path) -> pd.DataFrame:
    """The runs at or below `path` (a results folder, or one suite in it), one row each.

    Columns: suite, run_id, status, reason, method, model, data, seed, the metrics of `METRICS`
    (test_accuracy in percent, seconds ...), and one column, named by its dotted path such as
    `model.depth`, for every field that differs between runs. A planned run without a record has
    the status `missing` or `interrupted` and no numbers. `planned` tells runs of the current plan
    from older ones.

    Raises:
        UserError: there are no results at `path`.
    """
    root = Path(path)
    rows = [row for folder in suite_folders(root) for row in _suite_rows(folder)]
    if not rows:
        raise UserError(f"{root}: no results here; `eibench run SUITE` makes some")
    frame = pd.DataFrame(rows)
    fields = [c for c in frame.columns if c.startswith("field:")]
    varied = [c for c in fields if frame[c].map(repr).nunique() > 1]
    frame = frame.drop(columns=[c for c in fields if c not in varied])
    frame = frame.rename(columns={c: c.removeprefix("field:") for c in varied})
    front = [*LEADING, *METRICS]
    return frame[[*front, *(c for c in frame.columns if c not in front)]]


def _suite_rows(folder: Path) -> list[dict[str, Any]]:
    """Rows of one suite: its planned runs in order, then others found in its folder."""
    plan = read_plan(folder)
    planned = {run["run_id"]: run["fields"] for run in plan["runs"]}
    found = [RunFolder(p.parent) for p in sorted(folder.glob("*/record.json"))]
    rows = [_row(plan["suite"], RunFolder(folder / i), f, True) for i, f in planned.items()]
    others = [run for run in found if run.run_id not in planned]
    return rows + [_row(plan["suite"], run, {}, False) for run in others]


def _row(suite: str, run: RunFolder, fields: dict[str, Any], planned: bool) -> dict[str, Any]:
    record = run.outcome()
    fields = fields or record.get("fields", {})  # the plan knows options that came later
    numbers = {**record.get("result", {}), **record.get("cost", {})}
    leading = {key: fields.get(key) for key in LEADING[3:]}
    inner = {f"field:{k}": v for k, v in fields.items() if k not in leading}
    return {
        "suite": suite,
        "run_id": run.run_id,
        "status": record["status"],
        "reason": record.get("reason"),
        "planned": planned,
        **leading,
        **{metric: numbers.get(metric) for metric in METRICS},
        **inner,
    }
