"""`events_from` and `digits_dvs`: recordings of still images, by the simulated camera of `saccade`.

The splits are those of the images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from eibench.data.base import DataError, ImageData, Split, as_float, in_order
from eibench.data.digits import digits
from eibench.data.events_cache import cached
from eibench.data.machine import require_memory
from eibench.data.saccade import CHUNK, record, triangle


@dataclass(frozen=True)
class Camera:
    """The simulated camera and how it moves; the options of both data sets, which say more."""

    contrast: float
    amplitude: float
    saccades: int
    steps: int
    margin: int
    dark: float
    timesteps: int

    def __call__(self, split: Split) -> np.ndarray:
        """The recordings of a split's images, uint8 [N, T, 2, H, W].

        Raises:
            DataError: the path has fewer steps than there are frames, or these are too large.
        """
        height, width = (side + 2 * self.margin for side in split.images.shape[-2:])
        frames = f"{len(split)} recordings in {self.timesteps} frames of {height}x{width}"
        require_memory(len(split) * self.timesteps * 2 * height * width, frames)
        path = triangle(self.amplitude, self.saccades, self.steps)
        try:
            seen = [
                record(images, path, self.timesteps, self.contrast, self.margin, self.dark)
                for images in (as_float(c, split.unit) for c in in_order(split.images, CHUNK))
            ]
        except ValueError as error:
            raise DataError(f"{error}; raise `steps`") from None
        counts: np.ndarray = torch.cat(seen).numpy()
        return counts


def digits_dvs(
    contrast: float,
    amplitude: float,
    saccades: int,
    steps: int,
    margin: int,
    dark: float,
    timesteps: int,
) -> ImageData:
    """scikit-learn's digits, seen by the camera."""
    camera = Camera(contrast, amplitude, saccades, steps, margin, dark, timesteps)
    still = digits()
    splits = (_recorded(split, camera(split)) for split in still.splits.values())
    return ImageData(still.classes, *splits)


def events_from(
    source: Mapping[str, Any],
    contrast: float,
    amplitude: float,
    saccades: int,
    steps: int,
    margin: int,
    dark: float,
    timesteps: int,
) -> ImageData:
    """The images of `source`, a data set's name and options, seen by the camera.

    Raises:
        DataError: the images are absent or damaged, or T is too large.
    """
    from eibench.data import load  # which knows this function

    camera = Camera(contrast, amplitude, saccades, steps, margin, dark, timesteps)
    options = {key: value for key, value in source.items() if key != "name"}
    still = load(source["name"], options)
    digest, splits = still.digest, []
    for name, split in still.splits.items():
        key = (digest, name, astuple(camera))
        frames = cached("events_from", key, partial(camera, split))
        splits.append(_recorded(split, frames))
    return ImageData(still.classes, *splits, notes=still.notes)


def _recorded(split: Split, frames: np.ndarray) -> Split:
    return Split(torch.from_numpy(frames), split.labels, unit=1.0)
