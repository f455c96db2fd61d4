"""Data sets of event-camera recordings: `cifar10_dvs`, `dvs_gesture`, `nmnist`, `shd`.

Recordings are in `data_folder() / NAME / CLASS`, as tonic's CLASS stores them. They are binned into
the run's T frames once; the frames are cached (`frames.cached`). tonic is an optional dependency
that takes seconds to import, so only functions import it.
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

from eibench.data.base import ImageData, Split, split_validation
from eibench.data.frames import Events, cached, to_frames
from eibench.data.machine import require_memory
from eibench.data.recordings import read_recording
from eibench.data.sources import dataset, dataset_folder
from eibench.errors import DataError, error_line
from eibench.plan.options.data import (
    CIFAR10DVSOptions,
    DVSGestureOptions,
    NMNISTOptions,
    RecordedOptions,
    SHDOptions,
)

TEST_SHARE = 0.1
"""Test share of a data set without an official split: 1000 recordings of CIFAR10-DVS, 100 a
class."""


@dataclass(frozen=True)
class EventSet:
    """Data set that tonic can fetch and read."""

    name: str
    reader: str
    """Name of its class in `tonic.datasets`."""
    sensor: tuple[int, int, int]
    """Polarities, height and width."""
    parts: Mapping[str, int]
    """Numbers of recordings of the official `train` and `test`; of `whole` without an official
    split."""
    one_file: bool = False
    """True if a part is one HDF5 file rather than a file per recording."""


CIFAR10_DVS = EventSet("cifar10_dvs", "CIFAR10DVS", (2, 128, 128), {"whole": 10000})
DVS_GESTURE = EventSet("dvs_gesture", "DVSGesture", (2, 128, 128), {"train": 1077, "test": 264})
NMNIST = EventSet("nmnist", "NMNIST", (2, 34, 34), {"train": 60000, "test": 10000})
SHD = EventSet("shd", "SHD", (1, 1, 700), {"train": 8156, "test": 2264}, one_file=True)


def reader(events: EventSet, present: bool) -> Any:
    """Return tonic's class, told whether the files are `present`; if not, its constructor fetches.

    Raises:
        DataError: tonic is not installed.
    """
    try:
        import aedat  # noqa: F401  (tonic needs it for CIFAR10-DVS, and does not install it)
        from tonic import datasets
    except ImportError as error:
        raise DataError(f'event data need {error.name}: pip install "eibench[events]"') from None
    base = getattr(datasets, events.reader)
    return type(events.reader, (base,), {"_check_exists": lambda self: present})


def arguments(part: str) -> dict[str, bool]:
    """Return the arguments by which tonic's classes select a part."""
    return {} if part == "whole" else {"train": part == "train"}


class Recordings:
    """Recordings of one part of an event set, sorted by file name."""

    def __init__(self, events: EventSet, part: str, folder: Path) -> None:
        """List the recordings under `folder`, all of which must be present.

        Raises:
            DataError: tonic or recordings are missing, or an index file is damaged.
        """
        self.events, self.part = events, part
        self.base = folder / events.reader
        try:
            self.source = reader(events, present=True)(str(folder), **arguments(part))
            paths, labels = self._listed()
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{self.base}: cannot be read as {events.name}: {error_line(error)}"
            ) from None
        self.order = sorted(range(len(paths)), key=lambda i: (str(paths[i]), i))
        self.paths = [paths[i] for i in self.order]
        self.labels = np.array([labels[i] for i in self.order], np.int64)
        self._check()

    def _listed(self) -> tuple[list[Path], list[int]]:
        """Return the file and the class of each recording."""
        if not self.events.one_file:
            return [Path(path) for path in self.source.data], list(self.source.targets)
        import h5py

        path = self.base / self.source.data_filename
        if not path.is_file():
            raise OSError(f"{path}: no regular file")
        most = self.events.parts[self.part] + 1  # bounds what a damaged file can claim
        with h5py.File(path) as file:
            labels = [int(label) for label in file["labels"][:most]]
        return [path] * len(labels), labels

    def _check(self) -> None:
        """Check that all recordings are present, and that each has a valid class."""
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
        """Return the class names; label i is the i-th."""
        names = (name.decode() if isinstance(name, bytes) else name for name in self.source.classes)
        return tuple(map(str, names))

    def stamps(self) -> tuple[tuple[str, int, int], ...]:
        """Return name, size and modification time of each file, to detect edited files."""
        files = [(path, path.stat()) for path in dict.fromkeys(self.paths)]
        return tuple(
            (str(path.relative_to(self.base)), s.st_size, s.st_mtime_ns) for path, s in files
        )

    def read(self, index: int) -> Events:
        """Read the events of one recording.

        Raises:
            DataError: the file is damaged.
        """
        return read_recording(self.paths[index], self.order[index], self.events.sensor)


@dataset(CIFAR10DVSOptions)
def cifar10_dvs(options: CIFAR10DVSOptions, timesteps: int) -> ImageData:
    """Load CIFAR10-DVS: CIFAR-10 on a moving screen, recorded at 128x128 (Li et al., 2017)."""
    return _load(CIFAR10_DVS, (options.size, options.size), options, timesteps)


@dataset(DVSGestureOptions)
def dvs_gesture(options: DVSGestureOptions, timesteps: int) -> ImageData:
    """Load DVS-Gesture: eleven hand and arm gestures, recorded at 128x128 (Amir et al., 2017)."""
    return _load(DVS_GESTURE, (options.size, options.size), options, timesteps)


@dataset(NMNISTOptions)
def nmnist(options: NMNISTOptions, timesteps: int) -> ImageData:
    """Load N-MNIST: MNIST recorded by a camera that makes three saccades (Orchard et al., 2015)."""
    return _load(NMNIST, (options.size, options.size), options, timesteps)


@dataset(SHDOptions)
def shd(options: SHDOptions, timesteps: int) -> ImageData:
    """Load SHD: spoken digits as spikes of 700 cochlea channels (Cramer et al., 2020)."""
    return _load(SHD, SHD.sensor[1:], options, timesteps)


def _load(
    events: EventSet, size: tuple[int, int], options: RecordedOptions, timesteps: int
) -> ImageData:
    """Load all splits of an event set.

    Raises:
        DataError: recordings or tonic are missing, or a file is damaged.
    """
    folder = dataset_folder(events.name)
    parts = {part: Recordings(events, part, folder) for part in events.parts}
    splits = {part: _split(found, size, options.by, timesteps) for part, found in parts.items()}
    if "whole" in splits:
        splits["train"], splits["test"] = _divide(splits["whole"], TEST_SHARE, folder)
    train, validation = _divide(splits["train"], options.validation_share, folder)
    classes = next(iter(parts.values())).classes
    return ImageData(classes, train, validation, splits["test"])


def _split(found: Recordings, size: tuple[int, int], by: str, timesteps: int) -> Split:
    """Return the frames of a part, from the cache where possible."""
    key = (found.part, size, by, timesteps, found.stamps())
    frames = cached(found.events.name, key, lambda: _binned(found, size, by, timesteps))
    return Split(torch.from_numpy(frames), torch.from_numpy(found.labels), unit=1.0)


def _binned(found: Recordings, size: tuple[int, int], by: str, timesteps: int) -> np.ndarray:
    """Return counts [N, T, C, H, W], uint8."""
    events = found.events
    print(f"{events.name}: binning {len(found)} recordings, once", file=sys.stderr)
    shape = (len(found), timesteps, events.sensor[0], *size)
    require_memory(math.prod(shape), f"{events.name} in {timesteps} frames of {size[0]}x{size[1]}")
    frames = np.empty(shape, np.uint8)
    for i in range(len(found)):
        frames[i] = to_frames(found.read(i), events.sensor, size, timesteps, by)
    return frames


def _divide(split: Split, share: float, folder: object) -> tuple[Split, Split]:
    """Divide a split into the kept part and a stratified `share`, under the fixed seed."""
    indices = split_validation(split.labels.numpy(), share, folder)
    kept, held = (split.take(index) for index in indices)
    return kept, held
