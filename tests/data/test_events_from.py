"""Simulated recordings of the digits and of other data sets."""

import time

import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from eibench.contracts.data import DATA_CONTRACTS
from eibench.data import DataError
from eibench.data.digits import digits
from eibench.data.events_from import Camera, saccade_path, simulate_events
from eibench.plan.options import DATASETS
from eibench.plan.options.data import DigitsDVSOptions, EventsFromOptions

SPLITS = ("train", "validation", "test")


def digits_dvs(timesteps=4, **changes):
    return DATASETS.build(DigitsDVSOptions(**changes), timesteps=timesteps)


def events_from(source, timesteps=4, **changes):
    return DATASETS.build(EventsFromOptions(source=source, **changes), timesteps=timesteps)


@pytest.fixture(scope="module")
def data():
    return digits_dvs()


def test_form(data):
    assert data.image == (2, 12, 12)
    assert data.classes == digits().classes
    for name in SPLITS:
        split = getattr(data, name)
        assert split.images.shape == (len(getattr(digits(), name)), 4, 2, 12, 12)
        assert (split.images.dtype, split.unit) == (torch.uint8, 1.0)


def test_the_split_is_that_of_the_digits(data):
    for name in SPLITS:
        assert torch.equal(getattr(data, name).labels, getattr(digits(), name).labels)


def test_a_recording_is_the_one_of_its_image(data):
    path = saccade_path(2.0, 3, 20)
    expected = simulate_events(digits().test.images[7:9], path, 4, contrast=0.3, margin=2, dark=0.1)
    assert torch.equal(data.test.images[7:9], expected)


def test_the_digest_is_pinned(data):
    """With default options; results of two machines are comparable only if the digest is equal."""
    assert data.digest == "a28084adb08f6154"


@pytest.mark.parametrize("contract", DATA_CONTRACTS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("options", [DigitsDVSOptions(), EventsFromOptions(source="digits")])
def test_contracts(contract, options):
    contract(options)


@pytest.mark.parametrize("timesteps", [1, 4, 10, 16])
def test_every_frame_says_something(timesteps):
    frames = digits_dvs(timesteps).train.images
    assert bool(frames.flatten(2).any(2).all())
    per_frame = frames.float().mean((0, 2, 3, 4))
    assert per_frame.max() < 3 * per_frame.min()


def test_counts_are_not_saturated(data):
    images = torch.cat([getattr(data, name).images for name in SPLITS])
    assert 3 <= images.max() < 50


def test_classes_can_be_told_apart(data):
    """A linear classifier on all events of a pixel; on the images themselves it reaches 96 %."""
    train, test = ((s.images.sum(1).flatten(1).numpy(), s.labels) for s in (data.train, data.test))
    model = LogisticRegression(max_iter=300).fit(*train)
    assert model.score(*test) > 0.9


def test_it_is_made_in_two_seconds():
    start = time.process_time()
    digits_dvs()
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    "change",
    [{"contrast": 0.2}, {"amplitude": 1.0}, {"saccades": 2}, {"steps": 8}, {"dark": 0.2}],
)
def test_every_option_makes_a_difference(data, change):
    assert digits_dvs(**change).digest != data.digest


def test_too_many_frames_say_what_to_raise():
    with pytest.raises(DataError, match="6 steps of the image are too few for 7 frames; raise `st"):
        digits_dvs(timesteps=7, steps=2)


# ---------------------------------------------------------------------------- events_from


def test_events_from_digits_is_digits_dvs(data):
    assert events_from("digits", amplitude=2.0).digest == data.digest


def paint(root):
    """An imagefolder of 8-bit colour images, each of one colour of its own."""
    for split, first in (("train", 0), ("test", 100)):
        for c, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for i in range(6):
                colour = (first + 10 * i, 40 * c, 200)
                Image.new("RGB", (6, 4), colour).save(root / split / name / f"{i}.png")


def test_events_from_an_imagefolder(tmp_path):
    paint(tmp_path / "root")
    source = {"name": "imagefolder", "root": str(tmp_path / "root"), "validation_share": 0.5}
    found = events_from(source, timesteps=3, margin=1)
    assert found.image == (2, 6, 8)
    assert [len(getattr(found, name)) for name in SPLITS] == [6, 6, 12]
    grey = torch.full((1, 1, 4, 6), (100 + 0 + 200) / 3 / 255)
    expected = simulate_events(grey, saccade_path(4.0, 3, 20), 3, contrast=0.3, margin=1, dark=0.1)
    assert torch.equal(found.test.images[:1], expected)


def test_it_is_computed_once(tmp_path, monkeypatch):
    before = events_from("digits").digest
    assert len(list((tmp_path / "datasets/cache").iterdir())) == 3
    monkeypatch.setattr(Camera, "__call__", None)
    assert events_from("digits").digest == before


def test_another_camera_or_other_images_are_computed_anew(tmp_path):
    digests = {events_from("digits", t, contrast=c).digest for t in (2, 3) for c in (0.3, 0.4)}
    assert len(digests) == 4
    paint(tmp_path / "root")
    source = {"name": "imagefolder", "root": str(tmp_path / "root"), "validation_share": 0.5}
    before = events_from(source).digest
    Image.new("RGB", (6, 4), "white").save(tmp_path / "root/test/cat/0.png")
    assert events_from(source).digest != before


def test_what_is_wrong_with_the_source_is_said(tmp_path):
    with pytest.raises(DataError, match="no such folder; an imagefolder is"):
        events_from({"name": "imagefolder", "root": str(tmp_path)})


def test_recordings_that_no_machine_can_hold(monkeypatch):
    monkeypatch.setattr("os.sysconf", lambda _: 1000)
    with pytest.raises(DataError, match=r"1167 recordings in 4 frames of 12x12 would take 0\.0"):
        DATASETS.build(DigitsDVSOptions(), timesteps=4)
