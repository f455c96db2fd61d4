"""Colour jitter: brightness, contrast, saturation and hue, in a random order for each image.

The same functions as torchvision's `ColorJitter`, by batch. Three of the four are a blend of the
image with grey, which for each image is one of

    brightness    f x                      contrast    f x + (1 - f) mean(grey(x))
                                           saturation  f x + (1 - f) grey(x)

clipped to [0, 1]; so they are done for all images of a batch together, in as many steps as there
are operations, whatever the order of each image is.
"""

from __future__ import annotations

import torch
from torch import Tensor

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
OPERATIONS = ("brightness", "contrast", "saturation", "hue")
"""Their names, by number."""
LUMA = (0.2989, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601), as torchvision has them."""
RGB = 3
"""Channels of a colour image."""


def jittered(images: Tensor, order: Tensor, factor: Tensor, has_hue: bool) -> Tensor:
    """Images [B, C, H, W] in [0, 1], each under its own operations in its own order.

    `order` [4, B]: the operation at each place, by number. `factor` [4, B]: that of each operation,
    1 leaves the image as it is; a turn by a share of the circle for hue. Without `has_hue` no
    factor of hue is other than 0.
    """
    factor = factor.to(images.dtype)
    if not has_hue:
        return _blended(images, order, factor, torch.ones_like(order, dtype=torch.bool))
    place = (order == HUE).long().argmax(0)
    steps = torch.arange(len(order), device=order.device)[:, None]
    images = _blended(images, order, factor, steps < place)
    images = turned(images, factor[HUE])
    return _blended(images, order, factor, steps > place)


def grey(images: Tensor) -> Tensor:
    """[B, 1, H, W]: the grey of RGB images; the mean over channels of others."""
    if images.shape[1] != RGB:
        return images.mean(1, keepdim=True)
    red, green, blue = images.unbind(1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])[:, None]


def turned(images: Tensor, turn: Tensor) -> Tensor:
    """RGB images whose hue is turned by `turn` [B], in circles; exactly as they are by 0."""
    hue, saturation, value = _hsv(images)
    other = _rgb(hue + 6 * turn[:, None, None], saturation, value)
    return torch.where((turn == 0)[:, None, None, None], images, other)


def _blended(images: Tensor, order: Tensor, factor: Tensor, chosen: Tensor) -> Tensor:
    """The blends at the places that are `chosen` [4, B], one place after another."""
    neutral = torch.ones_like(factor[0])
    for operation, now in zip(order, chosen, strict=True):
        own = factor.gather(0, operation[None])[0]
        own = torch.where(now & (operation != HUE), own, neutral)[:, None, None, None]
        tone = grey(images)
        flat = torch.where(
            (operation == CONTRAST)[:, None, None, None], tone.mean((2, 3), True), tone
        )
        rest = (1 - own) * (operation != BRIGHTNESS)[:, None, None, None]
        images = (images * own).add_(flat * rest).clamp_(0, 1)
    return images


def _hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue (in sixths of the circle, from -1 to 5), saturation and value of RGB images [B, H, W]."""
    red, green, blue = images.unbind(1)
    high = torch.maximum(torch.maximum(red, green), blue)
    span = high - torch.minimum(torch.minimum(red, green), blue)
    plain = span == 0
    part = torch.where(plain, 1, span).reciprocal_()
    from_green = torch.where(high == green, 2 + (blue - red) * part, 4 + (red - green) * part)
    hue = torch.where(high == red, (green - blue) * part, from_green)
    return hue, span / torch.where(plain, 1, high), high


def _rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """RGB images [B, 3, H, W] of a hue in sixths of the circle.

    Channel n is v - v s max(0, min(k, 4 - k, 1)) with k = (n + h) mod 6 and n = 5, 3, 1.
    """
    chroma = value * saturation
    shades = []
    for n in (5, 3, 1):
        place = (hue + n) / 6
        k = (place - place.floor()).mul_(6)
        shades.append(value - torch.minimum(k, 4 - k).clamp_(0, 1).mul_(chroma))
    return torch.stack(shades, 1)
