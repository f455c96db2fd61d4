"""Durations of steps, taken in turns, so that a busy moment of the machine meets every subject."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from eibench.profile.subjects import Subject

WARM_UP = 2
"""Rounds that are not counted."""


def durations(
    subjects: Sequence[Subject], rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of `rounds` steps of each subject, one of each in a round."""
    taken: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for i in range(WARM_UP + rounds):
        for subject in subjects:
            wait_for(device)
            start = time.perf_counter()
            subject.step()
            wait_for(device)
            if i >= WARM_UP:
                taken[subject.name].append(time.perf_counter() - start)
    return taken


def wait_for(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median and quartiles of a step, in seconds."""
    low, median, high = np.percentile(seconds, [25, 50, 75])
    return {"median": float(median), "lower_quartile": float(low), "upper_quartile": float(high)}


def ratio(seconds: Sequence[float], base: Sequence[float]) -> float:
    """Median over rounds of a subject's step over the step of `base` in the same round."""
    return float(np.median(np.asarray(seconds) / np.asarray(base)))


def fit(x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    """The straight line through (x, y) by least squares, and how far the points are from it.

    `residual` is the largest distance of a point from the line over the line's value there.
    """
    slope, intercept = np.polyfit(x, y, 1)
    line = slope * np.asarray(x) + intercept
    spread = np.sum((np.asarray(y) - np.mean(y)) ** 2)
    missed = np.sum((np.asarray(y) - line) ** 2)
    return {
        "slope": float(slope),
        "intercept": float(intercept),
        "r_squared": float(1 - missed / spread) if spread > 0 else None,
        "residual": float(np.max(np.abs(np.asarray(y) - line) / np.abs(line))),
    }
