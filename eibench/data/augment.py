"""Augmentation of training images, by batch, on the device that holds the batch.

In this order, each where its option is on:

    resized_crop  a random part, at least this share of the area, resized to the whole image,
                  bilinear (torchvision's `RandomResizedCrop`: sides of 3:4 to 4:3)
    crop          shift by whole pixels, up to `crop` along each axis, zeros moving in (the image
                  padded by `crop` zeros, then cut back to its size)
    flip          mirror left to right, half of the images
    roll          shift by whole pixels, up to `roll` along each axis, what leaves coming back
                  opposite
    rotate        by up to `rotate` degrees about the centre, bilinear, zeros moving in
    brightness, contrast, saturation, hue
                  torchvision's `ColorJitter`, the four in random order
    cutout        a square of `cutout` pixels set to zero, its centre anywhere in the image, clipped
                  at the border (DeVries and Taylor 2017)
    erase         with probability `erase`, a rectangle of 2 % of the area to `erase_area` set to
                  one 8-bit grey: area, ratio of its sides (0.4 to 2.5), place and grey even
    drop_frames   up to this share of a recording's frames, one after another, set to zero

With `one_of` each image gets one of `roll`, `rotate` and `cutout`, of those that are on.

All frames of a recording are moved alike. Without `resized_crop`, `rotate` and jitter, every value
stays exact.

Chance is drawn for a whole epoch at once, for each image of the split by its index, and the same
numbers whichever operations are on: so it depends neither on the batch size nor on the order of the
batches, and one operation more leaves the draws of the others as they were.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from eibench.data.base import as_float
from eibench.data.colour import OPERATIONS, RGB, color_jitter
from eibench.data.geometry import crop_and_resize, fill_box, rotate, shift_flip_roll, zero_square
from eibench.plan.options import InputOptions

DRAWS = 8
"""Random numbers per image from the main stream: two for crop, one for flip, two for roll, two
for cutout, one for rotate."""
STREAMS = ("resized_crop", "one_of", "jitter", "erase", "drop_frames")
"""Operations with a random stream of their own, in the order of their seeds; append new ones."""
ASPECT_RATIOS = (3 / 4, 4 / 3)
"""Range of width over height of a `resized_crop`, uniform on a log scale."""
MAX_ATTEMPTS = 10
"""Random crops tried before the centre of the image is used."""
MIN_ERASED_AREA = 0.02
ERASED_ASPECT_RATIOS = (0.4, 2.5)
"""Range of height over width of an erased rectangle."""
FRAMES = 5
"""Number of dimensions of a batch of recordings."""


class Augmentation(InputOptions):
    """Augmentation of training images; by default none. Lengths are in pixels, `rotate` in
    degrees."""

    @property
    def jitter(self) -> tuple[float, ...]:
        """Return the amounts of the colour operations, by number."""
        return tuple(getattr(self, name) for name in OPERATIONS)

    def draw(self, count: int, image: tuple[int, ...], stream: Generator) -> Draws | None:
        """Draw an epoch's random values for `count` images [..., H, W]; None without augmentation.

        Raises:
            ValueError: saturation or hue of images that are not RGB.
        """
        if not self.changed():
            return None
        if (self.saturation or self.hue) and image[-3] != RGB:
            raise ValueError(f"input.saturation and input.hue need RGB, not {image[-3]} channels")
        return Draws(self, _draw_values(self, count, (image[-2], image[-1]), stream))


@dataclass(frozen=True)
class Draws:
    """Random values of one epoch, by name, for each image in the last dimension.

    `shift` and `roll` [2, N], down and right; `mirrored` [N]; `centre` [2, N] of the cutout, row
    and column; `angle` [N], clockwise, in radians; `box` [4, N] of the resized crop and `hole` [4,
    N] of the erased rectangle, top, left, height and width, and its `grey` [N]; `order` and
    `factor` [4, N] of the colour operations; `gap` [2, N], which determines the dropped frames.
    """

    options: Augmentation
    values: dict[str, Tensor]

    def to(self, device: torch.device) -> Draws:
        """Return the values on `device`."""
        return Draws(self.options, {name: v.to(device) for name, v in self.values.items()})

    def apply(self, images: Tensor, chosen: Tensor, unit: float) -> Tensor:
        """Augment the images numbered `chosen` [B] of the split; return float32.

        `images` are [B, C, H, W] or [B, T, C, H, W]; in 8-bit ones `unit` represents 1.
        """
        options, form = self.options, images.shape
        own = {name: value[..., chosen] for name, value in self.values.items()}
        images = images.flatten(1, -3)  # frames as channels: they share one transform
        if options.resized_crop is not None:
            images = crop_and_resize(as_float(images, unit), own["box"])
        if options.crop or options.flip or options.roll:
            images = shift_flip_roll(images, own["shift"], own["mirrored"], own["roll"])
        images = as_float(images, unit)
        if options.rotate:
            turned = rotate(images, own["angle"])
            still = (own["angle"] == 0)[:, None, None, None]
            images = torch.where(still, images, turned) if options.one_of else turned
        if any(options.jitter):
            images = color_jitter(images, own["order"], own["factor"], options.hue > 0)
        if options.cutout:
            images = zero_square(images, own["centre"], options.cutout)
        if options.erase:
            images = fill_box(images, own["hole"], own["grey"])
        images = images.reshape(form)
        if options.drop_frames and len(form) == FRAMES:
            images = zero_frames(images, own["gap"], options.drop_frames)
        return images


def zero_frames(recordings: Tensor, gap: Tensor, share: float) -> Tensor:
    """Set some consecutive frames of recordings [B, T, C, H, W] to zero.

    `gap` [2, B] in [0, 1): the first chooses how many, from none to `share` of T; the second where.
    """
    frames = recordings.shape[1]
    lost = (gap[0] * (math.floor(share * frames) + 1)).floor()
    start = (gap[1] * (frames - lost + 1)).floor()
    place = torch.arange(frames, device=recordings.device) - start[:, None]
    kept = (place < 0) | (place >= lost[:, None])
    return recordings * kept[:, :, None, None, None]


def _draw_values(
    options: Augmentation, count: int, size: tuple[int, int], stream: Generator
) -> dict[str, Tensor]:
    """Draw the values of `Draws`; those with a stream of their own only if they are used."""
    u = _uniform(DRAWS, count, stream)
    crop, roll = options.crop, options.roll
    values = {
        "shift": _to_integers(u[0:2], 2 * crop + 1, 2 * crop + 1) - crop,
        "mirrored": u[2] >= 0.5,
        "roll": _to_integers(u[3:5], 2 * roll + 1, 2 * roll + 1) - roll,
        "centre": _to_integers(u[5:7], *size),
        "angle": (2 * u[7] - 1) * math.radians(options.rotate),
    }
    seeds = torch.randint(2**62, (len(STREAMS),), generator=stream).tolist()
    own = {name: Generator().manual_seed(seed) for name, seed in zip(STREAMS, seeds, strict=True)}
    if options.one_of:
        _choose_one(options, values, _uniform(1, count, own["one_of"])[0])
    if options.resized_crop is not None:
        values["box"] = _draw_crops(options.resized_crop, count, size, own["resized_crop"])
    if any(options.jitter):
        values |= _draw_jitter(options, count, own["jitter"])
    if options.erase:
        values |= _draw_erasures(options, count, size, own["erase"])
    if options.drop_frames:
        values["gap"] = _uniform(2, count, own["drop_frames"])
    return values


def _choose_one(options: Augmentation, values: dict[str, Tensor], u: Tensor) -> None:
    """Keep one of roll, rotate and cutout per image; a hole far outside the image covers
    nothing."""
    without = {
        "roll": ("roll", 0),
        "rotate": ("angle", 0),
        "cutout": ("centre", -2 * options.cutout),
    }
    names = [name for name in without if getattr(options, name)]
    chosen = (u * len(names)).floor()
    for i, name in enumerate(names):
        key, idle = without[name]
        values[key] = torch.where(chosen == i, values[key], idle)


def _draw_crops(least: float, count: int, size: tuple[int, int], stream: Generator) -> Tensor:
    """Draw random crops [4, N]: top, left, height and width, distributed as in torchvision.

    The area is uniform between `least` and 1; crops that do not fit into the image are drawn again.
    """
    height, width = size
    place = _uniform(2, count, stream)
    rows, columns = (
        torch.full((count,), x, dtype=torch.int64) for x in _centre_crop_size(height, width)
    )
    low, high = (math.log(side) for side in ASPECT_RATIOS)
    fallback = torch.ones(count, dtype=torch.bool)
    for _ in range(MAX_ATTEMPTS):
        u = _uniform(2, count, stream)
        area = (least + u[0] * (1 - least)) * height * width
        sides = (low + u[1] * (high - low)).exp()
        tall, wide = (area / sides).sqrt().round().long(), (area * sides).sqrt().round().long()
        fits = fallback & (tall > 0) & (tall <= height) & (wide > 0) & (wide <= width)
        rows, columns = torch.where(fits, tall, rows), torch.where(fits, wide, columns)
        fallback &= ~fits
    spare = torch.stack([height - rows, width - columns])
    start = torch.where(fallback, spare // 2, (place * (spare + 1)).floor().long())
    return torch.cat([start, torch.stack([rows, columns])])


def _centre_crop_size(height: int, width: int) -> tuple[int, int]:
    """Return height and width of the largest crop with an aspect within `ASPECT_RATIOS`."""
    if width < ASPECT_RATIOS[0] * height:
        return round(width / ASPECT_RATIOS[0]), width
    return height, min(width, round(height * ASPECT_RATIOS[1]))


def _draw_jitter(options: Augmentation, count: int, stream: Generator) -> dict[str, Tensor]:
    """Draw the order of the colour operations and the factor of each.

    Factors are between 1 - amount (at least 0) and 1 + amount; for hue, between -amount and amount.
    """
    places, u = _uniform(2 * len(OPERATIONS), count, stream).chunk(2)
    *amounts, hue = options.jitter
    low = _column([*(max(0.0, 1 - amount) for amount in amounts), -hue])
    high = _column([*(1 + amount for amount in amounts), hue])
    return {"order": places.argsort(0), "factor": low + u * (high - low)}


def _draw_erasures(
    options: Augmentation, count: int, size: tuple[int, int], stream: Generator
) -> dict[str, Tensor]:
    """Draw erased rectangles: `hole`, of height 0 where nothing is erased, and their `grey`."""
    u, (height, width) = _uniform(6, count, stream), size
    area = (MIN_ERASED_AREA + u[1] * (options.erase_area - MIN_ERASED_AREA)) * height * width
    sides = ERASED_ASPECT_RATIOS[0] + u[2] * (ERASED_ASPECT_RATIOS[1] - ERASED_ASPECT_RATIOS[0])
    tall = (area * sides).sqrt().floor().clamp(max=height)
    wide = (area / sides).sqrt().floor().clamp(max=width)
    top, left = (u[3] * (height - tall + 1)).floor(), (u[4] * (width - wide + 1)).floor()
    tall = torch.where(u[0] < options.erase, tall, 0)
    hole = torch.stack([top, left, tall, wide]).long()
    return {"hole": hole, "grey": (u[5] * 256).floor() / 255}


def _uniform(rows: int, count: int, stream: Generator) -> Tensor:
    """Draw [rows, count] uniform numbers from [0, 1)."""
    return torch.rand(rows, count, dtype=torch.float64, generator=stream)


def _to_integers(u: Tensor, *kinds: int) -> Tensor:
    """Convert uniform numbers to integers from 0 to below `kinds`, one bound per row of `u`."""
    return (u * _column([*kinds])).floor().long()


def _column(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]
