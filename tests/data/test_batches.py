"""Batches: the order depends on the generator alone, and every image occurs once."""

import pytest
import torch

from eibench.data import Split
from eibench.data.batches import (
    as_float,
    evaluation_batches,
    evaluation_parts,
    over_time,
    training_batches,
)


def numbered(n=10, dtype=torch.float32):
    """A split whose image i is filled with i, and whose label is i."""
    labels = torch.arange(n)
    return Split(labels.view(-1, 1, 1, 1).expand(n, 1, 2, 2).to(dtype).clone(), labels)


def order(seed):
    return torch.Generator().manual_seed(seed)


def labels(batches):
    return torch.cat([batch[1] for batch in batches]).tolist()


@pytest.mark.parametrize("size", [1, 3, 5, 10, 64])
def test_every_image_comes_once(size):
    batches = list(training_batches(numbered(), size, order(0)))
    assert sorted(labels(batches)) == list(range(10))
    assert [len(y) for _, y in batches[:-1]] == [size] * (len(batches) - 1)
    assert len(batches) == -(-10 // size)


def test_parts_of_batches_have_each_image_once():
    """10 images in batches of 4, 4 and 2; the second part of each begins at its half."""
    halves = [lambda batch: batch[: len(batch) // 2], lambda batch: batch[len(batch) // 2 :]]
    ways = [
        (training_batches(numbered(), 4, order(1)),
         [training_batches(numbered(), 4, order(1), part=half) for half in halves]),
        (evaluation_batches(numbered(), 4),
         [evaluation_parts(numbered(), 4, None, half) for half in halves]),
    ]  # fmt: skip
    for whole, parts in ways:
        for batch, *own in zip(whole, *parts, strict=True):
            for i in range(2):
                assert torch.equal(torch.cat([part[i] for part in own]), batch[i])


def test_a_part_may_be_empty_in_evaluation():
    parts = evaluation_parts(numbered(), 3, None, lambda batch: batch[1:])
    assert labels(parts) == [1, 2, 4, 5, 7, 8]


def test_images_go_with_their_labels():
    for images, y in training_batches(numbered(), 4, order(0)):
        assert images.shape == (len(y), 1, 2, 2)
        assert torch.equal(images.mean((1, 2, 3)), y.float())


def test_the_same_generator_gives_the_same_order():
    first = labels(training_batches(numbered(), 3, order(5)))
    assert labels(training_batches(numbered(), 3, order(5))) == first
    assert labels(training_batches(numbered(), 3, order(6))) != first
    assert first != sorted(first)


def test_the_order_does_not_depend_on_batch_size_images_or_global_chance():
    first = labels(training_batches(numbered(), 3, order(5)))
    torch.manual_seed(123)
    other = Split(torch.rand(10, 3, 4, 4), torch.arange(10))
    assert labels(training_batches(other, 7, order(5))) == first


def test_global_chance_is_left_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    list(training_batches(numbered(), 3, order(0)))
    list(evaluation_batches(numbered(), 3))
    assert torch.equal(torch.rand(3), expected)


def test_a_generator_that_goes_on_gives_another_order():
    """One generator over two epochs, as against one per epoch."""
    generator = order(0)
    first = labels(training_batches(numbered(50), 50, generator))
    assert labels(training_batches(numbered(50), 50, generator)) != first


@pytest.mark.parametrize("size", [1, 4, 10, 64])
def test_evaluation_is_in_the_order_of_the_split(size):
    batches = list(evaluation_batches(numbered(), size))
    assert labels(batches) == list(range(10))
    assert torch.equal(torch.cat([images for images, _ in batches]), numbered().images)


def test_eight_bits_become_zero_to_one():
    split = numbered(256, torch.uint8)
    images = torch.cat([images for images, _ in evaluation_batches(split, 100)])
    assert images.dtype == torch.float32
    expected = torch.arange(256, dtype=torch.float32) / 255
    assert torch.equal(images[:, 0, 0, 0], expected)
    assert split.images[255, 0, 0, 0] == 255


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_split_stays_as_it_is(dtype):
    split = numbered(10, dtype)
    for images, _ in [*training_batches(split, 4, order(0))]:
        images.mul_(0)
    for images, _ in evaluation_batches(split, 4):
        as_float(images)
    assert torch.equal(split.images, numbered(10, dtype).images)


def test_over_time_repeats_the_image_without_a_copy():
    images = torch.rand(3, 1, 2, 2)
    repeated = over_time(images, 4)
    assert repeated.shape == (4, 3, 1, 2, 2)
    assert all(torch.equal(step, images) for step in repeated)
    assert repeated.data_ptr() == images.data_ptr()


def test_a_split_moves_whole():
    moved = numbered().to(torch.device("meta"))
    assert (moved.images.device.type, moved.labels.device.type) == ("meta", "meta")
    assert len(moved) == 10
