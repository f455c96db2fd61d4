"""Recordings of event cameras as data sets: `cifar10_dvs`, `dvs_gesture`, `nmnist`, `shd`.

Each is binned into the run's T frames once, which is kept; see `events_cache`.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import torch

from eibench.data.base import ImageData, Split, set_aside
from eibench.data.events_cache import cached
from eibench.data.events_files import (
    CIFAR10_DVS,
    DVS_GESTURE,
    NMNIST,
    SHD,
    EventSet,
    Recordings,
)
from eibench.data.frames import to_frames
from eibench.data.machine import require_memory
from eibench.data.sources import folder_of

TEST_SHARE = 0.1
"""Of a set without an official split: 1000 recordings of CIFAR10-DVS, 100 of each class."""


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
