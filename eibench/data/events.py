"""Recordings of event cameras as data sets: `cifar10_dvs`, `dvs_gesture`, `nmnist`, `shd`.

Each is binned into the run's T frames once, which is kept; see `events_cache`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eibench.data.base import ImageData, Split, set_aside
from eibench.data.frames import Events, cached, to_frames
from eibench.data.machine import require_memory
from eibench.data.recordings import read_recording
from eibench.data.sources import folder_of
from eibench.errors import DataError

TEST_SHARE = 0.1
"""Of a set without an official split: 1000 recordings of CIFAR10-DVS, 100 of each class."""


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


def cifar10_dvs(size: int, by: str, validation_share: float, timesteps: int) -> ImageData:
    """CIFAR-10 on a moving screen (Li et al., 2017), seen by a camera of 128x128."""
    return _load(CIFAR10_DVS, (size, size), by, validation_share, timesteps)


def dvs_gesture(size: int, by: str, validation_share: float, timesteps: int) -> ImageData:
    """Eleven gestures of hands and arms (Amir et al., 2017), seen by a camera of 128x128."""
    return _load(DVS_GESTURE, (size, size), by, validation_share, timesteps)


def nmnist(size: int, by: str, validation_share: float, timesteps: int) -> ImageData:
    """MNIST seen by a camera that makes three saccades (Orchard et al., 2015)."""
    return _load(NMNIST, (size, size), by, validation_share, timesteps)


def shd(by: str, validation_share: float, timesteps: int) -> ImageData:
    """Spoken digits as spikes of 700 channels of a model cochlea (Cramer et al., 2020)."""
    return _load(SHD, SHD.sensor[1:], by, validation_share, timesteps)


def _load(
    events: EventSet, size: tuple[int, int], by: str, validation_share: float, timesteps: int
) -> ImageData:
    """All splits of a set.

    Raises:
        DataError: recordings or tonic are absent, or a file is damaged.
    """
    folder = folder_of(events.name)
    parts = {part: Recordings(events, part, folder) for part in events.parts}
    splits = {part: _split(found, size, by, timesteps) for part, found in parts.items()}
    if "whole" in splits:
        splits["train"], splits["test"] = _divide(splits["whole"], TEST_SHARE, folder)
    train, validation = _divide(splits["train"], validation_share, folder)
    classes = next(iter(parts.values())).classes
    return ImageData(classes, train, validation, splits["test"])


def _split(found: Recordings, size: tuple[int, int], by: str, timesteps: int) -> Split:
    """The frames of a part, from the cache if they are there."""
    key = (found.part, size, by, timesteps, found.stamps())
    frames = cached(found.events.name, key, lambda: _binned(found, size, by, timesteps))
    return Split(torch.from_numpy(frames), torch.from_numpy(found.labels), unit=1.0)


def _binned(found: Recordings, size: tuple[int, int], by: str, timesteps: int) -> np.ndarray:
    """Counts [N, T, C, H, W], uint8."""
    events = found.events
    print(f"{events.name}: binning {len(found)} recordings, once", file=sys.stderr)
    shape = (len(found), timesteps, events.sensor[0], *size)
    require_memory(math.prod(shape), f"{events.name} in {timesteps} frames of {size[0]}x{size[1]}")
    frames = np.empty(shape, np.uint8)
    for i in range(len(found)):
        frames[i] = to_frames(found.read(i), events.sensor, size, timesteps, by)
    return frames


def _divide(split: Split, share: float, folder: object) -> tuple[Split, Split]:
    """What is kept and a stratified `share`, by the fixed seed of all splits."""
    indices = set_aside(split.labels.numpy(), share, folder)
    kept, held = (split.take(index) for index in indices)
    return kept, held
