"""Events without a camera: a still image moves before simulated event pixels.

The protocol is that of N-MNIST (Orchard et al., 2015): three saccades along an isosceles triangle
that end where they began. The pixels are those of ESIM (Rebecq et al., 2018), without noise: a
pixel remembers a level of log light, and emits an event for each `contrast` by which log light has
left it, which then becomes the new level. Nothing is drawn at random.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from eibench.data.frames import MOST

OFF, ON = 0, 1
"""Channels of a frame: the light fell, the light rose."""
FINEST = 2**20
"""Log light is known to so small a part of `contrast`: light that comes back to what it was, is
what it was, on every machine, although it was computed in other ways."""
CHUNK = 512
"""Images that are moved at once."""


def triangle(amplitude: float, saccades: int, steps: int) -> Tensor:
    """Where the image is, in pixels (down, right) of its middle: [saccades * steps + 1, 2].

    From the top left of a square of side `amplitude` to the middle of its lower side, to its top
    right, and back; each saccade in `steps` equal steps.
    """
    half = amplitude / 2
    corners = torch.tensor([(-half, -half), (half, 0.0), (-half, half)], dtype=torch.float64)
    turns = corners[torch.arange(saccades + 1) % len(corners)]
    share = torch.arange(1, steps + 1, dtype=torch.float64).view(1, -1, 1) / steps
    between = (1 - share) * turns[:-1, None] + share * turns[1:, None]
    return torch.cat([turns[:1], between.flatten(0, 1)])


def record(
    images: Tensor, path: Tensor, timesteps: int, contrast: float, margin: int, dark: float
) -> Tensor:
    """The events of images [N, C, H, W] in [0, 1] that move along `path` [K + 1, 2] at a steady
    pace: counts uint8 [N, T, 2, H + 2 margin, W + 2 margin] in T equal spans of time.

    Light is the mean over channels, moved by bilinear interpolation over black; a pixel sees
    log(light + dark).

    Raises:
        ValueError: the path has fewer than T steps.
    """
    if len(path) - 1 < timesteps:
        raise ValueError(f"{len(path) - 1} steps of the image are too few for {timesteps} frames")
    chunks = [
        _record(chunk.mean(1, dtype=torch.float64), path, timesteps, contrast, margin, dark)
        for chunk in images.split(CHUNK)
    ]
    return torch.cat(chunks)


def _record(
    light: Tensor, path: Tensor, timesteps: int, contrast: float, margin: int, dark: float
) -> Tensor:
    """`record` of a few images; light [N, H, W]."""
    reach = margin + math.ceil(float(path.abs().max())) + 1
    wide = pad(light, (reach,) * 4)
    places = path.tolist()
    start = _seen(wide, reach - margin, *places[0]).add_(dark).log_()
    level = torch.zeros_like(start)  # in whole contrasts above `start`: rounding cannot add up
    counts = torch.zeros(len(light), timesteps, 2, *start.shape[1:], dtype=torch.int32)
    for step, place in enumerate(places[1:]):
        now = _seen(wide, reach - margin, *place).add_(dark).log_().sub_(start).div_(contrast)
        crossed = now.mul_(FINEST).round_().div_(FINEST).sub_(level).trunc_()
        level += crossed
        frame = counts[:, step * timesteps // (len(places) - 1)]
        frame[:, ON] += crossed.clamp(0, MOST).int()
        frame[:, OFF] += crossed.neg_().clamp_(0, MOST).int()
    return counts.clamp_(max=MOST).to(torch.uint8)


def _seen(wide: Tensor, edge: int, down: float, right: float) -> Tensor:
    """What is seen of `wide` [N, H, W] without `edge` pixels on each side, when it is moved."""
    return _slide(_slide(wide, edge, down, 1), edge, right, 2)


def _slide(wide: Tensor, edge: int, offset: float, dim: int) -> Tensor:
    """`wide` moved by `offset` pixels along `dim`, linearly interpolated, without its edges."""
    whole = math.floor(offset)
    part, length = offset - whole, wide.shape[dim] - 2 * edge
    near = wide.narrow(dim, edge - whole, length)
    far = wide.narrow(dim, edge - whole - 1, length)
    return near * (1 - part) + far * part
