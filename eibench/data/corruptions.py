"""Corruptions of test images, as in Hendrycks and Dietterich (2019), with a number for strength.

    contrast        f (x - mean) + mean, the mean that of each channel of each image
    brightness      x + b
    gaussian_noise  x + sigma n, n standard normal
    impulse_noise   a share p of all values set to 0 or 1, half each
    gaussian_blur   convolution with a Gaussian of sigma pixels, borders repeated
    occlusion       a rectangle of zeros over a share p of the area, anywhere within the image

All are clipped to [0, 1]. Chance is drawn on the CPU, so it is the same on every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from eibench.data.geometry import fill_box

WIDTH = 4.0
"""Standard deviations of a blur on each side of its centre."""


def contrast(images: Tensor, factor: float, chance: Generator) -> Tensor:
    """Scale the difference to the mean of each channel."""
    mean = images.mean((2, 3), keepdim=True)
    return (images - mean) * factor + mean


def brightness(images: Tensor, amount: float, chance: Generator) -> Tensor:
    """Add a number to every pixel."""
    return images + amount


def gaussian_noise(images: Tensor, deviation: float, chance: Generator) -> Tensor:
    """Add independent normal noise."""
    return images + deviation * torch.randn(images.shape, generator=chance).to(images.device)


def impulse_noise(images: Tensor, share: float, chance: Generator) -> Tensor:
    """Set a share of all values to 0 or 1."""
    u = torch.rand(images.shape, generator=chance).to(images.device)
    return torch.where(u < share, (u < share / 2).to(images.dtype), images)


def gaussian_blur(images: Tensor, deviation: float, chance: Generator) -> Tensor:
    """Blur along both axes, one after the other; no wider than the image."""
    for axis in (2, 3):
        reach = min(math.ceil(WIDTH * deviation), images.shape[axis] - 1)
        place = torch.arange(-reach, reach + 1, dtype=torch.float64)
        kernel = torch.exp(-0.5 * (place / deviation) ** 2)
        kernel = (kernel / kernel.sum()).to(images)
        shape = [1, 1, -1, 1] if axis == 2 else [1, 1, 1, -1]
        pad = [0, 0, reach, reach] if axis == 2 else [reach, reach, 0, 0]
        flat = F.pad(images.flatten(0, 1)[:, None], pad, mode="replicate")
        images = F.conv2d(flat, kernel.view(shape)).view(images.shape)
    return images


def occlusion(images: Tensor, share: float, chance: Generator) -> Tensor:
    """Set a rectangle with the image's ratio of sides to zero, its place drawn for each image."""
    batch, _, *sizes = images.shape
    size = [round(math.sqrt(share) * n) for n in sizes]
    u = torch.rand(2, batch, generator=chance)
    start = [(u[i] * (sizes[i] - size[i] + 1)).floor().long() for i in range(2)]
    box = torch.stack([*start, *(torch.full((batch,), n) for n in size)])
    return fill_box(images, box.to(images.device), images.new_zeros(batch))


CORRUPTIONS: Mapping[str, Callable[[Tensor, float, Generator], Tensor]] = {
    function.__name__: function
    for function in (
        contrast,
        brightness,
        gaussian_noise,
        impulse_noise,
        gaussian_blur,
        occlusion,
    )
}
"""By the name of the condition."""


def corrupt(
    images: Tensor, strengths: Mapping[str, float], chance: Callable[[str], Generator]
) -> Tensor:
    """Return images [B, C, H, W] in [0, 1] under corruptions, one after another.

    Args:
        images: float images.
        strengths: a number for each corruption.
        chance: gives the random stream of a corruption by its name.
    """
    for name, strength in strengths.items():
        images = CORRUPTIONS[name](images, strength, chance(name)).clamp(0, 1)
    return images
