"""Events to frames: the number of events at each pixel, of each polarity, in each of T time bins.

Frames hold counts, not shares: they are divided by nothing. The E-I circuit and every normaliser
are free of scale (`no_norm` is not), and all methods see the same numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eibench.data.sources import data_folder

MOST = 255
"""Counts are clipped here, to fit into 8 bits."""


class Events(NamedTuple):
    """One recording: columns, rows, times and polarities (1: brighter) of n events, each [n]."""

    x: np.ndarray
    y: np.ndarray
    t: np.ndarray
    p: np.ndarray


def to_frames(
    events: Events,
    sensor: tuple[int, int, int],
    size: tuple[int, int],
    timesteps: int,
    by: str,
) -> np.ndarray:
    """Counts [T, C, H, W], uint8.

    `sensor` is the camera's polarities, height and width; `size` the height and width of a frame,
    to which coordinates are scaled down (column x becomes x * W // sensor width) and counts added.
    `by` is a key of `BINS`.

    Raises:
        ValueError: an event lies outside the sensor.
    """
    polarities, height, width = sensor
    shape = (timesteps, polarities, *size)
    x = events.x.astype(np.int64) * size[1] // width
    y = events.y.astype(np.int64) * size[0] // height
    step = BINS[by](events.t.astype(np.int64), timesteps)
    try:
        cell = np.ravel_multi_index((step, events.p.astype(np.int64), y, x), shape)
    except ValueError:
        raise ValueError(f"an event lies outside the sensor of {width}x{height}") from None
    counts = np.bincount(cell, minlength=np.prod(shape))
    return np.minimum(counts, MOST).astype(np.uint8).reshape(shape)


def by_time(t: np.ndarray, timesteps: int) -> np.ndarray:
    """The bin of each event: T equal spans from the first event to the last, which is in the last
    bin. Events that all have one time are in the first."""
    if not len(t) or t.max() == t.min():
        return np.zeros(len(t), np.int64)
    first, last = t.min(), t.max()
    step: np.ndarray = np.minimum((t - first) * timesteps // (last - first), timesteps - 1)
    return step


def by_count(t: np.ndarray, timesteps: int) -> np.ndarray:
    """The bin of each event: in order of time, event i of n is in bin i * T // n, so that bins
    differ by at most one event."""
    step = np.empty(len(t), np.int64)
    step[np.argsort(t, kind="stable")] = np.arange(len(t)) * timesteps // max(len(t), 1)
    return step


BINS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"time": by_time, "count": by_count}
"""How a recording is cut into T frames."""

VERSION = 1
"""To be raised when events become other frames than before."""


def cached(name: str, depends_on: object, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The array that `compute` gives, from the file of an earlier call where there is one.

    `depends_on` is a value of plain numbers, text and tuples. A folder that cannot be written to
    costs the time of computing again, nothing else.
    """
    digest = hashlib.sha256(repr((VERSION, depends_on)).encode()).hexdigest()[:16]
    path = data_folder() / "cache" / f"{name}-{digest}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):
        found: np.ndarray = np.load(path, allow_pickle=False)
        return found
    array = compute()
    with contextlib.suppress(OSError):
        _write(path, array)
    return array


def _write(path: Path, array: np.ndarray) -> None:
    """By rename, so that no other process ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
