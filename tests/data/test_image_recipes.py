"""Resized crop, jitter, erasing, dropped frames and `one_of`: against torchvision with the same
random numbers, by hand, and their distributions."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as F

from eibench.data import Split
from eibench.data.augment import Augmentation, zero_frames
from eibench.data.batches import training_batches
from eibench.data.colour import OPERATIONS, color_jitter, rotate_hue
from eibench.data.geometry import crop_and_resize, fill_box

PHOTOS = Augmentation(
    crop=2,
    flip=True,
    resized_crop=0.08,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.1,
    erase=0.5,
)
RECORDINGS = Augmentation(
    flip=True, resized_crop=0.5, roll=3, rotate=30.0, cutout=4, one_of=True, drop_frames=0.5
)
MANY = 20_000


def generator(seed):
    return torch.Generator().manual_seed(seed)


def photos(count, height=9, width=7, seed=0):
    return torch.rand(count, 3, height, width, generator=generator(seed))


def draws(options, count=MANY, image=(3, 16, 16), seed=0):
    return options.draw(count, image, generator(seed)).values


# ------------------------------------------------------------------ against torchvision, one by one


@given(
    height=st.integers(1, 13),
    width=st.integers(1, 13),
    least=st.floats(0.01, 1),
    seed=st.integers(0, 10**6),
)
def test_resized_crop_agrees_with_torchvision(height, width, least, seed):
    images = photos(6, height, width, seed)
    box = draws(Augmentation(resized_crop=least), 6, (3, height, width), seed)["box"]
    seen = crop_and_resize(images, box)
    for image, (top, left, tall, wide), ours in zip(images, box.T.tolist(), seen, strict=True):
        place = (top, left, tall, wide, [height, width])
        # antialiasing changes nothing where an image grows, but torch's fails on a single column
        exact = F.resized_crop(image.double(), *place, antialias=False)
        assert (ours - exact).abs().max() <= 1e-6


@pytest.mark.parametrize("size", [32, 48, 64, 224])
def test_large_images_are_resized_as_exactly(size):
    images = photos(3, size, size)
    box = draws(Augmentation(resized_crop=0.08), 3, (3, size, size))["box"]
    for image, (top, left, tall, wide), ours in zip(
        images, box.T.tolist(), crop_and_resize(images, box), strict=True
    ):
        place = (top, left, tall, wide, [size, size])
        exact = F.resized_crop(image.double(), *place, antialias=False)
        assert (ours - exact).abs().max() <= 1e-6
        assert (ours - F.resized_crop(image, *place)).abs().max() <= 2e-5  # its own error


ADJUST = dict(
    zip(
        OPERATIONS,
        (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue),
        strict=True,
    )
)


@pytest.mark.parametrize(
    "amounts",
    [
        {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
        {"hue": 0.5},
        {"brightness": 0.9, "hue": 0.3},
        {"contrast": 2.0},
        {"saturation": 3.0, "contrast": 1.5},
    ],
)
@pytest.mark.parametrize("kind", ["random", "grey", "black", "pure"])
def test_jitter_agrees_with_torchvision(amounts, kind):
    images = {
        "random": photos(40),
        "grey": photos(40)[:, :1].repeat(1, 3, 1, 1),
        "black": torch.zeros(40, 3, 9, 7),
        "pure": photos(40).round(),
    }[kind]
    drawn = draws(Augmentation(**amounts), 40)
    seen = color_jitter(images, drawn["order"], drawn["factor"], "hue" in amounts)
    for image, order, factor, ours in zip(
        images, drawn["order"].T.tolist(), drawn["factor"].T.tolist(), seen, strict=True
    ):
        exact = image.double()
        for operation in order:
            if OPERATIONS[operation] in amounts:
                exact = ADJUST[OPERATIONS[operation]](exact, factor[operation])
        assert (ours - exact).abs().max() <= 2e-6 if "hue" in amounts else 1e-6


def test_grey_images_have_brightness_and_contrast():
    images = photos(10)[:, :1]
    drawn = draws(Augmentation(brightness=0.5, contrast=0.5), 10, (1, 9, 7))
    seen = color_jitter(images, drawn["order"], drawn["factor"], False)
    for image, order, factor, ours in zip(
        images, drawn["order"].T.tolist(), drawn["factor"].T.tolist(), seen, strict=True
    ):
        exact = image.double()
        for operation in order:
            if operation < 2:
                exact = ADJUST[OPERATIONS[operation]](exact, factor[operation])
        assert (ours - exact).abs().max() <= 1e-6


def test_erasing_agrees_with_torchvision():
    images = photos(50, 16, 16)
    drawn = draws(Augmentation(erase=0.7), 50)
    seen = fill_box(images, drawn["hole"], drawn["grey"])
    for image, (top, left, tall, wide), grey, ours in zip(
        images, drawn["hole"].T.tolist(), drawn["grey"], seen, strict=True
    ):
        value = grey.float().expand(3, 1, 1)
        exact = F.erase(image, top, left, tall, wide, value) if tall else image
        assert torch.equal(ours, exact)


# ------------------------------------------------------------------------------------- by hand


def test_a_crop_by_hand():
    """Two pixels over four places: at -1/4, 1/4, 3/4 and 5/4 of a pixel, kept within the crop."""
    image = torch.tensor([[9.0, 1.0, 3.0, 9.0]]).expand(4, 4)[None, None]
    box = torch.tensor([[1], [1], [1], [2]])
    assert crop_and_resize(image, box)[0, 0].tolist() == [[1.0, 1.5, 2.5, 3.0]] * 4


def test_the_whole_image_stays_exact():
    images = photos(5)
    box = torch.tensor([0, 0, 9, 7])[:, None].expand(4, 5)
    assert torch.equal(crop_and_resize(images, box), images)


def test_jitter_by_hand():
    """Pixels 0.2 and 0.6 of grey: doubled brightness clips, no contrast is the mean 0.4."""
    image = torch.tensor([0.2, 0.6]).expand(3, 1, 2)[None]
    order = torch.tensor([[0], [1], [2], [3]])

    def seen(*factor):
        column = torch.tensor(factor, dtype=torch.float64)[:, None]
        return color_jitter(image, order, column, True)[0, 0, 0].tolist()

    assert seen(2.0, 1.0, 1.0, 0.0) == pytest.approx([0.4, 1.0])
    assert seen(1.0, 0.0, 1.0, 0.0) == pytest.approx([0.4, 0.4], abs=1e-4)
    assert seen(2.0, 0.5, 1.0, 0.0) == pytest.approx([0.55, 0.85], abs=1e-4)


def test_a_third_of_the_circle_turns_red_into_green():
    red = torch.tensor([1.0, 0.0, 0.0])[None, :, None, None]
    third = torch.tensor([1 / 3])
    assert rotate_hue(red, third).flatten().tolist() == pytest.approx([0, 1, 0], abs=1e-6)
    assert rotate_hue(red, -third).flatten().tolist() == pytest.approx([0, 0, 1], abs=1e-6)


def test_lost_frames_by_hand():
    """Half of five frames are up to two: u = 0.9 loses floor(2.7) = 2, at floor(0.6 * 4) = 2."""
    frames = torch.arange(1.0, 6)[None, :, None, None, None]
    for gap, kept in [((0.9, 0.6), [1, 2, 0, 0, 5]), ((0.1, 0.9), [1, 2, 3, 4, 5])]:
        column = torch.tensor(gap, dtype=torch.float64)[:, None]
        assert zero_frames(frames, column, 0.5).flatten().tolist() == kept


# ------------------------------------------------------------------------------------- the laws


def equally_often(values, kinds):
    """Return whether integers below `kinds` are uniform, by a chi-square test."""
    counts = torch.bincount(values.flatten().long(), minlength=kinds)
    return len(counts) == kinds and chisquare(counts.numpy()).pvalue > 1e-3


def distance(a, b):
    """Kolmogorov's, between two samples."""
    a, b = a.double().sort()[0], b.double().sort()[0]
    both = torch.cat([a, b])
    below = [torch.searchsorted(x, both, right=True) / len(x) for x in (a, b)]
    return (below[0] - below[1]).abs().max().item()


@pytest.mark.parametrize(
    ("height", "width", "least"), [(32, 32, 0.08), (48, 20, 0.5), (5, 40, 0.08), (40, 5, 1.0)]
)
def test_resized_crops_have_torchvisions_law(height, width, least):
    box = draws(Augmentation(resized_crop=least), MANY, (3, height, width))["box"]
    image = torch.empty(3, height, width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = [
            RandomResizedCrop.get_params(image, (least, 1.0), (3 / 4, 4 / 3)) for _ in range(1500)
        ]
    for ours, other in zip(box, torch.tensor(theirs).T, strict=True):
        assert distance(ours, other) < 0.05
    assert (box[2:] >= 1).all()
    assert (box[:2] >= 0).all()
    assert (box[0] + box[2] <= height).all()
    assert (box[1] + box[3] <= width).all()


def test_erasing_has_its_law():
    """Probability, area and sides even, place even, an 8-bit grey: on 256 x 256, where whole pixels
    hardly matter."""
    drawn = draws(Augmentation(erase=0.5), MANY, (3, 256, 256))
    top, left, tall, wide = drawn["hole"].double()
    done = tall > 0
    assert done.double().mean().item() == pytest.approx(0.5, abs=0.015)
    area, sides = (tall * wide / 256**2)[done], (tall / wide)[done]
    even = (torch.arange(MANY) + 0.5) / MANY
    assert area.min() > 0.018
    assert area.max() <= 0.4
    assert distance(area, 0.02 + even * 0.38) < 0.03
    assert distance(sides, 0.4 + even * 2.1) < 0.03
    for start, extent in ((top, tall), (left, wide)):
        assert (start + extent <= 256).all()
        place = (start / (256 - extent + 1))[done]
        assert distance(place, even) < 0.03
    grey = drawn["grey"] * 255
    assert torch.equal(grey, grey.round())
    assert equally_often(grey, 256)
    for values in (area, sides):
        assert torch.corrcoef(torch.stack([values, drawn["grey"][done]]))[0, 1].abs() < 0.03


def test_what_is_erased_is_bounded_by_its_area():
    drawn = draws(Augmentation(erase=1.0, erase_area=0.1), MANY, (3, 64, 64))
    share = drawn["hole"][2:].double().prod(0) / 64**2
    assert 0.09 < share.max() <= 0.1
    assert (share > 0).all()


def test_jitter_has_its_law():
    """Every order equally often; factors even around 1; a factor below 0 is 0 (amount above 1)."""
    options = Augmentation(brightness=0.4, contrast=1.5, saturation=0.2, hue=0.1)
    drawn = draws(options)
    order = (drawn["order"] * torch.tensor([64, 16, 4, 1])[:, None]).sum(0)
    kinds, place = order.unique(return_inverse=True)
    assert len(kinds) == math.factorial(4)
    assert equally_often(place, 24)
    even = (torch.arange(MANY) + 0.5) / MANY
    ends = [(0.6, 1.4), (0.0, 2.5), (0.8, 1.2), (-0.1, 0.1)]
    for factor, (low, high) in zip(drawn["factor"], ends, strict=True):
        assert distance(factor, low + even * (high - low)) < 0.02


def test_one_of_three_is_evenly_chosen_and_alone():
    options = Augmentation(roll=5, rotate=30.0, cutout=4, one_of=True)
    drawn = draws(options)
    rolled = (drawn["roll"] != 0).any(0).double()
    turned_, holed = (drawn["angle"] != 0).double(), (drawn["centre"][0] >= 0).double()
    assert (rolled + turned_ + holed).max() == 1
    assert rolled.mean().item() == pytest.approx((1 - 1 / 121) / 3, abs=0.015)
    assert turned_.mean().item() == pytest.approx(1 / 3, abs=0.015)
    assert holed.mean().item() == pytest.approx(1 / 3, abs=0.015)


def test_images_that_are_not_chosen_stay_as_they_are():
    images = torch.rand(300, 2, 8, 8, generator=generator(0))
    options = Augmentation(rotate=30.0, cutout=4, one_of=True)
    made = options.draw(300, (2, 8, 8), generator(1))
    seen, turned_ = made.apply(images, torch.arange(300), 1.0), made.values["angle"] != 0
    black = (seen == 0).all(1).flatten(1).any(1)
    assert black[~turned_].all()
    same = (seen == images) | (seen == 0)
    assert same[~turned_].all()


@pytest.mark.parametrize("share", [0.25, 0.5, 0.99])
def test_lost_frames_have_their_law(share):
    gap = draws(Augmentation(drop_frames=share))["gap"]
    kept = zero_frames(torch.ones(MANY, 8, 1, 1, 1), gap, share).flatten(1)
    lost = 8 - kept.sum(1)
    assert equally_often(lost, math.floor(8 * share) + 1)
    edges = (kept.diff(dim=1) != 0).sum(1)
    assert edges.max() <= 2
    for count in range(1, math.floor(8 * share) + 1):
        first = kept[lost == count].argmin(1)
        assert equally_often(first, 8 - count + 1)


# ------------------------------------------------------------------- what chance may depend on


@pytest.mark.parametrize(
    ("options", "image"),
    [(PHOTOS, (3, 8, 8)), (RECORDINGS, (2, 8, 8))],
    ids=["photos", "recordings"],
)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_an_image_is_changed_alike_in_every_batch(options, image, dtype):
    frames = (5,) if options.drop_frames else ()
    values = torch.randint(0, 256, (23, *frames, *image), generator=generator(0))
    images = values.to(dtype) if dtype == torch.uint8 else values / 255
    split = Split(images, torch.arange(23))

    def seen(size, order, chance=3):
        made = options.draw(23, image, generator(chance))
        batches = list(training_batches(split, size, generator(order), made))
        place = torch.cat([labels for _, labels in batches]).argsort()
        return torch.cat([x for x, _ in batches])[place]

    reference = seen(23, 0)
    assert reference.shape == images.shape
    assert reference.dtype == torch.float32
    for size, order in [(1, 0), (4, 0), (64, 9), (7, 2)]:
        assert torch.equal(seen(size, order), reference)
    assert not torch.equal(seen(23, 0, chance=4), reference)


def test_operations_do_not_disturb_each_other():
    """Draws of one are the same whichever others are on, those of older operations included."""
    everything = Augmentation(
        **{**vars(PHOTOS), "rotate": 10.0, "roll": 1, "cutout": 2, "drop_frames": 0.5}
    )
    together = draws(everything, 50)
    for alone in (
        {"resized_crop": 0.08},
        {"crop": 2},
        {"flip": True},
        {"roll": 1},
        {"rotate": 10.0},
        {"erase": 0.5},
        {"drop_frames": 0.5},
        {"hue": 0.1, "contrast": 0.4, "brightness": 0.4, "saturation": 0.4},
    ):
        found = draws(Augmentation(**alone), 50)
        name = {"resized_crop": "box", "crop": "shift", "flip": "mirrored", "rotate": "angle"}
        name |= {"roll": "roll", "erase": "hole", "drop_frames": "gap", "hue": "factor"}
        key = name[next(iter(alone))]
        assert torch.equal(found[key], together[key]), key


def test_all_frames_of_a_recording_are_moved_alike():
    options = Augmentation(**{**vars(RECORDINGS), "drop_frames": 0.0})
    frame = torch.rand(9, 2, 8, 8, generator=generator(0))
    made = options.draw(9, (2, 8, 8), generator(4))
    seen = made.apply(frame[:, None].expand(9, 3, 2, 8, 8), torch.arange(9), 1.0)
    alone = made.apply(frame, torch.arange(9), 1.0)
    assert all(torch.equal(seen[:, t], alone) for t in range(3))


@given(seed=st.integers(0, 1000))
def test_images_stay_within_their_range(seed):
    images = photos(6, 8, 8, seed)
    seen = PHOTOS.draw(6, (3, 8, 8), generator(seed)).apply(images, torch.arange(6), 255.0)
    assert seen.min() >= 0
    assert seen.max() <= 1 + 1e-5


def test_no_step_waits_for_the_device():
    """Reading a value on the host fails on the `meta` device."""
    for options, shape in [(PHOTOS, (9, 3, 8, 8)), (RECORDINGS, (9, 5, 2, 8, 8))]:
        split = Split(torch.zeros(shape, dtype=torch.uint8), torch.arange(9))
        made = options.draw(9, shape[-3:], generator(0))
        batches = list(training_batches(split.to(torch.device("meta")), 5, generator(0), made))
        assert [len(images) for images, _ in batches] == [5, 4]


def test_colours_of_what_is_not_rgb_are_refused():
    with pytest.raises(ValueError, match="need RGB, not 2 channels"):
        Augmentation(hue=0.1).draw(5, (2, 8, 8), generator(0))
