"""Splits that are drawn by a run's seed: complete, disjoint, stratified, everywhere the same."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from test_imagefolder import fill

from eibench.data import DataError, ImageData, Split, load, redraw
from eibench.data.base import stratified
from eibench.data.digits import digits
from eibench.data.sources import data_folder
from eibench.errors import UserError
from eibench.execution.dataset_cache import DatasetCache, load_checked
from eibench.plan import RunSpec
from eibench.plan.options import DATASETS
from eibench.plan.options.data import DigitsDVSOptions, DigitsOptions, ImageFolderOptions
from eibench.training.build import draw_splits
from eibench.training.seeds import stream_seed

SPLITS = ("train", "validation", "test")
CPU = torch.device("cpu")


def drawn(seed, options=None):
    return load_checked(options or DigitsOptions(splits="by_seed"), 4, seed)


def pixels(split):
    return Counter(image.numpy().tobytes() for image in split.images)


@pytest.fixture(scope="module")
def seeds():
    """The digits under three seeds, and as they always were."""
    return [*map(drawn, range(3)), digits()]


def test_every_part_differs_between_seeds(seeds):
    for name in SPLITS:
        parts = [pixels(data.splits[name]) for data in seeds]
        assert {sum(part.values()) for part in parts} == {len(digits().splits[name])}
        assert all(first != second for first, second in pairwise(parts))


def test_parts_are_disjoint_and_complete(seeds):
    """The digits hold no image twice."""
    for data in seeds:
        parts = [pixels(data.splits[name]) for name in SPLITS]
        assert sum(parts, Counter()) == sum(map(pixels, digits().splits.values()), Counter())
        assert max(sum(parts, Counter()).values()) == 1


def test_every_class_has_its_share(seeds):
    """Within one image of the class's part of all 1797."""
    sizes = torch.cat([split.labels for split in digits().splits.values()]).bincount()
    for data in seeds:
        for split in data.splits.values():
            assert (split.labels.bincount() - sizes * len(split) / 1797).abs().max() <= 1


def test_the_digest_of_a_seed_is_pinned(seeds):
    """The same splits for all methods, processes and machines."""
    assert drawn(0).digest == seeds[0].digest
    assert [data.digest for data in seeds] == [
        "b51b4e3fb5d1ef32",
        "5c22c30ca48722a0",
        "5011e63123103bfa",
        "7b1b8f67c5e6c7f9",
    ]


def test_fixed_splits_know_no_seed():
    assert drawn(5, DigitsOptions()).digest == digits().digest
    data = digits()
    assert draw_splits(data, DigitsOptions(), 5) is data


def numbered(counts, first):
    """A split whose image i holds the number `first` + i, of class i modulo 2."""
    images = torch.arange(first, first + counts).float().view(-1, 1, 1, 1) / 100
    return Split(images, torch.arange(first, first + counts) % 2)


def test_images_keep_their_labels_and_training_receives_the_rest():
    data = ImageData(("even", "odd"), numbered(10, 0), numbered(6, 10), numbered(4, 16))
    new = redraw(data, SPLITS, 3)
    found = {name: (split.images.flatten() * 100).round() for name, split in new.splits.items()}
    assert {name: len(values) for name, values in found.items()} == {
        "train": 10,
        "validation": 6,
        "test": 4,
    }
    for name, values in found.items():
        assert torch.equal(new.splits[name].labels, values.long() % 2)
        assert new.splits[name].labels.sum() == len(values) / 2
    assert sorted(torch.cat(list(found.values())).tolist()) == list(range(20))
    left, test = stratified(np.arange(20) % 2, 4, 3)
    kept, held = stratified(left % 2, 6, 3)
    assert found["test"].tolist() == test.tolist()
    assert found["validation"].tolist() == left[held].tolist()
    assert found["train"].tolist() == left[kept].tolist()


def test_an_official_test_split_stays():
    data = ImageData(
        ("even", "odd"), numbered(10, 0), numbered(6, 10), numbered(4, 16), notes=("x",)
    )
    new = redraw(data, SPLITS[:2], 3)
    assert new.test is data.test and new.notes == ("x",)
    assert pixels(new.train) + pixels(new.validation) == pixels(data.train) + pixels(
        data.validation
    )
    assert pixels(new.validation) != pixels(data.validation)


def test_what_cannot_be_stratified():
    data = ImageData(("even", "odd"), numbered(10, 0), numbered(1, 10), numbered(4, 11))
    with pytest.raises(DataError, match="cannot draw validation of 1 images: both parts need"):
        redraw(data, SPLITS, 0)
    half = Split((numbered(6, 10).images * 255).byte(), numbered(6, 10).labels)
    data = ImageData(("even", "odd"), numbered(10, 0), half, numbered(4, 16))
    with pytest.raises(
        DataError, match="train, validation are stored in unlike ways and cannot be"
    ):
        redraw(data, SPLITS[:2], 0)


# ------------------------------------------------------------------------------ of each set

OFFICIAL_TEST = {
    *("imagefolder", "mnist", "fashion_mnist", "cifar10", "cifar100", "tiny_imagenet"),
    *("dvs_gesture", "nmnist", "shd"),
}


def test_official_test_splits_are_not_redrawn():
    """A set without one of its own has all three drawn; that of `events_from` is its source's."""
    required = {"imagefolder": {"root": "x"}, "events_from": {"source": "digits"}}
    for name, cls in DATASETS.items():
        options = cls(**required.get(name, {}))
        assert options.redrawn() == ()
        if name != "events_from":
            parts = SPLITS[:2] if name in OFFICIAL_TEST else SPLITS
            assert options.model_copy(update={"splits": "by_seed"}).redrawn() == parts
    source = {"name": "mnist", "splits": "by_seed"}
    assert DATASETS["events_from"](source=source).redrawn() == SPLITS[:2]


def test_recordings_follow_their_images():
    """Digits and their recordings have one division; a set of recordings has one file for all
    seeds."""
    options = DigitsDVSOptions(splits="by_seed")
    source = {"name": "digits", "splits": "by_seed"}
    same = DATASETS["events_from"](source=source, amplitude=2.0)
    recorded, whole = drawn(1, options), load(DigitsDVSOptions(), 4)
    for name in SPLITS:
        assert torch.equal(recorded.splits[name].labels, drawn(1).splits[name].labels)
    assert sum(map(pixels, recorded.splits.values()), Counter()) == sum(
        map(pixels, whole.splits.values()), Counter()
    )
    assert drawn(1, same).digest == recorded.digest != drawn(2, same).digest
    assert len(list((data_folder() / "cache").iterdir())) == 3


@pytest.fixture
def folder():
    fill("train")
    fill("test", count=4)
    return ImageFolderOptions(root="root", validation_share=0.2, splits="by_seed")


def test_a_folder_of_images(folder, monkeypatch):
    """Held in memory or streamed: only the validation split is drawn."""
    first, second = drawn(0, folder), drawn(1, folder)
    assert torch.equal(first.test.images, second.test.images)
    assert pixels(first.validation) != pixels(second.validation)
    assert sorted(first.validation.labels.tolist()) == [0, 0, 1, 1]
    monkeypatch.setenv("EIBENCH_MEMORY_GIB", "0")
    monkeypatch.setenv("EIBENCH_WORKERS", "0")
    streamed = drawn(1, folder)
    assert streamed.digest.startswith("files-")
    for name in SPLITS:
        assert torch.equal(streamed.splits[name].images.in_memory(), second.splits[name].images)
        assert torch.equal(streamed.splits[name].labels, second.splits[name].labels)


def test_a_folder_with_its_own_validation_split(folder):
    fill("validation", count=2)
    with pytest.raises(UserError) as caught:
        drawn(0, folder)
    assert str(caught.value) == (
        "data set imagefolder: root/validation: the folder prescribes the validation split, which "
        "`splits: by_seed` would redraw; leave out one of the two"
    )


# -------------------------------------------------------------------------------- the cache


def spec(seed, method="ei", **data):
    data = {"name": "digits", **data}
    return RunSpec.parse({"method": method, "model": "plain", "data": data, "seed": seed})


def test_the_cache_loads_once_and_keeps_one_seed(monkeypatch):
    calls = []
    monkeypatch.setitem(DATASETS.code, "digits", lambda: calls.append(1) or digits())
    cache = DatasetCache(CPU)
    found = [cache.get(spec(seed, splits="by_seed")) for seed in (0, 1, 2, 1)]
    assert [data.digest for data in found] == [drawn(seed).digest for seed in (0, 1, 2, 1)]
    assert calls == [1] * 5  # four of them by this test
    assert cache.get(spec(1, "batchnorm", splits="by_seed")) is found[-1]
    assert [seed for seed, _ in cache.drawn.values()] == [1]
    fixed = cache.get(spec(0))
    assert cache.get(spec(1)) is fixed and fixed.digest == digits().digest
    assert cache.get(spec(1, splits="by_seed")) is found[-1]


def test_the_stream_of_a_seed():
    assert drawn(7).digest == redraw(digits(), SPLITS, stream_seed(7, "splits")).digest
