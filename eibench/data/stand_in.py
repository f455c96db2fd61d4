"""Random images in place of a data set whose files are not here, to time what training costs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from eibench.data.base import ImageData, Split
from eibench.plan.options import DataOptions

LARGEST_PIXEL, MOST_EVENTS = 255, 1


def stand_in(options: DataOptions, timesteps: int) -> ImageData | None:
    """Return random images in the shape and number of the data set of `options`.

    None where only its files can tell shape or number. A set of events has `timesteps` frames.
    """
    shape, counts = options.shape(), options.counts()
    if shape is None or counts is None:
        return None
    item = (timesteps, *shape.image) if options.events else shape.image
    most, unit = (MOST_EVENTS, 1.0) if options.events else (LARGEST_PIXEL, 255.0)
    splits = [Split(_images(n, item, most), torch.arange(n) % shape.classes, unit) for n in counts]
    return ImageData(tuple(map(str, range(shape.classes))), *splits)


def _images(count: int, item: tuple[int, ...], most: int) -> Tensor:
    """Return uint8 images [count, *item] that are all different and share most of their memory.

    Each is a window of one row of random bytes, a byte further than the one before.
    """
    size = math.prod(item)
    row = torch.randint(
        most + 1, (count + size - 1,), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    images: Tensor = row.unfold(0, size, 1).unflatten(1, item)
    return images
