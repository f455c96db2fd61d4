"""Every kind of picture that Pillow reads: its pixels by hand, or the reason of refusal."""

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eibench.data import DataError
from eibench.data.pixels import read_pixels

HALF, CLEAR, SOLID = (255, 0, 0, 128), (10, 20, 30, 0), (40, 50, 60, 255)
"""Half-transparent red, full transparency over a colour, a colour: beside one another."""
ON_WHITE = [[255, 127, 127], [255, 255, 255], [40, 50, 60]]


def rgba():
    return Image.fromarray(np.array([[HALF, CLEAR, SOLID]], np.uint8), "RGBA")


def pixels(image, name="a.png", **options):
    image.save(name, **options)
    return read_pixels(name).tolist()


def refusal(name):
    with pytest.raises(DataError) as caught:
        read_pixels(name)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(f"{name}: ")
    return str(caught.value).removeprefix(f"{name}: ")


# ------------------------------------------------------------------------------ transparency


@pytest.mark.parametrize("form", ["png", "webp", "tiff"])
def test_rgba_is_put_on_white(form):
    options = {"lossless": True, "exact": True} if form == "webp" else {}
    assert np.abs(np.array(pixels(rgba(), f"a.{form}", **options)[0]) - ON_WHITE).max() <= 1


def test_grey_with_transparency():
    image = Image.fromarray(np.array([[[0, 255], [0, 0], [100, 51]]], np.uint8), "LA")
    assert pixels(image)[0] == [[0] * 3, [255] * 3, [224] * 3]  # 255 - 0.2 * 155


def test_premultiplied_colour(monkeypatch):
    """As TIFF may store it: 64 of 128 is half grey, half seen."""
    image = Image.frombytes("RGBa", (1, 1), bytes([64, 64, 64, 128]))
    monkeypatch.setattr(Image, "open", lambda _, formats: image)
    Path("a.tiff").touch()
    assert abs(read_pixels("a.tiff")[0, 0, 0] - (255 - 0.5 * 128)) <= 1


@pytest.mark.parametrize("mode", ["La", "PA"])
def test_other_modes_with_alpha(mode, monkeypatch):
    image = Image.new("LA" if mode == "La" else mode, (2, 1))
    if mode == "La":
        image.putdata([(0, 0), (0, 255)])
        image = image.convert("La")
    else:
        image.putpalette([0, 0, 0, 0, 0, 0])
        image.putdata([(0, 0), (1, 255)])
    monkeypatch.setattr(Image, "open", lambda _, formats: image)
    Path("a.png").touch()
    assert read_pixels("a.png").tolist() == [[[255] * 3, [0] * 3]]


def test_a_palette_with_one_clear_colour():
    image = Image.new("P", (2, 1))
    image.putpalette([9, 9, 9, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert pixels(image, transparency=0)[0] == [[255] * 3, [200, 100, 50]]


def test_a_palette_with_half_clear_colours():
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert pixels(image, transparency=bytes([51, 255]))[0] == [[204] * 3, [200, 100, 50]]


@pytest.mark.parametrize(("mode", "clear"), [("L", 7), ("RGB", (7, 7, 7)), ("1", 1)])
def test_a_clear_colour_without_alpha(mode, clear):
    """tRNS: of grey, of RGB and of one bit."""
    image = Image.new(mode, (2, 1), 0)
    image.putpixel((1, 0), clear)
    assert pixels(image, transparency=clear) == [[[0] * 3, [255] * 3]]


def test_opaque_alpha_changes_nothing():
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    image = Image.fromarray(colours)
    image.putalpha(255)
    assert pixels(image) == colours.tolist()


def test_black_icons_keep_their_shape():
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (1, 1, 3, 3))
    found = np.array(pixels(image))
    assert found[1:3, 1:3].max() == 0 and (found == 0).sum() == 12


def test_white_icons_are_refused():
    image = Image.new("RGBA", (4, 4), (255, 255, 255, 0))
    image.paste((255, 255, 255, 255), (1, 1, 3, 3))
    image.save("a.png")
    assert refusal("a.png").startswith("is white on transparency")


def test_an_empty_picture_is_white():
    assert pixels(Image.new("RGBA", (1, 1), (0, 0, 0, 0))) == [[[255] * 3]]


# ---------------------------------------------------------------------------- other modes


def test_one_bit():
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert pixels(image)[0] == [[0] * 3, [255] * 3]


def test_inks():
    image = Image.new("CMYK", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 255, 255, 0))
    found = np.array(pixels(image, "a.jpg", quality=100, subsampling=0)[0])
    assert np.abs(found - [[255] * 3, [255, 0, 0]]).max() <= 2


@pytest.mark.parametrize("value", [32768, 65535, 256])
def test_sixteen_bits_are_refused(value):
    Image.fromarray(np.full((2, 2), value, np.uint16)).save("a.png")
    assert refusal("a.png").startswith("has more than 8 bits for a channel")


def test_floats_are_refused():
    Image.fromarray(np.ones((2, 2), np.float32)).save("a.tiff")
    assert refusal("a.tiff").startswith("has more than 8 bits for a channel")


@pytest.mark.parametrize("form", ["png", "webp", "tiff"])
def test_animations_and_pages_are_refused(form):
    frames = [Image.new("RGB", (2, 2), (i, 0, 0)) for i in (0, 100, 200)]
    frames[0].save(f"a.{form}", save_all=True, append_images=frames[1:])
    assert refusal(f"a.{form}") == "holds 3 pictures, an animation or pages; keep one"


def test_the_photograph_of_a_phone_is_the_first_picture():
    first, depth = Image.new("RGB", (8, 8), (200, 0, 0)), Image.new("RGB", (4, 4))
    first.save("a.jpg", "MPO", save_all=True, append_images=[depth])
    found = read_pixels("a.jpg")
    assert found.shape == (8, 8, 3) and abs(int(found[0, 0, 0]) - 200) < 4


# --------------------------------------------------------------------------------- EXIF


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation):
    """A corner that a viewer shows at the top left stands there."""
    upright = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    inverse = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a.T, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(inverse(upright))).save("a.png", exif=exif)
    assert np.array_equal(read_pixels("a.png")[..., 0], upright)


def test_damaged_exif_is_no_part_of_the_picture():
    image = Image.new("RGB", (8, 8), (50, 60, 70))
    image.save("a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xff" * 40)
    assert read_pixels("a.jpg").shape == (8, 8, 3)


# --------------------------------------------------------------------------------- damage


def test_long_and_thin_pictures():
    Image.new("RGB", (60000, 1)).save("a.png")
    with pytest.raises(DataError, match="is 1x60000, too long and thin for size 224"):
        read_pixels("a.png", 224)
    assert read_pixels("a.png", 8).shape == (8, 8, 3)


def test_a_fifo_never_answers():
    os.mkfifo("a.png")
    assert refusal("a.png") == "not a readable image (it is no regular file)"


@pytest.mark.parametrize("form", ["png", "jpg", "bmp", "tiff", "webp", "ppm"])
@pytest.mark.filterwarnings("ignore")
def test_whatever_is_wrong_with_a_file_is_a_message(form):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)).save(f"a.{form}")
    path = Path(f"a.{form}")
    whole = path.read_bytes()
    for trial in range(60):
        content = bytearray(whole[: rng.integers(len(whole))] if trial % 4 == 0 else whole)
        for place in rng.integers(0, max(1, min(len(content), 80)), 6 if content else 0):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        with contextlib.suppress(DataError):
            assert read_pixels(str(path)).shape[2] == 3


def test_no_program_is_started_for_a_file():
    """PostScript is a program, which Pillow has Ghostscript run."""
    Path("a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n{} loop\n")
    assert "cannot identify image file" in refusal("a.png")
