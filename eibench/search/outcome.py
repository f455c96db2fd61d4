"""What became of a trial, read from the records of its runs alone."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eibench.results.store import DIVERGED, MISSING, OK, RunFolder

SCORE = "validation_accuracy"
"""The objective that has a value, that of chance, where training diverged."""


@dataclass(frozen=True)
class Outcome:
    """The runs of a trial, taken together."""

    failed: bool
    """A run crashed or ran out of memory: there is no score."""
    reason: str | None
    """Why it failed, or that it diverged."""
    scores: Mapping[str, float | None]
    """Objectives averaged over the runs; None where no run could be measured."""
    loss: float | None
    """Validation loss, averaged likewise: it decides between equal accuracies."""
    seconds: float
    epochs: int


def outcome(folders: Sequence[RunFolder], objectives: Sequence[str], chance: float) -> Outcome:
    """The outcome of a trial with these runs; a diverged one has the accuracy of `chance`."""
    ends = [folder.outcome() for folder in folders]
    numbers = [_numbers(*pair, chance) for pair in zip(folders, ends, strict=True)]
    diverged = [end["reason"] for end in ends if end["status"] == DIVERGED]
    crashed = [
        f"{end['status'].replace('_', ' ')}: {end['reason']}"
        for end in ends
        if end["status"] not in (OK, DIVERGED)
    ]
    many = f"{len(diverged)} of {len(ends)} runs " if len(ends) > 1 else ""
    reasons = [*crashed, *(f"{many}diverged: {reason}" for reason in diverged)]
    return Outcome(
        failed=bool(crashed),
        reason=reasons[0] if reasons else None,
        scores={name: _mean([known[name] for known in numbers]) for name in objectives},
        loss=_mean([known["loss"] for known in numbers]),
        seconds=sum(map(_seconds, folders, ends)),
        epochs=sum(map(_epochs, folders, ends)),
    )


def impossible(reason: str, objectives: Sequence[str]) -> Outcome:
    """The outcome of a trial whose values no run can have."""
    return Outcome(True, reason, dict.fromkeys(objectives), None, 0.0, 0)


def begun(folders: Sequence[RunFolder]) -> list[RunFolder]:
    """Those of a trial's runs that have left anything."""
    return [folder for folder in folders if folder.outcome()["status"] != MISSING]


def _numbers(folder: RunFolder, end: Mapping[str, Any], chance: float) -> dict[str, float | None]:
    """The objectives of one run; of a diverged one its accuracy alone."""
    if end["status"] != OK:
        score = chance if end["status"] == DIVERGED else None
        return {SCORE: score, "loss": None, "seconds": None, "firing_rate": None}
    result = end["result"]
    chosen: dict[str, Any] = {}  # of a record that does not say, or has lost its epochs.jsonl
    with contextlib.suppress(IndexError):
        chosen = folder.epochs()[result["best_epoch"] - 1]
    rates = result.get("validation_firing_rate_by_layer", chosen.get("firing_rate_by_layer"))
    return {
        SCORE: result[SCORE],
        "loss": result.get("validation_loss", chosen.get("validation_loss")),
        "seconds": end["cost"]["seconds"],
        "firing_rate": statistics.fmean(rates) if rates else None,
    }


def _epochs(folder: RunFolder, end: Mapping[str, Any]) -> int:
    """Of a run that ended well its record says how many; epochs.jsonl may be lost."""
    known = end.get("result", {}).get("epochs")
    return len(folder.epochs()) if known is None else int(known)


def _seconds(folder: RunFolder, end: Mapping[str, Any]) -> float:
    """Of all epochs of a run: from its record, or summed over those of one that was stopped."""
    known = end.get("cost", {}).get("seconds")
    if known is not None:
        return float(known)
    costs = [epoch["cost"] for epoch in folder.epochs()]
    return float(sum(cost["train_seconds"] + cost["evaluation_seconds"] for cost in costs))


def _mean(numbers: Sequence[float | None]) -> float | None:
    """The mean of what is there."""
    known = [number for number in numbers if number is not None]
    return statistics.fmean(known) if known else None
