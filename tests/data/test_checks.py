"""Requirements of every loaded data set: each violation gives one message with split, index,
value."""

import dataclasses
import math

import pytest
import torch

import eibench.data
from eibench.data import DataError, ImageData, Split, load
from eibench.data.checks import check
from eibench.errors import UserError
from eibench.execution.dataset_cache import DatasetCache
from eibench.plan.options import DATASETS
from eibench.plan.spec import RunSpec

SPLITS = ("train", "validation", "test")


def images(count, *shape, seed=0):
    return torch.rand(count, *(shape or (1, 4, 4)), generator=torch.Generator().manual_seed(seed))


def whole(shape=(), **changed):
    """A set of 12, 6 and 6 images of three classes."""
    splits = {
        name: Split(images(count, *shape, seed=i), torch.arange(count) % 3)
        for i, (name, count) in enumerate(zip(SPLITS, (12, 6, 6), strict=True))
    }
    return ImageData(("a", "b", "c"), **{**splits, **changed})


def with_split(name, frames=None, **changes):
    shape = (frames, 2, 4, 4) if frames else ()
    data = whole(shape)
    return dataclasses.replace(data, **{name: dataclasses.replace(getattr(data, name), **changes)})


def refusal(data, frames=None):
    with pytest.raises(DataError) as caught:
        check(data, frames)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_a_whole_set_passes():
    data = whole()
    assert check(data, None) is data
    assert check(whole((3, 2, 4, 4)), 3)


def with_value(split, value, frames=None):
    data = with_split(split, frames)
    getattr(data, split).images[4, ..., 2, 1] = value
    return data


@pytest.mark.parametrize("frames", [None, 3])
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.5])
def test_values_that_are_no_activity(split, value, frames):
    message = refusal(with_value(split, value, frames), frames)
    assert message.startswith(f"image 4 of {split} holds {value:g}")


@pytest.mark.parametrize("split", SPLITS)
def test_images_beyond_one(split):
    assert refusal(with_value(split, 255.0)) == (
        f"image 4 of {split} holds 255; scale them to [0, 1]"
    )
    check(with_value(split, 255.0, frames=3), 3)  # counts of events


def test_eight_bits_beyond_their_unit():
    bytes_ = (images(12) * 16).to(torch.uint8)
    bytes_[3, 0, 0, 0] = 200
    assert refusal(with_split("train", images=bytes_, unit=16.0)).endswith(
        "image 3 of train holds 200; 16 stands for 1"
    )
    check(with_split("train", images=bytes_), None)


@pytest.mark.parametrize("unit", [0.0, -1.0, math.nan, math.inf])
def test_units(unit):
    assert "unit of test" in refusal(with_split("test", unit=unit))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(("index", "label"), [(2, 3), (0, -1), (5, 2**40)])
def test_labels_out_of_range(split, index, label):
    data = with_split(split)
    getattr(data, split).labels[index] = label
    message = refusal(data)
    assert message.startswith(f"labels of {split} go from ")
    assert message.endswith(f"3 classes have 0 to 2, but image {index} has {label}")


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(
    ("images_", "words"),
    [
        (images(6, 1, 4, 5), "images of {} are (1, 4, 5), those of train (1, 4, 4)"),
        (images(6, 1, 4), "images of {} are [6, 1, 4], not [N, C, H, W]"),
        (images(6, 2, 1, 4, 4), "images of {} are [6, 2, 1, 4, 4], not [N, C, H, W]"),
        (images(0, 1, 4, 4), "{} is empty"),
        (images(6, 1, 0, 4), "they have no pixels"),
        (images(6).double(), "images of {} are torch.float64, not uint8 or float32"),
        (images(6).half(), "images of {} are torch.float16, not uint8 or float32"),
        (images(6).long(), "images of {} are torch.int64, not uint8 or float32"),
        (images(6).to_sparse(), "images of {} are torch.sparse_coo, not a tensor"),
        (images(6).numpy(), "images of {} are ndarray, not a tensor"),
        (None, "images of {} are NoneType, not a tensor"),
    ],
)
def test_forms(split, images_, words):
    message = refusal(with_split(split, images=images_))
    of_train = "(1, 4, 5)" in words and split == "train"
    assert (words.format("validation" if of_train else split) in message) or of_train


@pytest.mark.parametrize("frames", [2, 4])
def test_another_number_of_frames(frames):
    assert "not [N, 3, C, H, W]" in refusal(whole((frames, 2, 4, 4)), 3)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (torch.arange(5) % 3, "test has 6 images and labels of [5]"),
        (torch.arange(6).int() % 3, "labels of test are torch.int32, not int64"),
        ((torch.arange(6) % 3).tolist(), "labels of test are list, not int64"),
        (torch.nn.functional.one_hot(torch.arange(6) % 3), "labels of [6, 3]"),
    ],
)
def test_labels(labels, words):
    assert words in refusal(with_split("test", labels=labels))


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("a",), "it has one class, 'a', but at least two are needed"),
        ((), "it has no classes"),
        (("a", "b", "a"), "2 classes are called 'a'"),
        (("a", "b", "c", "d"), "no training image of d"),
        ((0, 1, 2), "class names are not a tuple of text"),
    ],
)
def test_classes(classes, words):
    assert words in refusal(dataclasses.replace(whole(), classes=classes))


def test_training_images_that_are_all_the_same():
    """Also where a difference comes late: 100 images, of which the last differs."""
    same, labels = torch.ones(100, 1, 4, 4), torch.arange(100) % 3
    data = dataclasses.replace(whole(), train=Split(same, labels))
    assert refusal(data) == "all 100 training images are the same: there is nothing to learn"
    same[-1, 0, 0, 0] = 0
    check(data, None)


@pytest.mark.parametrize("found", [None, (1, 2), {}])
def test_what_is_no_data_set(found):
    assert "not an ImageData" in refusal(found)


# ----------------------------------------------------------------------------------- routes


def broken():
    data = whole()
    data.validation.images[1, 0, 0, 0] = math.nan
    return data


@pytest.fixture
def nan_digits(monkeypatch):
    monkeypatch.setitem(DATASETS.code, "digits", broken)


@pytest.mark.parametrize("source", ["digits", {"name": "events_from", "source": "digits"}])
def test_every_way_to_load(nan_digits, source):
    spec = RunSpec.parse({"method": "ei", "model": "plain", "data": source})
    with pytest.raises(UserError, match=r"image 1 of validation holds nan"):
        DatasetCache(torch.device("cpu")).get(spec)
    with pytest.raises(DataError, match="holds nan"):
        load(DATASETS["digits"]())


def test_a_run_writes_nothing(nan_digits, cli, project):
    for words in (["run"], ["run", "--dry-run"], ["probe"]):
        done = cli(words[0], project.suite(), *words[1:])
        assert done.code == 2
        assert "error: data set digits: image 1 of validation holds nan" in done.err
    assert not list(project.path.rglob("record.json"))


def test_it_is_not_noticed():
    """Sixty thousand pictures as large as MNIST's, in a small part of a second."""
    import time

    big = torch.rand(60000, 1, 28, 28)
    labels = torch.arange(60000) % 10
    data = ImageData(tuple("0123456789"), *(Split(big, labels) for _ in SPLITS))
    start = time.perf_counter()
    eibench.data.checks.check(data, None)
    assert time.perf_counter() - start < 2
