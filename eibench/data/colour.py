"""Colour jitter: brightness, contrast, saturation and hue, in a random order for each image.

The functions are those of torchvision's `ColorJitter`, applied to a batch. Three of the four blend
the image with a grey image:

    brightness    f x                      contrast    f x + (1 - f) mean(grey(x))
                                           saturation  f x + (1 - f) grey(x)

clipped to [0, 1]. So a batch needs as many steps as there are operations, whatever the order of
each image.
"""

from __future__ import annotations

import torch
from torch import Tensor

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
OPERATIONS = ("brightness", "contrast", "saturation", "hue")
"""Names of the operations, by number."""
LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601), as in torchvision."""
RGB = 3
"""Number of channels of a colour image."""


def color_jitter(images: Tensor, order: Tensor, factor: Tensor, has_hue: bool) -> Tensor:
    """Apply to each image [B, C, H, W] in [0, 1] its own operations in its own order.

    `order` [4, B] holds the number of the operation at each place. `factor` [4, B] holds the factor
    of each operation: 1 leaves the image unchanged; hue is a rotation in turns. Without `has_hue`
    all factors of hue are 0.
    """
    factor = factor.to(images.dtype)
    if not has_hue:
        return _blend(images, order, factor, torch.ones_like(order, dtype=torch.bool))
    place = (order == HUE).long().argmax(0)
    steps = torch.arange(len(order), device=order.device)[:, None]
    images = _blend(images, order, factor, steps < place)
    images = rotate_hue(images, factor[HUE])
    return _blend(images, order, factor, steps > place)


def grey(images: Tensor) -> Tensor:
    """Return the grey [B, 1, H, W] of RGB images, or the mean over channels of others."""
    if images.shape[1] != RGB:
        return images.mean(1, keepdim=True)
    red, green, blue = images.unbind(1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])[:, None]


def rotate_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Rotate the hue of RGB images by `turn` [B], in turns; 0 leaves an image exactly unchanged."""
    hue, saturation, value = _hsv(images)
    other = _rgb(hue + 6 * turn[:, None, None], saturation, value)
    return torch.where((turn == 0)[:, None, None, None], images, other)


def _blend(images: Tensor, order: Tensor, factor: Tensor, chosen: Tensor) -> Tensor:
    """Apply the blends at the `chosen` [4, B] places, one place after another."""
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
    """Return hue (in sixths of a turn, from -1 to 5), saturation and value [B, H, W] of RGB
    images."""
    red, green, blue = images.unbind(1)
    high = torch.maximum(torch.maximum(red, green), blue)
    span = high - torch.minimum(torch.minimum(red, green), blue)
    plain = span == 0
    part = torch.where(plain, 1, span).reciprocal_()
    from_green = torch.where(high == green, 2 + (blue - red) * part, 4 + (red - green) * part)
    hue = torch.where(high == red, (green - blue) * part, from_green)
    return hue, span / torch.where(plain, 1, high), high


def _rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Return RGB images [B, 3, H, W] of a hue in sixths of a turn.

    Channel n is v - v s max(0, min(k, 4 - k, 1)) with k = (n + h) mod 6 and n = 5, 3, 1.
    """
    chroma = value * saturation
    shades = []
    for n in (5, 3, 1):
        place = (hue + n) / 6
        k = (place - place.floor()).mul_(6)
        shades.append(value - torch.minimum(k, 4 - k).clamp_(0, 1).mul_(chroma))
    return torch.stack(shades, 1)
