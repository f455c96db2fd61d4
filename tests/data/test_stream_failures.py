"""Failures of streamed images: never a hang, but an error message or slower reading."""

import logging
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from eibench.data import DataError, stream
from eibench.data.machine import MEMORY, WORKERS, environment_variables
from eibench.plan.options import DATASETS
from eibench.plan.options.data import ImageFolderOptions

SECONDS = 20
"""Far above what any of it takes on a busy machine."""


@pytest.fixture
def root():
    """Forty images of each of two classes for training, four for the test."""
    numbers = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 4)):
        for name in ("cat", "dog"):
            Path("root", split, name).mkdir(parents=True)
            for i in range(count):
                pixels = numbers.integers(0, 256, (8, 6, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(f"root/{split}/{name}/{i:02}.png")
    return "root"


def imagefolder(root, share, size=None):
    options = ImageFolderOptions(root=root, validation_share=share, size=size)
    return DATASETS.build(options)


def streamed(root, workers=2):
    with environment_variables(**{MEMORY: 0, WORKERS: workers}):
        return imagefolder(root, 0.25)


def batches(images, size=4):
    return images.batches(torch.arange(len(images)).split(size))


def read(images):
    return torch.cat(list(batches(images)))


def everything(data):
    return [read(split.images) for split in data.splits.values()]


@pytest.fixture(autouse=True)
def _in_time():
    start = time.monotonic()
    yield
    assert time.monotonic() - start < SECONDS


def test_shared_memory_for_fewer_batches(root, monkeypatch, caplog):
    """Room for three batches of 576 bytes: three are read ahead, and it is said once."""
    images = streamed(root).train.images
    monkeypatch.setattr(stream, "shared_memory", lambda: 2200)
    assert images.reader._prefetch_count([np.arange(4)] * 15) == 3
    with caplog.at_level(logging.WARNING):
        assert torch.equal(read(images), images.in_memory())
    (text,) = [record.getMessage() for record in caplog.records]
    for word in ("shared memory", "room for 3 of the 8", "--shm-size", "EIBENCH_WORKERS=0"):
        assert word in text


def test_no_shared_memory_for_a_batch(root, monkeypatch, caplog):
    images = streamed(root).train.images
    expected = streamed(root, workers=0).train.images.in_memory()
    monkeypatch.setattr(stream, "shared_memory", lambda: 500)
    assert torch.equal(read(images), expected)
    assert images.reader.pool is None  # all of it was read here


def unsendable(error):
    def fail(*_):
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("unable to allocate shared memory(shm): No space left on device (28)"),
        OSError(28, "No space left on device"),
        OSError("AF_UNIX path too long"),
    ],
    ids=["shared memory", "full disk", "long path"],
)
def test_a_batch_that_cannot_be_sent_is_read_here(root, monkeypatch, caplog, error):
    """Any error of a worker that sends a tensor, which it does in its own thread."""
    expected = streamed(root, workers=0).train.images.in_memory()
    images = streamed(root).train.images
    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", unsendable(error))  # forked later
    assert torch.equal(read(images), expected)
    (text,) = {record.getMessage() for record in caplog.records}
    assert "cannot be sent between processes" in text and "EIBENCH_WORKERS=0" in text


def test_a_worker_that_is_killed_is_an_error(root):
    images = streamed(root).train.images
    passing = batches(images)
    next(passing)
    for pid in images.reader.pool._processes:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(DataError, match=r"a process that read images died.*EIBENCH_WORKERS=0"):
        list(passing)
    assert len(read(images)) == len(images)  # another pass begins with other workers


def test_a_worker_that_is_killed_between_passes(root):
    images = streamed(root).train.images
    read(images)
    for pid in images.reader.pool._processes:
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)
    with pytest.raises(DataError, match="a process that read images died"):
        read(images)
    assert len(read(images)) == len(images)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_vanishes(root, workers):
    data = streamed(root, workers)
    path = Path("root/train/dog/07.png")
    path.unlink()
    with pytest.raises(DataError, match=r"dog/07\.png: not a readable image .*No such file"):
        everything(data)
    with pytest.raises(DataError, match=r"dog/07\.png: unreadable \(No such file or directory\)"):
        _ = data.digest


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_becomes_a_fifo(root, workers):
    data = streamed(root, workers)
    path = Path("root/train/dog/07.png")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="no regular file"):
        everything(data)


def test_the_digest_notices_classes_that_were_swapped(root):
    """Also where all files have one size."""
    for path in Path("root").rglob("*.png"):
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    before = streamed(root, 0).digest
    for split in ("train", "test"):
        Path("root", split, "cat").rename("aside")
        Path("root", split, "dog").rename(Path("root", split, "cat"))
        Path("aside").rename(Path("root", split, "dog"))
    assert streamed(root, 0).digest != before


def test_all_images_are_the_same(root):
    from eibench.data import load

    for path in Path("root/train").rglob("*.png"):
        Image.new("RGB", (6, 8), (9, 9, 9)).save(path)
    with (
        environment_variables(**{MEMORY: 0, WORKERS: 0}),
        pytest.raises(DataError, match="all 72 training images are the same"),
    ):
        load(ImageFolderOptions(root=root))
