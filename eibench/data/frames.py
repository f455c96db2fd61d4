"""Events to frames: counts of events per pixel, polarity and time bin; and a cache of frames.

Frames hold raw counts. The E-I circuit and every normalizer are scale-free (`no_norm` is not), and
all methods receive the same numbers.

Frames that take minutes to compute are kept in `data_folder() / "cache"`, which is safe to delete.
A file's name contains a hash of everything its content depends on, so an outdated file is never
used; a damaged one is computed again.
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
"""Largest count; larger counts are clipped to fit into 8 bits."""


class Events(NamedTuple):
    """Columns, rows, times and polarities (1: brighter) of the n events of one recording, each
    [n]."""

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
    """Return counts [T, C, H, W], uint8.

    `sensor` holds the camera's polarities, height and width. `size` is the height and width of a
    frame: coordinates are scaled down to it (column x becomes x * W // sensor width), and counts of
    merged pixels are added. `by` is a key of `BINS`.

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
    """Return each event's bin: T equal intervals from the first event to the last, which is
    included.

    Events that all have the same time are in the first bin.
    """
    if not len(t) or t.max() == t.min():
        return np.zeros(len(t), np.int64)
    first, last = t.min(), t.max()
    step: np.ndarray = np.minimum((t - first) * timesteps // (last - first), timesteps - 1)
    return step


def by_count(t: np.ndarray, timesteps: int) -> np.ndarray:
    """Return each event's bin: event i of n, in order of time, is in bin i * T // n.

    The sizes of the bins differ by at most one event.
    """
    step = np.empty(len(t), np.int64)
    step[np.argsort(t, kind="stable")] = np.arange(len(t)) * timesteps // max(len(t), 1)
    return step


BINS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"time": by_time, "count": by_count}
"""Ways to divide a recording into T frames."""

VERSION = 1
"""Version of the computation; raise it when the same events give different frames."""


def cached(name: str, depends_on: object, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Return the array that `compute` returns, read from the cache where an earlier call stored it.

    `depends_on` is a value of numbers, text and tuples. Without write access the array is computed
    at every call.
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
    """Write by rename, so that no other process reads an incomplete file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
