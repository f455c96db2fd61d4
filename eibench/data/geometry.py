"""Geometric augmentation of images [B, C, H, W], each with its own parameters.

Every function processes a batch on its device; an image's result does not depend on the others.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def crop_and_resize(images: Tensor, box: Tensor) -> Tensor:
    """Crop float images to `box` and resize the crop to the original size, bilinear.

    `box` [4, B] holds top, left, height and width. Beyond its border the box's outermost pixels are
    repeated, as in torchvision's `resized_crop`.
    """
    height, width = images.shape[-2:]
    top, bottom, share_down = _neighbours(height, box[0], box[2])
    left, right, share_right = _neighbours(width, box[1], box[3])
    flat, share = images.flatten(2), share_right[:, None, None, :]

    def row(rows: Tensor) -> Tensor:
        """Interpolate along the rows numbered `rows` [B, H]."""
        ends = [(rows[:, :, None] * width + c[:, None, :]).flatten(1) for c in (left, right)]
        first, last = (flat.gather(2, i[:, None].expand_as(flat)).view_as(images) for i in ends)
        return first.lerp_(last, share)

    return row(top).lerp_(row(bottom), share_down[:, None, :, None])


def shift_flip_roll(images: Tensor, shift: Tensor, mirrored: Tensor, roll: Tensor) -> Tensor:
    """Shift, then mirror, then roll images, in one gather.

    `shift` and `roll` [2, B] are pixels down and right; `mirrored` [B] is bool.
    """
    height, width = images.shape[-2:]
    rows, columns = _places(height, roll[0]), _places(width, roll[1])
    columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
    rows, columns = rows - shift[0][:, None], columns - shift[1][:, None]
    inside = _outer(_within(rows, height), _within(columns, width))
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    # one flat index over the pixels was the fastest of eight variants on a CPU
    source = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)[:, None]
    flat = images.flatten(2)
    return flat.gather(2, source.expand_as(flat)).view_as(images).mul_(inside)


def rotate(images: Tensor, angle: Tensor) -> Tensor:
    """Rotate images clockwise by `angle` [B], in radians, about their centre."""
    height, width = images.shape[-2:]
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # inverse map: the source of each pixel, in coordinates from -1 to 1 along both axes
    down = torch.stack([cos, sin * height / width, zero], 1)
    right = torch.stack([-sin * width / height, cos, zero], 1)
    turn = torch.stack([down, right], 1).to(images.dtype)
    grid = affine_grid(turn, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def zero_square(images: Tensor, centre: Tensor, side: int) -> Tensor:
    """Set a square of `side` pixels to zero, starting `side // 2` before `centre`.

    `centre` [2, B] holds row and column.
    """
    start = centre - side // 2
    side_of_each = torch.full_like(start, side)
    return images * ~_rectangle(images, torch.cat([start, side_of_each]))


def fill_box(images: Tensor, box: Tensor, grey: Tensor) -> Tensor:
    """Set the values in `box` [4, B] (top, left, height, width) to `grey` [B]."""
    grey = grey.to(images.dtype)[:, None, None, None]
    return torch.where(_rectangle(images, box), grey, images)


def _rectangle(images: Tensor, box: Tensor) -> Tensor:
    """Return [B, 1, H, W], True inside `box` [4, B], which may reach beyond the border."""
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device) - box[0][:, None]
    columns = torch.arange(width, device=images.device) - box[1][:, None]
    return _outer(_within(rows, box[2][:, None]), _within(columns, box[3][:, None]))


def _neighbours(size: int, start: Tensor, extent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pixels before and after each sampling point, and the weight of the latter [B,
    size].

    `size` points are spread over `extent` pixels from `start` [B]. Point i lies at (i + 1/2) extent
    / size - 1/2, clamped to the first and last pixel.
    """
    places = torch.arange(size, device=start.device) + 0.5
    extent = extent[:, None].double()
    last = extent - 1
    source = (places * extent / size - 0.5).clamp(min=0).minimum(last)
    before = source.floor()
    after = (before + 1).minimum(last)
    share = (source - before).float()
    return before.long() + start[:, None], after.long() + start[:, None], share


def _places(size: int, roll: Tensor) -> Tensor:
    """Return the source of each of `size` positions under `roll` [B]: [B, size]."""
    return (torch.arange(size, device=roll.device) - roll[:, None]) % size


def _within(places: Tensor, size: int | Tensor) -> Tensor:
    return (places >= 0) & (places < size)


def _outer(rows: Tensor, columns: Tensor) -> Tensor:
    """Return [B, 1, H, W], True where both [B, H] and [B, W] are."""
    return (rows[:, :, None] & columns[:, None, :])[:, None]
