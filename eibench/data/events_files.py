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
from eibench.data.recordings import read_recording


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
    one_file: bool = False
    """Whether a part is one HDF5 file, in place of a file for each recording."""


CIFAR10_DVS = EventSet("cifar10_dvs", "CIFAR10DVS", (2, 128, 128), {"whole": 10000})
DVS_GESTURE = EventSet("dvs_gesture", "DVSGesture", (2, 128, 128), {"train": 1077, "test": 264})
NMNIST = EventSet("nmnist", "NMNIST", (2, 34, 34), {"train": 60000, "test": 10000})
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
        if not path.is_file():
            raise OSError(f"{path}: no regular file")
        most = self.events.parts[self.part] + 1  # a file may claim any number
        with h5py.File(path) as file:
            labels = [int(label) for label in file["labels"][:most]]
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
        return read_recording(self.paths[index], self.order[index], self.events.sensor)
