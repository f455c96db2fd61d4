"""Readers of event-camera recordings, and the checks of their content.

    .npy      rows of x, y, polarity and milliseconds (DVS-Gesture, as tonic publishes it)
    .bin      five bytes an event: x, y, then a bit of polarity and 23 of microseconds (N-MNIST)
    .aedat4   packets, read by tonic and aedat (CIFAR10-DVS)
    .h5       a row of seconds and of units for each recording (SHD)

Columns are checked in their stored type, before a cast could hide invalid values. Events may be in
any order, since bins depend on times alone (`frames`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np

from eibench.data.frames import Events
from eibench.errors import DataError, error_line

LATEST = 2**53
"""Largest time in microseconds: integers up to it are exact as floats, and 1000 times as much
fits into 64 bits. Times since 1970 are about a fifth of it."""
WRAP, WRAPPED = 240, 2**13
"""In a .bin file: the row that marks an overflow of the time counter, and the length of its
period."""


class _BadRecording(Exception):
    """Error of a recording that cannot be used."""


def read_recording(path: Path, row: int, sensor: tuple[int, int, int]) -> Events:
    """Read the events of the recording at `path`; of an .h5 file, its row `row`.

    `sensor` holds the camera's polarities, height and width.

    Raises:
        DataError: the file is damaged.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a FIFO or device may block
            raise _BadRecording("it is no regular file")
        return _checked(READERS[path.suffix](path, row), sensor)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise DataError(f"{path}: not a readable recording ({error_line(error)})") from None


def _npy(path: Path, _: int) -> Events:
    rows = np.load(path, allow_pickle=False)
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] < 4:
        raise _BadRecording("it does not hold rows of x, y, polarity and time")
    x, y, p, t = rows.T[:4]
    return Events(x, y, t.astype(np.result_type(t, np.int64)) * 1000, p)


def _bin(path: Path, _: int) -> Events:
    found = np.fromfile(path, np.uint8)
    if len(found) % 5:
        raise _BadRecording("it ends within an event")
    x, y, *word = found.reshape(-1, 5).T.astype(np.int64)
    t = (word[0] & 127) << 16 | word[1] << 8 | word[2]
    seen = y != WRAP
    t = t + WRAPPED * np.cumsum(~seen)
    return Events(x[seen], y[seen], t[seen], word[0][seen] >> 7)


def _aedat4(path: Path, _: int) -> Events:
    from tonic.io import read_aedat4

    found = read_aedat4(str(path))
    found.dtype.names = ("t", "x", "y", "p")
    return Events(*(found[name] for name in Events._fields))


def _h5(path: Path, row: int) -> Events:
    import h5py

    with h5py.File(path) as file:
        seconds, units = file["spikes/times"][row], file["spikes/units"][row]
    if len(seconds) != len(units):
        raise _BadRecording(f"{len(seconds)} times for {len(units)} units")
    zeros = np.zeros(len(units), np.int64)
    return Events(units, zeros, np.asarray(seconds, np.float64) * 1e6, zeros)


READERS: dict[str, Callable[[Path, int], Events]] = {
    ".npy": _npy,
    ".bin": _bin,
    ".aedat4": _aedat4,
    ".h5": _h5,
}


def _checked(events: Events, sensor: tuple[int, int, int]) -> Events:
    """Return events as int64 after checking that they are whole numbers within the sensor."""
    _, height, width = sensor
    if not len(events.t):
        raise _BadRecording("it holds no events")
    for name, values in events._asdict().items():
        if values.dtype.kind not in "buif":
            raise _BadRecording(f"{NAMES[name]} is of type {values.dtype}")
        if not np.isfinite(values).all():
            raise _BadRecording(f"{NAMES[name]} is not a number")
    camera = f"outside the sensor of {width}x{height}"
    _within(events.x, width - 1, f"an event lies {camera}")
    _within(events.y, height - 1, f"an event lies {camera}")
    _within(events.p, 1, "a polarity is neither 0 nor 1")
    _within(events.t, LATEST, f"a time is not from 0 to {LATEST:.0e} microseconds")
    for name in "xyp":
        values = getattr(events, name)
        if values.dtype.kind == "f" and (values != np.floor(values)).any():
            raise _BadRecording(f"{NAMES[name]} is no whole number")
    return Events(*(np.asarray(column, np.int64) for column in events))


NAMES = {"x": "a column", "y": "a row", "t": "a time", "p": "a polarity"}


def _within(values: np.ndarray, most: int, text: str) -> None:
    least, greatest = values.min(), values.max()
    if least < 0 or greatest > most:
        raise _BadRecording(f"{text}: {least if least < 0 else greatest:g}")
