"""Image files as 8-bit RGB, as a viewer shows them on a white page.

    1-bit, grey, palette, CMYK, YCbCr, LAB        as Pillow converts them to RGB
    transparency (LA, PA, RGBA, RGBa, tRNS)       composed on white
    orientation in EXIF                           applied
    several pictures in one file (MPO)            the first, which is the photograph

Rejected with a message: more than 8 bits per grey value (conversion would clip them), animations
and files of several pages, white pictures on transparency (on white nothing of them is left), and
files that are damaged, not images, or not regular.
"""

from __future__ import annotations

import os
import stat

import numpy as np
import torch
from PIL import Image, ImageChops, ImageOps
from torch import Tensor

from eibench.errors import DataError

WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that are read, whatever a file's extension. For others Pillow may start another
program, such as Ghostscript for PostScript. MPO is read as JPEG."""
SEVERAL = ("MPO",)
"""Formats of photographs that carry previews or depth maps after the picture."""
LARGEST = 2**28
"""Maximal number of pixels after resizing, before the centre is cropped."""


def read_image(path: str, size: int | None = None) -> Tensor:
    """Read the image at `path` as uint8 [3, H, W], or [3, size, size] with a `size`.

    Raises:
        DataError: it is damaged, or not a readable image.
    """
    return torch.from_numpy(read_pixels(path, size).copy()).permute(2, 0, 1)


def read_pixels(path: str, size: int | None = None) -> np.ndarray:
    """Read the image at `path` as a read-only array [H, W, 3]; see `read_image`."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a FIFO or device may block
            raise DataError(f"{path}: not a readable image (it is no regular file)")
        with Image.open(path, formats=FORMATS) as image:
            picture = _rgb(path, image)
            if size is not None:
                picture = _square(path, picture, size)
            return np.asarray(picture)
    except DataError:
        raise
    except Exception as error:  # Pillow raises many types for damaged files
        text = str(error) or type(error).__name__
        raise DataError(f"{path}: not a readable image ({text})") from None


def _rgb(path: str, image: Image.Image) -> Image.Image:
    """Return the picture in RGB."""
    if image.mode.startswith(("I", "F")):
        raise DataError(f"{path}: has more than 8 bits for a channel ({image.mode})")
    pictures = getattr(image, "n_frames", 1)
    if pictures > 1 and image.format not in SEVERAL:
        raise DataError(f"{path}: holds {pictures} pictures, an animation or pages; keep one")
    image.load()
    _turn_upright(image)
    if image.mode in WITH_ALPHA or "transparency" in image.info:
        return _on_white(path, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _turn_upright(image: Image.Image) -> None:
    """Apply the orientation in EXIF; ignore a damaged one."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:
        return


def _on_white(path: str, image: Image.Image) -> Image.Image:
    """Compose an image with transparency on white.

    Raises:
        DataError: its visible part is white.
    """
    straight = image.convert("LA") if image.mode == "La" else image
    straight = straight.convert("RGBA")
    low, high = straight.getchannel("A").getextrema()
    page = Image.new("RGBA", image.size, "white")
    page.alpha_composite(straight)
    picture = page.convert("RGB")
    if low != high and not ImageChops.invert(picture).getbbox():
        raise DataError(
            f"{path}: is white on transparency, and nothing of it is left on a white page; give it "
            "a background"
        )
    return picture


def _square(path: str, picture: Image.Image, size: int) -> Image.Image:
    """Resize the shorter side of `picture` to `size`, and crop the centre square."""
    from torchvision.transforms.functional import center_crop, resize

    shorter, longer = sorted(picture.size)
    if size * size * longer > LARGEST * shorter:
        raise DataError(
            f"{path}: is {picture.height}x{picture.width}, too long and thin for size {size}"
        )
    square: Image.Image = center_crop(resize(picture, size), [size, size])
    return square
