"""`train_images` and `test_images`: stratified, nested, the same everywhere, read alone."""

import hashlib
import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tiny_files
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_imagefolder import fill

from eibench.data import DataError, load
from eibench.data.frames import cached
from eibench.data.subset import stratified_subset, subset
from eibench.execution.dataset_cache import load_checked
from eibench.plan import RunSpec
from eibench.plan.options import DATASETS
from eibench.plan.options.data import EventsFromOptions, ImageFolderOptions
from eibench.training import checkpoint

SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=6)
PARTS = ("train", "validation", "test")


def shuffled(sizes, seed=0):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(seed).permutation(labels)


def apportioned(sizes, count):
    """Images of each class by Webster's method, one seat at a time, in exact fractions."""
    seats = [1] * len(sizes)
    for _ in range(count - len(sizes)):
        priorities = [Fraction(2 * s + 1, n) for s, n in zip(seats, sizes, strict=True)]
        open_ = [i for i, (s, n) in enumerate(zip(seats, sizes, strict=True)) if s < n]
        seats[min(open_, key=priorities.__getitem__)] += 1
    return seats


@given(SIZES, st.data())
def test_classes_keep_their_shares(sizes, data):
    count = data.draw(st.integers(len(sizes), sum(sizes)))
    labels = shuffled(sizes)
    chosen = stratified_subset(labels, count)
    assert len(chosen) == count and (np.diff(chosen) > 0).all()
    assert np.bincount(labels[chosen]).tolist() == apportioned(sizes, count)


@given(SIZES, st.data())
def test_a_smaller_subset_lies_within_a_larger_one(sizes, data):
    few, many = sorted(data.draw(st.integers(len(sizes), sum(sizes))) for _ in range(2))
    labels = shuffled(sizes)
    assert set(stratified_subset(labels, few)) <= set(stratified_subset(labels, many))
    assert stratified_subset(labels, sum(sizes)).tolist() == list(range(sum(sizes)))


def test_an_equal_share_of_equal_classes():
    labels = shuffled([500] * 10)
    for count in (10, 100, 400, 4990):
        assert np.bincount(labels[stratified_subset(labels, count)]).tolist() == [count // 10] * 10


def test_the_choice_is_pinned():
    """The same images on every machine, by every version of numpy."""
    chosen = stratified_subset(shuffled([500] * 10), 400)
    assert hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest()[:16] == "23fb26fe6462a211"
    assert chosen.tolist() != stratified_subset(shuffled([500] * 10), 400, seed=1).tolist()


def test_within_a_class_every_image_is_as_likely():
    """Over 400 seeds; 5 standard deviations."""
    labels = shuffled([20, 20])
    times = sum(
        np.bincount(stratified_subset(labels, 10, seed), minlength=40) for seed in range(400)
    )
    assert times.sum() == 4000 and abs(times - 100).max() < 5 * (400 * 0.25 * 0.75) ** 0.5


@pytest.mark.parametrize(
    ("count", "problem"),
    [(51, "51, but there are 50 images"), (4, "4, but each of 5 classes needs one")],
)
def test_impossible_numbers(count, problem):
    with pytest.raises(DataError, match=f"^root/train: data.train_images is {problem}$"):
        subset(shuffled([10] * 5), count, "train_images", "root/train")


# ------------------------------------------------------------------------ folders of images


@pytest.fixture
def folder():
    """Ten images of each of two classes for training, four for the test."""
    fill("train")
    fill("test", count=4)


def options(**values):
    return ImageFolderOptions(root="root", validation_share=0.25, **values)


def pixels(*splits):
    return Counter(image.numpy().tobytes() for split in splits for image in split.images)


def test_validation_is_held_out_from_the_subset(folder):
    whole, data = load(options()), load(options(train_images=8, test_images=6))
    assert [data.splits[name].labels.bincount().tolist() for name in PARTS] == [
        [3, 3],
        [1, 1],
        [3, 3],
    ]
    for names in (PARTS[:2], PARTS[2:]):
        assert pixels(*(data.splits[n] for n in names)) < pixels(*(whole.splits[n] for n in names))
    assert data.digest == load(options(train_images=8, test_images=6)).digest
    assert data.digest != load(options(train_images=8)).digest != whole.digest
    assert load(options(train_images=20, test_images=8)).digest == whole.digest


def test_the_files_are_those_of_the_index(folder):
    data = load(options(test_images=4))
    files = sorted(Path("root/test").rglob("*.png"))
    used = stratified_subset(np.repeat([0, 1], 4), 4)
    expected = [np.asarray(Image.open(files[i])) for i in used]
    assert np.array_equal(data.test.images.permute(0, 2, 3, 1).numpy(), np.stack(expected))
    assert data.test.labels.tolist() == [0, 0, 1, 1]


def test_other_files_are_not_read(folder, monkeypatch):
    """In memory or streamed; a damaged file outside of the subset is no error."""
    chosen = options(train_images=8, test_images=4)
    before = load(chosen)
    index = stratified_subset(np.repeat([0, 1], 10), 8)
    for i, path in enumerate(sorted(Path("root/train").rglob("*.png"))):
        if i not in index:
            path.write_bytes(b"")
    assert load(chosen).digest == before.digest
    monkeypatch.setenv("EIBENCH_MEMORY_GIB", "0")
    monkeypatch.setenv("EIBENCH_WORKERS", "0")
    streamed = load(chosen)
    assert streamed.digest.startswith("files-")
    for name in PARTS:
        assert torch.equal(streamed.splits[name].images.in_memory(), before.splits[name].images)


def test_a_validation_folder_stays_whole(folder):
    fill("validation", count=3)
    data = load(options(train_images=4))
    assert [len(data.splits[name]) for name in PARTS] == [4, 6, 8]


def test_splits_by_seed_divide_one_subset(folder):
    chosen = options(train_images=12, test_images=4, splits="by_seed")
    first, second = (load_checked(chosen, 4, seed) for seed in (0, 1))
    assert pixels(first.validation) != pixels(second.validation)
    assert pixels(first.train, first.validation) == pixels(second.train, second.validation)
    assert pixels(first.test) == pixels(second.test)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"train_images": 21}, "root/train: data.train_images is 21, but there are 20 images"),
        ({"test_images": 1}, "root/test: data.test_images is 1, but each of 2 classes needs one"),
        ({"train_images": 2}, "root/train: cannot set 0.25 aside: "),
    ],
)
def test_one_message_of_a_run(folder, cli, project, values, problem):
    path = project.suite(base={"data": options(**values).model_dump() | {"name": "imagefolder"}})
    done = cli("run", path)
    assert done.code == 2
    (line,) = done.errors
    assert line.startswith(f"data set imagefolder: {problem}")


def test_frames_of_a_subset_are_its_own(folder, monkeypatch):
    """Recordings are cached by the digest of their images."""
    names = []

    def counted(*arguments):
        names.append(arguments[1][0])
        return cached(*arguments)

    monkeypatch.setattr("eibench.data.events_from.cached", counted)
    sizes = [
        len(load(EventsFromOptions(source=options(train_images=n)), 4).train) for n in (8, None, 8)
    ]
    assert sizes == [6, 15, 6]
    assert names[:3] == names[6:] != names[3:6]


# ---------------------------------------------------------------------------- fetched sets


@pytest.mark.parametrize("name", tiny_files.NAMES)
def test_fetched_sets(name, tmp_path, monkeypatch):
    """A number of tiny files that the real set allows too; Tiny ImageNet decodes no other image."""
    tiny_files.make(name, tmp_path / "datasets", monkeypatch)
    kinds = {"cifar100": 100, "tiny_imagenet": 4}.get(name, 10)
    values = {"train_images": 4 * kinds, "test_images": kinds, "validation_share": 0.25}
    cls = DATASETS[name]
    data = DATASETS.build(
        cls.model_construct(**{**cls(validation_share=0.25).model_dump(), **values})
    )
    for split, each in zip(data.splits.values(), (3, 1, 1), strict=True):
        assert split.labels.bincount().tolist() == [each] * kinds
    whole = DATASETS.build(cls(validation_share=0.25))
    assert pixels(data.train, data.validation) < pixels(whole.train, whole.validation)
    assert pixels(data.test) < pixels(whole.test)


def test_the_sizes_are_known_without_files():
    cls = DATASETS["cifar10"]
    assert cls(train_images=4000, test_images=1000).counts() == (3600, 400, 1000)
    assert cls(train_images=4000).counts() == (3600, 400, 10000)
    assert cls(test_images=1000).counts() == (45000, 5000, 1000)


# ------------------------------------------------------------------------------ in suites


def spec(**data):
    data = {"name": "cifar10", **data}
    return RunSpec.parse({"method": "ei", "model": "plain", "data": data})


def test_identity():
    """The default is no part of it; each number is another run."""
    assert spec(train_images=None, test_images=None).run_id == spec().run_id
    values = [{}, {"train_images": 100}, {"train_images": 200}, {"test_images": 100}]
    assert len({spec(**one).run_id for one in values}) == len(values)
    chosen = spec(train_images=100, test_images=10)
    assert chosen.data.label == "cifar10-train_images100-test_images10"
    assert chosen.identity()["data"] == {
        "name": "cifar10",
        "train_images": 100,
        "test_images": 10,
    }


@pytest.mark.parametrize(
    ("name", "key", "value", "least", "most"),
    [
        ("cifar10", "train_images", 50_001, 10, 50_000),
        ("mnist", "test_images", 9, 10, 10_000),
        ("cifar100", "train_images", 99, 100, 50_000),
        ("tiny_imagenet", "test_images", 10_001, 200, 10_000),
    ],
)
def test_refused_when_the_suite_is_read(cli, project, name, key, value, least, most):
    path = project.suite(base={"data": {"name": name, key: value}}, grid={})
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if key in text)
    done = cli("run", path)
    assert done.code == 2
    assert done.errors == [
        f"{path}:{line}: base.data.{key}: must be from {least} (one per class) to {most} (all), "
        f"not {value}"
    ]


def test_no_such_option_of_digits(cli, project):
    path = project.suite(base={"data": {"name": "digits", "train_images": 100}}, grid={})
    done = cli("run", path)
    assert done.code == 2 and "base.data.train_images: unknown key; allowed here: " in done.err


def test_a_run_ends_as_one_without_a_break(folder, cli, project, monkeypatch):
    """Interrupted after its first epoch, and resumed: the digest and all numbers are the same."""
    data = {"name": "imagefolder", "root": "root", "train_images": 8, "test_images": 4}
    base = {
        "data": {**data, "validation_share": 0.25},
        "model": {"pools": 0},
        "train": {"epochs": 2, "batch_size": 4},
    }
    path = project.suite(base=base, grid={})
    assert cli("run", path, "--device", "cpu").code == 0
    (unbroken,) = project.records().values()
    saved = checkpoint.save

    def save_and_interrupt(*arguments):
        saved(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save_and_interrupt)
        assert cli("run", path, "--device", "cpu", "--results", "broken").code == 130
    assert list(Path("broken").rglob("checkpoint.pt"))
    assert cli("run", path, "--device", "cpu", "--results", "broken").code == 0
    (record,) = [json.loads(p.read_text()) for p in Path("broken").rglob("record.json")]
    assert record["result"] == unbroken["result"]
    assert record["result"]["test_images"] == 4
    assert record["result"]["data_digest"] == load(options(train_images=8, test_images=4)).digest
