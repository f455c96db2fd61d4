"""Runs as experiment trackers see them: settings, numbers by epoch, numbers at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from eibench.errors import UserError
from eibench.results.metrics import METRICS
from eibench.results.paths import SEARCH, suite_folders
from eibench.results.schema import EpochLine
from eibench.results.store import (
    INTERRUPTED,
    MISSING,
    RunFolder,
    kind_of,
    read_plan,
    recorded_runs,
)

Setting = str | float | int | bool


@dataclass(frozen=True)
class TrackedRun:
    """A run that has begun."""

    suite: str
    """Name of its suite; trials of a search have `/search` behind it."""
    run_id: str
    status: str
    settings: Mapping[str, Setting]
    epochs: tuple[Mapping[str, float], ...]
    """Numbers of each epoch, firing rates by layer among them."""
    result: Mapping[str, float]
    """Numbers of the run; none unless it is ok."""
    ended: float
    """Unix time; 0 where it has not ended."""
    seconds: tuple[float, ...]
    """Duration of each epoch."""

    @property
    def finished(self) -> bool:
        """True if the run has its record."""
        return self.status != INTERRUPTED

    @property
    def times(self) -> list[float]:
        """Unix times of the ends of epochs, as far as they are known."""
        start = max(self.ended - sum(self.seconds), 0.0)
        return [start + sum(self.seconds[: i + 1]) for i in range(len(self.seconds))]


def tracked_runs(results: Path) -> list[TrackedRun]:
    """Return the runs at or below `results` that have begun, finished or not.

    Raises:
        UserError: there are none, or a file is damaged.
    """
    found = [run for folder in suite_folders(results) for run in _runs(folder)]
    if not found:
        raise UserError(f"{results}: no results here; `eibench run SUITE` makes some")
    return found


def _runs(folder: Path) -> Iterator[TrackedRun]:
    plan = read_plan(folder)
    suite = plan["suite"] + f"/{SEARCH}" * (kind_of(plan) == SEARCH)
    planned = {run["run_id"]: run["fields"] for run in plan["runs"]}
    others: dict[str, dict[str, Any]] = {
        run.run_id: {} for run in recorded_runs(folder) if run.run_id not in planned
    }
    for run_id, fields in {**planned, **others}.items():
        files = RunFolder(folder / run_id)
        record, lines = files.outcome(), files.epochs()
        if record["status"] != MISSING:
            yield _run(suite, run_id, fields or record.get("fields", {}), record, lines)


def _run(
    suite: str,
    run_id: str,
    fields: Mapping[str, Any],
    record: Mapping[str, Any],
    lines: list[dict[str, Any]],
) -> TrackedRun:
    numbers = {**record.get("result", {}), **record.get("cost", {})}
    costs = [line.get("cost", {}) for line in lines]
    return TrackedRun(
        suite,
        run_id,
        record["status"],
        {_encodable(key): _setting(value) for key, value in fields.items()},
        tuple(_epoch(line) for line in lines),
        {key: float(numbers[key]) for key in METRICS if numbers.get(key) is not None},
        _unix_time(record.get("finished")),
        tuple(c.get("train_seconds", 0.0) + c.get("evaluation_seconds", 0.0) for c in costs),
    )


def _epoch(line: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a line of epochs."""
    rates = line.get("firing_rate_by_layer") or []
    width = len(str(len(rates)))
    found = {f"firing_rate/layer{i:0{width}}": rate for i, rate in enumerate(rates, start=1)}
    known = EpochLine.model_fields.keys() - {"epoch"}
    flat = {k: v for k, v in line.items() if k in known and isinstance(v, int | float)}
    return {key: float(value) for key, value in {**flat, **found}.items()}


def _setting(value: Any) -> Setting:
    """Return a field's value as a tracker takes it."""
    if value is None:
        return "none"
    return value if isinstance(value, int | float) else _encodable(str(value))


def _encodable(text: str) -> str:
    """Return `text` with lone surrogates, which JSON may have, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _unix_time(text: Any) -> float:
    """Return the Unix time of a record's text; 0 where it is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return 0.0
