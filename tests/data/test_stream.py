"""Streamed images: the same batches as from memory, with and without workers; damage is named."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from eibench.contracts.data import DATA_CONTRACTS
from eibench.data import DataError
from eibench.data.augment import Augmentation
from eibench.data.batches import evaluation_batches, normalization, training_batches
from eibench.data.machine import MEMORY, WORKERS, environment_variables, memory_limit, worker_count
from eibench.data.stream import StreamedImages
from eibench.plan.options import DATASETS
from eibench.plan.options.data import EventsFromOptions, ImageFolderOptions
from eibench.profile.dataset_summary import summarize_dataset

CPU = torch.device("cpu")
OPTIONS = Augmentation(crop=2, flip=True, cutout=2, rotate=10)


@pytest.fixture
def root():
    """Twenty images of each of two classes for training, six for the test."""
    numbers = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 6)):
        for name in ("cat", "dog"):
            Path("root", split, name).mkdir(parents=True)
            for i in range(count):
                pixels = numbers.integers(0, 256, (8, 6, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(f"root/{split}/{name}/{i:02}.png")
    return "root"


def imagefolder(root, share, size=None):
    options = ImageFolderOptions(root=root, validation_share=share, size=size)
    return DATASETS.build(options)


def streamed(root, workers=0, size=None):
    with environment_variables(**{MEMORY: 0, WORKERS: workers}):
        return imagefolder(root, 0.25, size)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def two_epochs(split, size):
    """Images and labels of training, with all that can be done to them."""
    known = normalization(split)
    out = []
    for epoch in range(2):
        draws = OPTIONS.draw(len(split), split.images.shape[1:], generator(epoch))
        out += list(training_batches(split, size, generator(10 + epoch), draws, known))
    return out


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_streamed_and_held_images_are_the_same(root, workers):
    held, files = imagefolder(root, 0.25), streamed(root, workers)
    for name in ("train", "validation", "test"):
        assert isinstance(getattr(files, name).images, StreamedImages)
    pairs = [
        (two_epochs(held.train, 7), two_epochs(files.train, 7)),
        (evaluation_batches(held.test, 5), evaluation_batches(files.test, 5)),
        (evaluation_batches(held.validation, 5), evaluation_batches(files.validation, 5)),
    ]
    for a, b in pairs:
        for (x, y), (other, label) in zip(a, b, strict=True):
            assert torch.equal(x, other)
            assert torch.equal(y, label)


def test_it_looks_like_a_tensor_of_images(root):
    held, files = imagefolder(root, 0.25), streamed(root)
    assert files.image == held.image == (3, 8, 6)
    for name in ("train", "validation", "test"):
        a, b = getattr(held, name), getattr(files, name)
        assert a.images.shape == b.images.shape
        assert a.images.dtype == b.images.dtype
        assert len(a.images) == len(b.images) == len(b)
        assert torch.equal(a.labels, b.labels)
        assert torch.equal(a.images, b.images.in_memory())
        chosen = torch.tensor([2, 0])
        assert torch.equal(a.images[chosen], b.images[chosen].in_memory())


@pytest.mark.parametrize("contract", DATA_CONTRACTS, ids=lambda c: c.__name__)
def test_contracts(root, contract):
    with environment_variables(**{MEMORY: 0, WORKERS: 0}):
        contract(ImageFolderOptions(root=root))


def test_batches_come_to_the_device_of_the_split(root):
    split = streamed(root).train.to(torch.device("meta"))
    images, labels = next(training_batches(split, 4, generator(0)))
    assert (images.device.type, labels.device.type) == ("meta", "meta")
    assert images.shape == (4, 3, 8, 6)


def test_global_chance_is_left_alone(root):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    two_epochs(streamed(root, workers=1).train, 7)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_may_end_early(root, workers):
    """Only the first batch is wanted for preparation; then an epoch begins anew."""
    split = streamed(root, workers).train
    first, _ = next(training_batches(split, 7, generator(0)))
    again = list(training_batches(split, 7, generator(0)))
    assert len(again) == 5
    assert torch.equal(again[0][0], first)


@pytest.mark.parametrize("workers", [0, 2])
def test_two_passes_at_once_have_their_own_images(root, workers):
    held, data = imagefolder(root, 0.25), streamed(root, workers)
    first = evaluation_batches(data.train, 7)
    other = evaluation_batches(data.validation, 3)
    seen = [(next(first)[0], next(other)[0]) for _ in range(3)]
    for a, b in ((0, held.train), (1, held.validation)):
        for batch, (images, _) in zip(
            [pair[a] for pair in seen], evaluation_batches(b, (7, 3)[a]), strict=False
        ):
            assert torch.equal(batch, images)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_file_is_named_when_it_is_read(root, workers):
    path = Path("root/test/dog/03.png")
    path.write_bytes(path.read_bytes()[:-30])
    split = streamed(root, workers).test
    with pytest.raises(DataError) as caught:
        list(training_batches(split, 5, generator(0)))
    assert str(caught.value).startswith(f"{path}: not a readable image")
    assert len(str(caught.value).splitlines()) == 1


def test_an_image_of_another_size_is_named_when_it_is_read(root):
    Image.new("RGB", (5, 5)).save("root/test/dog/03.png")
    split = streamed(root).test
    with pytest.raises(DataError, match=r"dog/03\.png: is 5x5, but root/train/cat/00\.png is 8x6"):
        list(training_batches(split, 7, generator(0)))


# ------------------------------------------------------------------------------------- digest


def test_digest_of_streamed_files(root):
    first = streamed(root).digest
    assert first.startswith("files-")
    assert streamed(root, workers=1).digest == first
    assert streamed(root, size=4).digest != first
    Path("root").rename("elsewhere")
    assert streamed("elsewhere").digest == first  # where the folder lies is no part of it


@pytest.mark.parametrize("change", ["size", "name", "label"])
def test_digest_of_streamed_files_notices(root, change):
    before = streamed(root).digest
    path = Path("root/test/dog/03.png")
    if change == "size":
        path.write_bytes(path.read_bytes() + b"0")
    else:
        path.rename(path.with_name("99.png") if change == "name" else "root/test/cat/99.png")
    assert streamed(root).digest != before


# ------------------------------------------------------------------------------------- limits


def test_what_fits_is_held_and_what_does_not_is_streamed(root):
    """52 images of 3x8x6 bytes are 7488 bytes."""
    for size, kind in [(7488, torch.Tensor), (7487, StreamedImages)]:
        with environment_variables(**{MEMORY: size / 2**30}):
            assert memory_limit() == size
            assert isinstance(imagefolder(root, 0.25).train.images, kind)


def test_workers(monkeypatch):
    monkeypatch.setenv(WORKERS, "3")
    assert worker_count() == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    monkeypatch.delenv(WORKERS)
    assert worker_count() == 16
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(2), raising=False)
    assert worker_count() == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [(MEMORY, "much"), (MEMORY, "-1"), (MEMORY, "nan"), (WORKERS, "1.5"), (WORKERS, "inf")],
)
def test_a_bad_setting_is_named(root, monkeypatch, name, text):
    monkeypatch.setenv(name, text)
    monkeypatch.setenv(MEMORY, "0") if name == WORKERS else None
    with pytest.raises(DataError, match=f"{name} is '{text}'; it must be a"):
        imagefolder(root, 0.25)


def test_a_setting_ends(monkeypatch):
    monkeypatch.setenv(MEMORY, "7")
    monkeypatch.delenv(WORKERS, raising=False)
    with environment_variables(**{MEMORY: 1, WORKERS: 2}):
        assert os.environ[WORKERS] == "2"
    assert os.environ[MEMORY] == "7"
    assert WORKERS not in os.environ


@pytest.mark.slow
def test_a_process_ends_with_workers_running(root):
    code = (
        "from eibench.data import load\n"
        "from eibench.data.batches import evaluation_batches\n"
        "from eibench.plan.options.data import ImageFolderOptions\n"
        "batches = evaluation_batches(load(ImageFolderOptions(root='root')).train, 4)\n"
        "print(len(next(batches)))"
    )
    environment = {**os.environ, MEMORY: "0", WORKERS: "2"}
    words = [sys.executable, "-c", code]
    path = str(Path(__file__).parents[2])
    done = subprocess.run(
        words,
        env={**environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


def test_streamed_images_before_a_simulated_camera(root):
    """A set that is made of another reads that one whole."""
    source = {"name": "imagefolder", "root": root, "validation_share": 0.25}
    options = EventsFromOptions(source=source, amplitude=2.0)
    held = DATASETS.build(options, timesteps=4)
    with environment_variables(**{MEMORY: 0, WORKERS: 0}):
        assert torch.equal(DATASETS.build(options, timesteps=4).train.images, held.train.images)


def test_streamed_images_in_numbers(root):
    """`eibench data show` says of streamed images what it says of held ones, but for the digest."""
    options = ImageFolderOptions(root=root)
    held = vars(summarize_dataset(options, 4, 2, 3))
    with environment_variables(**{MEMORY: 0, WORKERS: 0}):
        streamed = vars(summarize_dataset(options, 4, 2, 3))
    assert streamed.pop("digest") != held.pop("digest")
    samples, expected = streamed.pop("samples"), held.pop("samples")
    assert streamed == held
    assert all(np.array_equal(samples[name], expected[name]) for name in expected)
