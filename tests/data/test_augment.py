"""Augmentation: every operation against a plain loop over images and pixels, and the dependence
of random values on seed, epoch and image only."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eibench.data import Split
from eibench.data.augment import Augmentation
from eibench.data.batches import evaluation_batches, training_batches
from eibench.data.geometry import rotate, shift_flip_roll, zero_square

ALL = Augmentation(crop=2, flip=True, rotate=20.0, roll=3, cutout=3)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def random_images(count, channels, height, width, dtype=torch.uint8, seed=0):
    images = torch.randint(0, 256, (count, channels, height, width), generator=generator(seed))
    return images.to(dtype) if dtype == torch.uint8 else images.to(dtype) / 255


def whole(count, low, high, seed):
    """[2, count] whole numbers from `low` to `high`."""
    return torch.randint(low, high + 1, (2, count), generator=generator(seed))


# ------------------------------------------------------------------- plain loops, pixel by pixel


def loop_moved(images, shift, mirrored, roll):
    """Shift with zeros, then mirror, then roll, of one image after another."""
    out = torch.zeros_like(images)
    height, width = images.shape[-2:]
    for b, image in enumerate(images):
        shifted = torch.zeros_like(image)
        for y in range(height):
            for x in range(width):
                from_y, from_x = y - int(shift[0, b]), x - int(shift[1, b])
                if 0 <= from_y < height and 0 <= from_x < width:
                    shifted[:, y, x] = image[:, from_y, from_x]
        turned = shifted.flip(-1) if mirrored[b] else shifted
        out[b] = turned.roll((int(roll[0, b]), int(roll[1, b])), (-2, -1))
    return out


def loop_cut(images, centre, side):
    out = images.clone()
    height, width = images.shape[-2:]
    for b in range(len(images)):
        top, left = int(centre[0, b]) - side // 2, int(centre[1, b]) - side // 2
        for y in range(max(top, 0), min(top + side, height)):
            for x in range(max(left, 0), min(left + side, width)):
                out[b, :, y, x] = 0
    return out


def loop_rotated(images, angle):
    """Each pixel looks up where it comes from, clockwise about the centre, in float64."""
    out = torch.zeros_like(images, dtype=torch.float64)
    height, width = images.shape[-2:]

    def pixel(image, y, x):
        inside = 0 <= y < height and 0 <= x < width
        return image[:, y, x] if inside else torch.zeros(len(image), dtype=torch.float64)

    for b, image in enumerate(images.double()):
        cos, sin = math.cos(angle[b]), math.sin(angle[b])
        for y in range(height):
            for x in range(width):
                down, right = y - (height - 1) / 2, x - (width - 1) / 2
                from_x = cos * right + sin * down + (width - 1) / 2
                from_y = -sin * right + cos * down + (height - 1) / 2
                top, left = math.floor(from_y), math.floor(from_x)
                share_y, share_x = from_y - top, from_x - left
                out[b, :, y, x] = (
                    (1 - share_y) * (1 - share_x) * pixel(image, top, left)
                    + (1 - share_y) * share_x * pixel(image, top, left + 1)
                    + share_y * (1 - share_x) * pixel(image, top + 1, left)
                    + share_y * share_x * pixel(image, top + 1, left + 1)
                )
    return out


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@given(
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    crop=st.integers(0, 9),
    roll=st.integers(0, 9),
    seed=st.integers(0, 10**6),
)
def test_crop_flip_and_roll_agree_with_a_loop(dtype, height, width, crop, roll, seed):
    images = random_images(5, 2, height, width, dtype, seed)
    shift, turn = whole(5, -crop, crop, seed), whole(5, -roll, roll, seed + 1)
    mirrored = torch.rand(5, generator=generator(seed)) < 0.5
    seen = shift_flip_roll(images, shift, mirrored, turn)
    assert seen.dtype == dtype
    assert torch.equal(seen, loop_moved(images, shift, mirrored, turn))


@given(
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    side=st.integers(1, 12),
    seed=st.integers(0, 10**6),
)
def test_cutout_agrees_with_a_loop(height, width, side, seed):
    images = random_images(4, 2, height, width, torch.float32, seed)
    row = torch.randint(0, height, (4,), generator=generator(seed))
    column = torch.randint(0, width, (4,), generator=generator(seed + 1))
    centre = torch.stack([row, column])
    assert torch.equal(zero_square(images, centre, side), loop_cut(images, centre, side))


@pytest.mark.parametrize(("height", "width"), [(6, 6), (5, 8), (9, 4), (1, 3)])
def test_rotation_agrees_with_a_loop(height, width):
    images = random_images(6, 2, height, width, torch.float32)
    degrees = torch.tensor([0.0, 10.0, -33.0, 90.0, 180.0, -151.0], dtype=torch.float64)
    angle = torch.deg2rad(degrees)
    seen = rotate(images, angle).double()
    assert torch.allclose(seen, loop_rotated(images, angle), atol=1e-5, rtol=0)


def test_a_quarter_turn_by_hand():
    """Clockwise: the top row becomes the right column."""
    image = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    turned = rotate(image, torch.tensor([math.pi / 2], dtype=torch.float64))
    assert turned[0, 0].round(decimals=4).tolist() == [[3, 1], [4, 2]]


def test_moves_by_hand():
    """One down and one right, mirrored, then rolled one to the right."""
    image = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.uint8)[None, None]
    one = torch.tensor([[1], [1]])
    none = torch.zeros(2, 1, dtype=torch.int64)
    no, yes = torch.tensor([False]), torch.tensor([True])
    assert shift_flip_roll(image, one, no, none)[0, 0].tolist() == [[0, 0, 0], [0, 1, 2]]
    assert shift_flip_roll(image, one, yes, none)[0, 0].tolist() == [[0, 0, 0], [2, 1, 0]]
    right = torch.tensor([[0], [1]])
    assert shift_flip_roll(image, one, yes, right)[0, 0].tolist() == [[0, 0, 0], [0, 2, 1]]


def test_the_whole_in_its_order():
    """Crop, flip, roll, then rotate, then cutout, by the loops above, from the same draws."""
    images = random_images(6, 2, 7, 5)
    draws = ALL.draw(6, (2, 7, 5), generator(3))
    everything = torch.arange(6)
    drawn = draws.values
    expected = loop_moved(images, drawn["shift"], drawn["mirrored"], drawn["roll"])
    expected = loop_rotated(expected / 255, drawn["angle"])
    expected = loop_cut(expected, drawn["centre"], 3)
    seen = draws.apply(images, everything, 255.0)
    assert seen.dtype == torch.float32
    assert torch.allclose(seen.double(), expected, atol=1e-5, rtol=0)


# ------------------------------------------------------------------------------------ chance


def test_draws_cover_their_range_evenly():
    draws = Augmentation(crop=2, flip=True, roll=1, cutout=4, rotate=30).draw(
        30_000, (3, 5, 3), generator(0)
    )
    (down, right), (roll_down, roll_right), (row, column) = (
        draws.values[name] for name in ("shift", "roll", "centre")
    )
    mirrored, angle = draws.values["mirrored"].long(), draws.values["angle"]
    table = torch.stack([down, right, mirrored, roll_down, roll_right, row, column])
    for values, low, high in [
        (down, -2, 2),
        (right, -2, 2),
        (mirrored, 0, 1),
        (roll_down, -1, 1),
        (roll_right, -1, 1),
        (row, 0, 4),
        (column, 0, 2),
    ]:
        kinds = high - low + 1
        counts = (values - low).bincount(minlength=kinds)
        assert len(counts) == kinds
        assert ((counts / 30_000 - 1 / kinds).abs() < 0.015).all()
    assert angle.abs().max() <= math.radians(30)
    assert abs(angle.mean()) < 0.01
    assert angle.std().item() == pytest.approx(math.radians(60) / 12**0.5, rel=0.02)
    assert abs(torch.corrcoef(table.double()).triu(1)).max() < 0.03


def test_operations_do_not_disturb_each_other():
    """With flip on as well, the same shifts are drawn: an ablation changes one thing."""
    alone = Augmentation(crop=2).draw(50, (3, 8, 8), generator(1))
    both = Augmentation(crop=2, flip=True, cutout=3).draw(50, (3, 8, 8), generator(1))
    assert torch.equal(alone.values["shift"], both.values["shift"])


def test_nothing_asked_nothing_drawn():
    stream = generator(0)
    assert Augmentation().draw(10, (3, 8, 8), stream) is None
    assert torch.equal(stream.get_state(), generator(0).get_state())


@pytest.mark.parametrize(
    "options", [Augmentation(crop=1), Augmentation(flip=True), Augmentation(roll=1)]
)
def test_moves_keep_eight_bit_values_exact(options):
    images = random_images(20, 3, 6, 6)
    seen = options.draw(20, (3, 6, 6), generator(0)).apply(images, torch.arange(20), 255.0)
    values = set((torch.arange(256).float() / 255).tolist())
    assert set(seen.flatten().tolist()) <= values


@pytest.mark.parametrize("options", [Augmentation(roll=3), Augmentation(flip=True)])
def test_what_loses_nothing(options):
    images = random_images(20, 1, 6, 6)
    seen = options.draw(20, (1, 6, 6), generator(0)).apply(images, torch.arange(20), 1.0)
    assert torch.equal(seen.flatten(1).sort(1)[0], images.float().flatten(1).sort(1)[0])
    assert not torch.equal(seen, images.float())


@given(seed=st.integers(0, 1000))
def test_activity_is_never_negative(seed):
    images = random_images(4, 2, 6, 6, torch.float32, seed)
    seen = ALL.draw(4, (2, 6, 6), generator(seed)).apply(images, torch.arange(4), 255.0)
    assert seen.min() >= 0
    assert seen.max() <= 1 + 1e-5


def test_frames_of_a_recording_move_alike():
    frame = random_images(5, 2, 6, 6)
    recordings = frame[:, None].expand(5, 3, 2, 6, 6)
    draws = ALL.draw(5, (2, 6, 6), generator(4))
    seen = draws.apply(recordings, torch.arange(5), 10.0)
    alone = draws.apply(frame, torch.arange(5), 10.0)
    assert seen.shape == (5, 3, 2, 6, 6)
    for t in range(3):
        assert torch.equal(seen[:, t], alone)


# ------------------------------------------------------------------------------------ batches


def numbered(n=23, dtype=torch.uint8, recording=False):
    images = random_images(n, 2, 6, 6, dtype)
    images = images[:, None].repeat(1, 3, 1, 1, 1) if recording else images
    return Split(images, torch.arange(n))


def by_label(split, size, order=0, chance=0, options=ALL):
    draws = options.draw(len(split), split.images.shape[-3:], generator(chance))
    batches = list(training_batches(split, size, generator(order), draws))
    images = torch.cat([x for x, _ in batches])
    return images[torch.cat([y for _, y in batches]).argsort()]


@pytest.mark.parametrize("recording", [False, True])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_an_image_is_changed_alike_in_every_batch(dtype, recording):
    """Its draws belong to its index: batch size and order do not matter."""
    split = numbered(dtype=dtype, recording=recording)
    reference = by_label(split, 23)
    for size, order in [(1, 0), (4, 0), (64, 9)]:
        assert torch.equal(by_label(split, size, order), reference)
    assert not torch.equal(by_label(split, 23, chance=1), reference)


def test_the_split_and_evaluation_are_left_alone():
    split = numbered()
    before = split.images.clone()
    by_label(split, 5)
    assert torch.equal(split.images, before)
    seen = torch.cat([images for images, _ in evaluation_batches(split, 5)])
    assert torch.equal(seen, before.float() / 255)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_without_options_batches_are_what_they_were(dtype):
    split = numbered(dtype=dtype)
    order = torch.randperm(23, generator=generator(7))
    scale = 255 if dtype == torch.uint8 else 1
    expected = [split.images[i].float() / scale for i in order.split(8)]
    draws = Augmentation().draw(23, (2, 6, 6), generator(0))
    seen = [images for images, _ in training_batches(split, 8, generator(7), draws)]
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))


def test_no_step_waits_for_the_device():
    """Reading a value on the host (`.item()`, a mask as an index) fails on the `meta` device."""
    split = numbered().to(torch.device("meta"))
    draws = ALL.draw(23, (2, 6, 6), generator(0))
    shapes = [images.shape for images, _ in training_batches(split, 10, generator(0), draws)]
    assert shapes == [(10, 2, 6, 6), (10, 2, 6, 6), (3, 2, 6, 6)]
