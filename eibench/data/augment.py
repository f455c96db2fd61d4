"""Augmentation of training images, by batch, on the device that holds the batch.

In this order, each where its option is on:

    crop     shift by whole pixels, up to `crop` along each axis, zeros moving in (the image padded
             by `crop` zeros, then cut back to its size)
    flip     mirror left to right, half of the images
    roll     shift by whole pixels, up to `roll` along each axis, what leaves coming back opposite
    rotate   by up to `rotate` degrees about the centre, bilinear, zeros moving in
    cutout   a square of `cutout` pixels set to zero, its centre anywhere in the image, clipped at
             the border (DeVries and Taylor 2017)

All frames of a recording are moved alike. Without `rotate`, every value stays exact.

Chance is drawn for a whole epoch at once, for each image of the split by its index, and the same
numbers whichever operations are on: so it depends neither on the batch size nor on the order of the
batches, and one operation more leaves the draws of the others as they were.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample

from eibench.data.base import as_float

DRAWS = 8
"""Random numbers of an image: two for crop, one for flip, two for roll, two for cutout, one for
rotate."""


@dataclass(frozen=True)
class Augmentation:
    """What is done to training images; nothing unless asked for. Pixels, degrees for `rotate`."""

    crop: int = 0
    flip: bool = False
    rotate: float = 0.0
    roll: int = 0
    cutout: int = 0

    def draw(self, count: int, image: tuple[int, ...], stream: Generator) -> Draws | None:
        """An epoch's chance for `count` images [..., H, W]; None where nothing is to be done."""
        if not any(astuple(self)):
            return None
        height, width = image[-2:]
        u = torch.rand(DRAWS, count, dtype=torch.float64, generator=stream)
        whole = [2 * self.crop + 1] * 2 + [2] + [2 * self.roll + 1] * 2 + [height, width]
        first = [self.crop] * 2 + [0] + [self.roll] * 2 + [0, 0]
        table = (u[:-1] * _column(whole)).floor() - _column(first)
        return Draws(self, table.long(), (2 * u[-1] - 1) * math.radians(self.rotate))


@dataclass(frozen=True)
class Draws:
    """One epoch's chance.

    `table` [7, N]: rows of whole numbers: shift down and right, mirrored or not, roll down and
    right, row and column of the hole's centre. `angle` [N]: clockwise, in radians.
    """

    options: Augmentation
    table: Tensor
    angle: Tensor

    def to(self, device: torch.device) -> Draws:
        """The same on `device`."""
        return Draws(self.options, self.table.to(device), self.angle.to(device))

    def apply(self, images: Tensor, chosen: Tensor, unit: float) -> Tensor:
        """The images numbered `chosen` [B] of the split, augmented, as float32.

        `images` are [B, C, H, W] or [B, T, C, H, W]; of 8-bit ones, `unit` stands for 1.
        """
        options, form = self.options, images.shape
        table, angle = self.table[:, chosen], self.angle[chosen]
        images = images.flatten(1, -3)  # a recording's frames are channels that move together
        if options.crop or options.flip or options.roll:
            images = moved(images, table[0:2], table[2] == 1, table[3:5])
        images = as_float(images, unit)
        if options.rotate:
            images = rotated(images, angle)
        if options.cutout:
            images = cut(images, table[5:7], options.cutout)
        return images.view(form)


def moved(images: Tensor, shift: Tensor, mirrored: Tensor, roll: Tensor) -> Tensor:
    """Images [B, C, H, W] shifted, then mirrored, then rolled, in one gather.

    `shift` and `roll` [2, B]: pixels down and right; `mirrored` [B], bool.
    """
    height, width = images.shape[-2:]
    rows, columns = _places(height, roll[0]), _places(width, roll[1])
    columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
    rows, columns = rows - shift[0][:, None], columns - shift[1][:, None]
    inside = _outer(_within(rows, height), _within(columns, width))
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    # one flat index over the pixels: of eight ways that were timed, the fastest on a CPU
    source = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)[:, None]
    flat = images.flatten(2)
    return flat.gather(2, source.expand_as(flat)).view_as(images).mul_(inside)


def rotated(images: Tensor, angle: Tensor) -> Tensor:
    """Images [B, C, H, W] turned clockwise by `angle` [B], in radians, about their centre."""
    height, width = images.shape[-2:]
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # where each pixel comes from, in coordinates that run from -1 to 1 along both axes
    down = torch.stack([cos, sin * height / width, zero], 1)
    right = torch.stack([-sin * width / height, cos, zero], 1)
    turn = torch.stack([down, right], 1).to(images.dtype)
    grid = affine_grid(turn, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def cut(images: Tensor, centre: Tensor, side: int) -> Tensor:
    """Images [B, C, H, W] with a square of zeros: `side` pixels from `side // 2` before `centre`.

    `centre` [2, B]: row and column.
    """
    height, width = images.shape[-2:]
    start = centre - side // 2
    rows = torch.arange(height, device=images.device) - start[0][:, None]
    columns = torch.arange(width, device=images.device) - start[1][:, None]
    return images * ~_outer(_within(rows, side), _within(columns, side))


def _places(size: int, roll: Tensor) -> Tensor:
    """Where each of `size` places comes from under `roll` [B]: [B, size]."""
    return (torch.arange(size, device=roll.device) - roll[:, None]) % size


def _within(places: Tensor, size: int) -> Tensor:
    return (places >= 0) & (places < size)


def _outer(rows: Tensor, columns: Tensor) -> Tensor:
    """[B, 1, H, W], true where both [B, H] and [B, W] are."""
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _column(values: list[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]
