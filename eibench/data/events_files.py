"""Recordings of event cameras on this machine, listed and read by tonic.

Each set is in `data_folder() / NAME / CLASS`, as tonic's CLASS leaves it there. tonic is an extra
of eibench and takes seconds to import, so only functions import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eibench.data.base import DataError
from eibench.data.frames import Events


@dataclass(frozen=True)
class EventSet:
    """A data set that tonic can fetch and read."""

    name: str
    reader: str
    """Its class in `tonic.datasets`."""
    sensor: tuple[int, int, int]
    """Polarities, height and width."""
    parts: Mapping[str, int]
    """Recordings of the official `train` and `test`; of `whole` where there is no such split."""
    event_bytes: int = 1
    """A file of recordings is a whole number of these."""
    one_file: bool = False
    """Whether a part is one HDF5 file, in place of a file for each recording."""


CIFAR10_DVS = EventSet("cifar10_dvs", "CIFAR10DVS", (2, 128, 128), {"whole": 10000})
DVS_GESTURE = EventSet("dvs_gesture", "DVSGesture", (2, 128, 128), {"train": 1077, "test": 264})
NMNIST = EventSet("nmnist", "NMNIST", (2, 34, 34), {"train": 60000, "test": 10000}, event_bytes=5)
SHD = EventSet("shd", "SHD", (1, 1, 700), {"train": 8156, "test": 2264}, one_file=True)


def reader(events: EventSet, present: bool) -> Any:
    """tonic's class, told whether the files are there: it fetches what is not, when it is made.

    Raises:
        DataError: tonic is not installed.
    """
    try:
        import aedat  # noqa: F401  (what tonic reads CIFAR10-DVS with, and does not install)
        from tonic import datasets
    except ImportError as error:
        raise DataError(f'event data need {error.name}: pip install "eibench[events]"') from None
    base = getattr(datasets, events.reader)
    return type(events.reader, (base,), {"_check_exists": lambda self: present})


def arguments(part: str) -> dict[str, bool]:
    """What tonic's classes call a part."""
    return {} if part == "whole" else {"train": part == "train"}


class Recordings:
    """One part of an event set, in the order of its files' names."""

    def __init__(self, events: EventSet, part: str, folder: Path) -> None:
        """Lists the recordings under `folder`, all of which must be there.

        Raises:
            DataError: tonic or recordings are absent, or what lists them is damaged.
        """
        self.events, self.part = events, part
        self.base = folder / events.reader
        try:
            self.source = reader(events, present=True)(str(folder), **arguments(part))
            paths, labels = self._listed()
        except (OSError, ValueError, KeyError) as error:
            text = " ".join(str(error).split())
            raise DataError(f"{self.base}: cannot be read as {events.name}: {text}") from None
        self.order = sorted(range(len(paths)), key=lambda i: (str(paths[i]), i))
        self.paths = [paths[i] for i in self.order]
        self.labels = np.array([labels[i] for i in self.order], np.int64)
        self._check()

    def _listed(self) -> tuple[list[Path], list[int]]:
        """For each recording, the file that holds it and its class."""
        if not self.events.one_file:
            return [Path(path) for path in self.source.data], list(self.source.targets)
        import h5py

        path = self.base / self.source.data_filename
        with h5py.File(path) as file:
            labels = [int(label) for label in file["labels"]]
        return [path] * len(labels), labels

    def _check(self) -> None:
        """That no recording is missing, and that each is of a class."""
        found, expected = len(self), self.events.parts[self.part]
        if found != expected:
            name = self.events.name
            raise DataError(
                f"{self.base}: {found} recordings of {self.part} instead of {expected}; "
                f"`eibench data verify {name}` says which, `eibench data fetch {name}` gets them"
            )
        classes = len(self.classes)
        for path, label in zip(self.paths, self.labels, strict=True):
            if not 0 <= label < classes:
                raise DataError(f"{path}: is of class {label}, but they go from 0 to {classes - 1}")

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names; label i is the i-th."""
        names = (name.decode() if isinstance(name, bytes) else name for name in self.source.classes)
        return tuple(map(str, names))

    def stamps(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and time of change of each file, by which an edited one is known."""
        files = [(path, path.stat()) for path in dict.fromkeys(self.paths)]
        return tuple(
            (str(path.relative_to(self.base)), s.st_size, s.st_mtime_ns) for path, s in files
        )

    def read(self, index: int) -> Events:
        """The events of one recording.

        Raises:
            DataError: the file is damaged.
        """
        path = self.paths[index]
        try:
            found, _ = self.source[self.order[index]]
            events = self._columns(found)
        except Exception as error:  # three libraries read these files, each with errors of its own
            text = " ".join(str(error).split())
            raise DataError(f"{path}: not a readable recording ({text})") from None
        if problem := self._problem(events, path):
            raise DataError(f"{path}: not a readable recording ({problem})")
        return events

    def _columns(self, found: np.ndarray) -> Events:
        zeros = np.zeros(len(found), np.int64)
        y = found["y"] if "y" in (found.dtype.names or ()) else zeros
        p = zeros if self.events.sensor[0] == 1 else found["p"]
        return Events(*(np.asarray(column, np.int64) for column in (found["x"], y, found["t"], p)))

    def _problem(self, events: Events, path: Path) -> str | None:
        _, height, width = self.events.sensor
        if not len(events.t):
            return "it holds no events"
        if path.stat().st_size % self.events.event_bytes:
            return "it ends within an event"
        for values, limit in ((events.x, width), (events.y, height)):
            if values.min() < 0 or values.max() >= limit:
                return f"an event lies outside the sensor of {width}x{height}"
        return None
