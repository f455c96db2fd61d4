"""The digits: three disjoint splits, each with all classes in proportion."""

from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from eibench.data.base import stratified
from eibench.data.digits import digits

SPLITS = {"train": 1167, "validation": 270, "test": 360}


@pytest.fixture(scope="module")
def data():
    return digits()


@pytest.mark.parametrize("name", SPLITS)
def test_size_and_form(data, name):
    split = getattr(data, name)
    assert len(split) == SPLITS[name]
    assert split.images.shape == (SPLITS[name], 1, 8, 8)
    assert (split.images.dtype, split.labels.dtype) == (torch.float32, torch.int64)


def test_the_image_of_all(data):
    assert data.image == (1, 8, 8)
    assert data.classes == tuple("0123456789")


def test_range_is_zero_to_one(data):
    images = torch.cat([getattr(data, name).images for name in SPLITS])
    assert (images.min().item(), images.max().item()) == (0.0, 1.0)


@pytest.mark.parametrize("name", SPLITS)
def test_stratified(data, name):
    """Every class within one image of its share of all 1797."""
    everything = Counter(load_digits().target.tolist())
    found = Counter(getattr(data, name).labels.tolist())
    for label, count in everything.items():
        assert abs(found[label] - count * SPLITS[name] / 1797) <= 1


def test_every_image_is_used_exactly_once(data):
    """As a multiset of (pixels, label): nothing is lost, doubled, or in two splits."""
    raw, labels = load_digits(return_X_y=True)
    original = Counter(
        (image.astype(np.float32).tobytes(), int(label))
        for image, label in zip(raw, labels, strict=True)
    )
    assert sum(original.values()) == 1797
    found = Counter(
        ((image * 16).numpy().tobytes(), int(label))
        for name in SPLITS
        for image, label in zip(getattr(data, name).images, getattr(data, name).labels, strict=True)
    )
    assert found == original


def test_the_splits_share_no_image(data):
    """scikit-learn's copy holds no image twice, so this is about the splits."""
    seen = [{image.numpy().tobytes() for image in getattr(data, n).images} for n in SPLITS]
    assert [len(images) for images in seen] == list(SPLITS.values())
    assert len(set.union(*seen)) == 1797


def test_the_digest_is_pinned(data):
    """Accuracies are compared across machines only where this is equal. Where it changes with a
    new scikit-learn, results of before and after are on other splits."""
    assert data.digest == "7b1b8f67c5e6c7f9"


def test_the_digest_sees_pixels_labels_and_split(data):
    import dataclasses

    from eibench.data import Split

    digests = {data.digest}
    brighter = Split(data.test.images.clone(), data.test.labels)
    brighter.images[0, 0, 0, 0] += 0.5
    relabelled = Split(data.test.images, (data.test.labels + 1) % 10)
    for test in (brighter, relabelled, data.validation):
        digests.add(dataclasses.replace(data, test=test).digest)
    swapped = dataclasses.replace(data, test=data.validation, validation=data.test)
    assert len(digests | {swapped.digest}) == 5


def test_loading_again_gives_the_same(data):
    torch.manual_seed(1)
    np.random.seed(1)
    assert digits().digest == data.digest


# ------------------------------------------------------------------------- stratified()


def test_stratified_is_a_partition_in_order():
    labels = np.repeat([0, 1, 2], [30, 20, 10])
    kept, held = stratified(labels, 12)
    assert sorted([*kept, *held]) == list(range(60))
    assert list(kept) == sorted(kept) and list(held) == sorted(held)
    assert Counter(labels[held].tolist()) == {0: 6, 1: 4, 2: 2}


def test_stratified_by_share():
    kept, held = stratified(np.repeat([0, 1], 50), 0.2)
    assert (len(kept), len(held)) == (80, 20)


def test_stratified_does_not_depend_on_chance():
    labels = np.repeat([0, 1], 50)
    np.random.seed(1)
    first = stratified(labels, 0.2)[1]
    np.random.seed(2)
    assert np.array_equal(first, stratified(labels, 0.2)[1])
