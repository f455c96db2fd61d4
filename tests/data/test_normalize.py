"""Normalization: mean and deviation by hand, for images in memory and streamed."""

import numpy as np
import pytest
import torch

from eibench.data import Split
from eibench.data.augment import Augmentation
from eibench.data.batches import evaluation_batches, normalization, training_batches


def split_of(images, unit=255.0):
    return Split(images, torch.zeros(len(images), dtype=torch.int64), unit)


def random_images(*shape):
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).byte()


def test_by_hand():
    """Channel 0 holds 0 and 255: mean 1/2, deviation 1/2. Channel 1 holds 51 alone: 1/5."""
    images = torch.tensor([[[[0]], [[51]]], [[[255]], [[51]]]], dtype=torch.uint8)
    known = normalization(split_of(images))
    assert known.mean.flatten().tolist() == pytest.approx([0.5, 0.2])
    assert known.deviation.flatten().tolist() == [0.5, 1.0]  # what never varies is only centred
    seen = known.apply(images.float() / 255)
    assert seen[:, 0].flatten().tolist() == [-1, 1]
    assert seen[:, 1].flatten().tolist() == pytest.approx([0, 0], abs=1e-7)


@pytest.mark.parametrize("shape", [(3000, 2, 3, 4), (7, 5, 2, 3, 4)])
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_against_numpy(shape, kind):
    images = random_images(*shape)
    values = np.moveaxis(images.numpy().astype(np.float64) / 50, -3, 0).reshape(2, -1)
    known = normalization(split_of(images if kind == "uint8" else images.float() / 50, 50.0))
    assert known.mean.flatten().numpy() == pytest.approx(values.mean(1), rel=1e-6)
    assert known.deviation.flatten().numpy() == pytest.approx(values.std(1), rel=1e-6)


def test_a_constant_channel_of_floats():
    """Rounding of a sum must not pass for variation."""
    images = torch.full((999, 1, 3, 3), 0.1)
    assert normalization(split_of(images)).deviation.item() == 1


def test_training_and_evaluation_are_normalized_alike():
    split = split_of(random_images(50, 3, 4, 4))
    known = normalization(split)
    evaluated = torch.cat([x for x, _ in evaluation_batches(split, 8, known)])
    order = torch.Generator().manual_seed(0)
    trained = torch.cat([x for x, _ in training_batches(split, 8, order, None, known)])
    for images in (evaluated, trained):
        assert images.mean((0, 2, 3)).tolist() == pytest.approx([0] * 3, abs=1e-5)
        assert images.std((0, 2, 3), correction=0).tolist() == pytest.approx([1] * 3, rel=1e-5)
    assert torch.equal(evaluated, known.apply(split.images.float() / 255))


def test_it_comes_after_augmentation():
    """Zeros that move in are black, not the mean."""
    split = split_of(torch.full((4, 1, 2, 2), 255, dtype=torch.uint8))
    split.images[0] = 0
    known = normalization(split)
    draws = Augmentation(cutout=9).draw(4, (1, 2, 2), torch.Generator().manual_seed(0))
    order = torch.Generator().manual_seed(0)
    (images, _), *_ = training_batches(split, 4, order, draws, known)
    assert torch.equal(images, (torch.zeros(4, 1, 2, 2) - known.mean) / known.deviation)
