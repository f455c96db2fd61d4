"""`events_from` and `digits_dvs`: still images recorded by a simulated event camera.

The protocol is that of N-MNIST (Orchard et al., 2015): three saccades along an isosceles triangle
that end where they began. The pixel model is that of ESIM (Rebecq et al., 2018), without noise: a
pixel stores a level of log intensity. It emits an event each time the log intensity has left that
level by `contrast`, which then becomes the new level. Nothing is random. Splits are those of the
images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from eibench.data.base import ImageData, Split, as_float, in_order
from eibench.data.checks import check
from eibench.data.digits import digits
from eibench.data.frames import MOST, cached
from eibench.data.machine import require_memory
from eibench.data.sources import dataset
from eibench.errors import DataError
from eibench.plan.options import DATASETS
from eibench.plan.options.data import CameraOptions, DigitsDVSOptions, EventsFromOptions

OFF, ON = 0, 1
"""Channels of a frame: the intensity decreased, the intensity increased."""
RESOLUTION = 2**20
"""Resolution of log intensity, as a fraction of `contrast`: an intensity that returns to its
earlier value compares equal on every machine, although rounding errors differ."""
CHUNK = 512
"""Number of images moved at once."""


@dataclass(frozen=True)
class Camera:
    """Simulated camera and its movement."""

    options: CameraOptions
    timesteps: int

    @property
    def key(self) -> tuple[float, ...]:
        """All numbers that the recordings depend on, in the order of the options."""
        numbers = (getattr(self.options, name) for name in CameraOptions.model_fields)
        return (*numbers, self.timesteps)

    def __call__(self, split: Split) -> np.ndarray:
        """Return the recordings of a split's images, uint8 [N, T, 2, H, W].

        Raises:
            DataError: the path has fewer steps than frames, or the frames do not fit into memory.
        """
        options, count = self.options, len(split)
        height, width = (side + 2 * options.margin for side in split.images.shape[-2:])
        frames = f"{count} recordings in {self.timesteps} frames of {height}x{width}"
        require_memory(count * self.timesteps * 2 * height * width, frames)
        path = saccade_path(options.amplitude, options.saccades, options.steps)
        light = (options.contrast, options.margin, options.dark)
        try:
            seen = [
                simulate_events(images, path, self.timesteps, *light)
                for images in (as_float(c, split.unit) for c in in_order(split.images, CHUNK))
            ]
        except ValueError as error:
            raise DataError(f"{error}; raise `steps`") from None
        counts: np.ndarray = torch.cat(seen).numpy()
        return counts


@dataset(DigitsDVSOptions)
def digits_dvs(options: DigitsDVSOptions, timesteps: int) -> ImageData:
    """Record scikit-learn's digits with the simulated camera."""
    camera = Camera(options, timesteps)
    still = digits()
    splits = (_recorded(split, camera(split)) for split in still.splits.values())
    return ImageData(still.classes, *splits)


@dataset(EventsFromOptions)
def events_from(options: EventsFromOptions, timesteps: int) -> ImageData:
    """Record the images of `options.source` with the simulated camera.

    Raises:
        DataError: the images are missing or damaged, or T is too large.
    """
    camera = Camera(options, timesteps)
    still = check(DATASETS.build(options.source), None)
    digest, splits = still.digest, []
    for name, split in still.splits.items():
        frames = cached("events_from", (digest, name, camera.key), partial(camera, split))
        splits.append(_recorded(split, frames))
    return ImageData(still.classes, *splits, notes=still.notes)


def _recorded(split: Split, frames: np.ndarray) -> Split:
    return Split(torch.from_numpy(frames), split.labels, unit=1.0)


def saccade_path(amplitude: float, saccades: int, steps: int) -> Tensor:
    """Return the offset of the image in pixels (down, right): [saccades * steps + 1, 2].

    The path leads from the top left of a square of side `amplitude` to the middle of its lower
    side, to its top right, and back, each saccade in `steps` equal steps.
    """
    half = amplitude / 2
    corners = torch.tensor([(-half, -half), (half, 0.0), (-half, half)], dtype=torch.float64)
    turns = corners[torch.arange(saccades + 1) % len(corners)]
    share = torch.arange(1, steps + 1, dtype=torch.float64).view(1, -1, 1) / steps
    between = (1 - share) * turns[:-1, None] + share * turns[1:, None]
    return torch.cat([turns[:1], between.flatten(0, 1)])


def simulate_events(
    images: Tensor, path: Tensor, timesteps: int, contrast: float, margin: int, dark: float
) -> Tensor:
    """Return the event counts of images [N, C, H, W] in [0, 1] that move along `path` [K + 1, 2].

    Counts are uint8 [N, T, 2, H + 2 margin, W + 2 margin] in T equal intervals of a constant speed.
    Intensity is the mean over channels, moved by bilinear interpolation over black; a pixel sees
    log(intensity + dark).

    Raises:
        ValueError: the path has fewer than T steps.
    """
    if len(path) - 1 < timesteps:
        raise ValueError(f"{len(path) - 1} steps of the image are too few for {timesteps} frames")
    chunks = [
        _simulate_chunk(chunk.mean(1, dtype=torch.float64), path, timesteps, contrast, margin, dark)
        for chunk in images.split(CHUNK)
    ]
    return torch.cat(chunks)


def _simulate_chunk(
    light: Tensor, path: Tensor, timesteps: int, contrast: float, margin: int, dark: float
) -> Tensor:
    """Apply `simulate_events` to a chunk of images; `light` is [N, H, W]."""
    reach = margin + math.ceil(float(path.abs().max())) + 1
    wide = pad(light, (reach,) * 4)
    places = path.tolist()
    start = _shift_2d(wide, reach - margin, *places[0]).add_(dark).log_()
    level = torch.zeros_like(start)  # in whole contrasts above `start`: no rounding errors add up
    counts = torch.zeros(len(light), timesteps, 2, *start.shape[1:], dtype=torch.int32)
    for step, place in enumerate(places[1:]):
        now = _shift_2d(wide, reach - margin, *place).add_(dark).log_().sub_(start).div_(contrast)
        crossed = now.mul_(RESOLUTION).round_().div_(RESOLUTION).sub_(level).trunc_()
        level += crossed
        frame = counts[:, step * timesteps // (len(places) - 1)]
        frame[:, ON] += crossed.clamp(0, MOST).int()
        frame[:, OFF] += crossed.neg_().clamp_(0, MOST).int()
    return counts.clamp_(max=MOST).to(torch.uint8)


def _shift_2d(wide: Tensor, edge: int, down: float, right: float) -> Tensor:
    """Shift `wide` [N, H, W] by a vector, and crop `edge` pixels on each side."""
    return _shift_1d(_shift_1d(wide, edge, down, 1), edge, right, 2)


def _shift_1d(wide: Tensor, edge: int, offset: float, dim: int) -> Tensor:
    """Shift `wide` by `offset` pixels along `dim` with linear interpolation, and crop its edges."""
    whole = math.floor(offset)
    part, length = offset - whole, wide.shape[dim] - 2 * edge
    near = wide.narrow(dim, edge - whole, length)
    far = wide.narrow(dim, edge - whole - 1, length)
    return near * (1 - part) + far * part
