"""The simulated camera: against a loop over its pixels, and invariants of any such camera."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eibench.data.events_from import OFF, ON, saccade_path, simulate_events


def pictures(seed, n=3, channels=1, height=5, width=6):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, channels, height, width, generator=generator, dtype=torch.float64)


def camera(images, timesteps=4, path=None, contrast=0.3, margin=2, dark=0.1):
    path = saccade_path(2.0, 3, 8) if path is None else path
    return simulate_events(images, path, timesteps, contrast, margin, dark)


# ------------------------------------------------------------------------------- the path


def test_the_path_written_out():
    """A square of side 4: top left, middle of the lower side, top right, and back."""
    expected = [(-2, -2), (0, -1), (2, 0), (0, 1), (-2, 2), (-2, 0), (-2, -2)]
    assert saccade_path(4.0, 3, 2).tolist() == [list(map(float, place)) for place in expected]


def test_the_path_is_that_of_n_mnist():
    """Its authors' stabilisation takes 3.5, 7 and 7 pixels of movement off: x by 3.5, 3.5, -7 and
    y by 7, -7, 0 over the three saccades."""
    corners = saccade_path(7.0, 3, 5)[::5]
    assert corners.diff(dim=0).tolist() == [[7.0, 3.5], [-7.0, 3.5], [0.0, -7.0]]


@pytest.mark.parametrize("saccades", [1, 2, 3, 4, 7])
def test_more_saccades_go_round_again(saccades):
    path = saccade_path(3.0, saccades, 4)
    assert len(path) == 4 * saccades + 1
    assert torch.equal(path, saccade_path(3.0, 9, 4)[: len(path)])


# ----------------------------------------------------------------------------- the pixels


def light_at(image, row, column):
    """Bilinear, of a grey image over black, at a real-valued place."""
    total = 0.0
    for r in (math.floor(row), math.floor(row) + 1):
        for c in (math.floor(column), math.floor(column) + 1):
            if 0 <= r < len(image) and 0 <= c < len(image[0]):
                total += image[r][c] * (1 - abs(row - r)) * (1 - abs(column - c))
    return total


def loop(image, path, timesteps, contrast, margin, dark):
    """One image [C, H, W], one pixel after another. Light is in contrasts above the first."""
    grey = image.mean(0).tolist()
    height, width = len(grey) + 2 * margin, len(grey[0]) + 2 * margin
    frames = torch.zeros(timesteps, 2, height, width, dtype=torch.uint8)
    for row in range(height):
        for column in range(width):
            start, events = None, 0
            for step, (down, right) in enumerate(path.tolist()):
                light = light_at(grey, row - margin - down, column - margin - right)
                start = math.log(light + dark) if start is None else start
                now = round((math.log(light + dark) - start) / contrast, 6)
                frame = (step - 1) * timesteps // (len(path) - 1)
                while now >= events + 1:
                    events += 1
                    frames[frame, ON, row, column] += 1
                while now <= events - 1:
                    events -= 1
                    frames[frame, OFF, row, column] += 1
    return frames


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("amplitude", "timesteps", "contrast", "margin"),
    [(2.0, 4, 0.3, 2), (2.7, 5, 0.11, 1), (5.0, 24, 0.5, 0), (0.4, 1, 0.05, 3)],
)
def test_against_a_loop(channels, amplitude, timesteps, contrast, margin):
    images, path = pictures(1, channels=channels), saccade_path(amplitude, 3, 8)
    found = camera(images, timesteps, path, contrast, margin)
    assert (found.dtype, found.shape) == (
        torch.uint8,
        (3, timesteps, 2, 5 + 2 * margin, 6 + 2 * margin),
    )
    expected = [loop(image, path, timesteps, contrast, margin, 0.1) for image in images]
    assert torch.equal(found, torch.stack(expected))
    assert found.any()


def test_one_pixel_by_hand():
    """A white pixel goes one to the right in one step. Log light falls from log 1.1 to log 0.1,
    which is 2.398, or seven times 0.3, and rises as much beside it."""
    image = torch.ones(1, 1, 1, 1)
    path = torch.tensor([[0.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    found = camera(image, 1, path, margin=1)[0, 0]
    assert found[OFF].tolist() == [[0, 0, 0], [0, 7, 0], [0, 0, 0]]
    assert found[ON].tolist() == [[0, 0, 0], [0, 0, 7], [0, 0, 0]]


def test_a_change_below_the_contrast_is_remembered():
    """Half steps of which two together cross the threshold once."""
    ramp = torch.tensor([[[[0.1, 0.2]]]], dtype=torch.float64)  # log 0.2, log 0.3 with the dark
    path = torch.tensor([[0.0, 0.0], [0.0, -0.5], [0.0, -1.0]], dtype=torch.float64)
    frames = camera(ramp, 2, path, contrast=0.4, margin=0)  # log 1.25 = 0.22, log 1.5 = 0.405
    assert frames[0, :, ON, 0, 0].tolist() == [0, 1]


def test_an_image_that_does_not_move_emits_nothing():
    still = torch.full((9, 2), 0.3, dtype=torch.float64)
    assert not camera(pictures(2), path=still).any()


def test_a_black_image_emits_nothing():
    assert not camera(torch.zeros(2, 1, 4, 4)).any()


def test_the_recording_is_the_same_whatever_t():
    """T cuts it; it does not change it."""
    images = pictures(3)
    whole = camera(images, 1).int()
    for timesteps in (2, 3, 8, 24):
        assert torch.equal(camera(images, timesteps).int().sum(1, keepdim=True), whole)


def test_more_frames_than_steps_are_refused():
    assert camera(pictures(0), 24).shape[1] == 24
    with pytest.raises(ValueError, match="24 steps of the image are too few for 25 frames"):
        camera(pictures(0), 25)


@given(st.integers(0, 1000), st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_brightness_does_not_matter_where_the_dark_scales_too(seed, factor):
    images = pictures(seed)
    assert torch.equal(camera(images, dark=0.1), camera(factor * images, dark=factor * 0.1))


@given(st.integers(0, 1000))
def test_on_and_off_change_places_on_the_way_back(seed):
    """In one step, since a pixel's level then has no history."""
    path = torch.tensor([[0.3, -0.6], [-0.9, 0.8]], dtype=torch.float64)
    there, back = (camera(pictures(seed), 1, p) for p in (path, path.flip(0)))
    assert torch.equal(there, back.flip(2)) and there.any()


@given(st.integers(0, 1000), st.sampled_from([(0, 3), (1, 4)]))
def test_a_mirrored_image_on_a_mirrored_path_has_mirrored_events(seed, axes):
    axis, dim = axes
    path = saccade_path(2.0, 3, 8)
    mirror = torch.ones(2, dtype=torch.float64)
    mirror[axis] = -1
    found = camera(pictures(seed).flip(dim - 1), path=path * mirror)
    assert (found.int() - camera(pictures(seed), path=path).flip(dim).int()).abs().max() == 0


@given(st.integers(0, 1000))
def test_events_come_back_to_the_level_they_left(seed):
    """After a round a pixel has emitted as many ON as OFF."""
    counts = camera(pictures(seed)).int().sum(1)
    assert torch.equal(counts[:, ON], counts[:, OFF])


def test_an_image_does_not_depend_on_those_beside_it():
    images = pictures(5, n=600)
    assert torch.equal(camera(images)[590:], camera(images[590:]))


@pytest.mark.parametrize("contrast", [1e-3, 1e-9])
def test_counts_end_at_255(contrast):
    assert camera(pictures(0), contrast=contrast).max() == 255


def test_nothing_is_drawn_at_random():
    torch.manual_seed(0)
    first, state = camera(pictures(1)), torch.get_rng_state()
    assert torch.equal(camera(pictures(1)), first)
    assert torch.equal(torch.get_rng_state(), state)
