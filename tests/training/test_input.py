"""The section `input`: the same images under every method, resumable, not in evaluation."""

import dataclasses

import pytest
import torch

from eibench.data.base import ImageData, Split
from eibench.data.batches import evaluation_batches, over_time
from eibench.execution.estimate import _shape
from eibench.plan import RunSpec
from eibench.plan.options import METHODS
from eibench.probe.propagation import measure
from eibench.training.build import build, epoch_batches, first_batch, prepare
from eibench.training.fit import Progress, final_result, fit

EVERYTHING = {
    **{"crop": 1, "flip": True, "rotate": 10.0, "roll": 1, "cutout": 2},
    **{"resized_crop": 0.5, "brightness": 0.2, "contrast": 0.2, "erase": 0.5, "erase_area": 0.2},
}


def tiny_data(n=24):
    images = torch.randint(0, 256, (n, 1, 4, 4), generator=torch.Generator().manual_seed(5)).byte()
    split = Split(images, torch.arange(n) % 2)
    return ImageData(("dark", "bright"), split, split, split)


def tiny_spec(method="batchnorm", seed=0, batch_size=8, **chosen):
    model = {"name": "plain", "depth": 2, "width": 4, "pools": 1}
    values = {"method": method, "model": model, "data": "digits", "seed": seed, "timesteps": 2}
    train = {"epochs": 2, "batch_size": batch_size}
    return RunSpec.parse({**values, "train": train, "input": chosen})


def by_index(experiment, epoch, size=8):
    """The epoch's training images in the order of the split, found by labels made unique."""
    data = experiment.data
    train = Split(data.train.images, torch.arange(len(data.train)))
    unique = dataclasses.replace(experiment, data=ImageData(data.classes, train, train, train))
    pairs = list(epoch_batches(unique, size, epoch))
    order = torch.cat([y for _, y in pairs]).argsort()
    return torch.cat([x for x, _ in pairs])[order]


@pytest.mark.parametrize("normalize", [False, True])
def test_every_method_sees_the_same_augmented_batches(monkeypatch, normalize):
    seen = {}
    refuse = [name for name, options in METHODS.items() if options.refuses_negative_input]
    for method in METHODS:
        if normalize and method in refuse:
            continue
        batches = []
        monkeypatch.setattr(
            "eibench.training.fit.over_time",
            lambda x, t, keep=batches, f=over_time: keep.append(x.clone()) or f(x, t),
        )
        experiment = build(tiny_spec(method, **EVERYTHING, normalize=normalize), tiny_data())
        prepare(experiment)
        list(fit(experiment, Progress()))
        seen[method] = batches
    reference = seen.pop("batchnorm")
    assert len(reference) == 6
    for other in seen.values():
        assert all(torch.equal(a, b) for a, b in zip(reference, other, strict=True))


def test_augmentation_depends_on_seed_and_epoch_alone():
    first = build(tiny_spec(**EVERYTHING), tiny_data())
    images = by_index(first, epoch=0)
    other = build(tiny_spec("tdbn", batch_size=5, **EVERYTHING), tiny_data())
    assert torch.equal(by_index(other, epoch=0, size=5), images)
    assert not torch.equal(by_index(first, epoch=1), images)
    seeded = build(tiny_spec(seed=1, **EVERYTHING), tiny_data())
    assert not torch.equal(by_index(seeded, epoch=0), images)


def test_an_epoch_needs_no_epoch_before_it():
    """A resumed run sees the same: epoch 2 alone equals epoch 2 after epoch 1."""
    experiment = build(tiny_spec(**EVERYTHING), tiny_data())
    list(epoch_batches(experiment, 8, 0))
    after = list(epoch_batches(experiment, 8, 1))
    alone = list(epoch_batches(build(tiny_spec(**EVERYTHING), tiny_data()), 8, 1))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(after, alone, strict=True))


def test_preparation_and_measurement_see_the_first_augmented_batch(monkeypatch):
    given = []
    experiment = build(tiny_spec("ei", **EVERYTHING), tiny_data())
    trained, _ = next(epoch_batches(experiment, 8, 0))
    plain, _ = next(epoch_batches(build(tiny_spec("ei"), tiny_data()), 8, 0))
    assert not torch.equal(trained, plain)
    with monkeypatch.context() as patch:
        patch.setattr(
            type(experiment.method), "prepare", lambda s, m, batch, g: given.append(batch)
        )
        prepare(experiment)
    prepare(experiment)
    monkeypatch.setattr(
        "eibench.training.fit.over_time", lambda x, t: given.append(x) or over_time(x, t)
    )
    measure(experiment)
    assert torch.equal(given[0], over_time(trained, 2))
    assert torch.equal(given[1], trained)
    assert torch.equal(first_batch(experiment, 5)[0], trained[:5])


@pytest.mark.parametrize("normalize", [False, True])
def test_evaluation_sees_images_as_they_are(monkeypatch, normalize):
    """Validation and test: normalized like training, never augmented."""
    seen = []
    monkeypatch.setattr(
        "eibench.training.evaluate.over_time", lambda x, t: seen.append(x) or over_time(x, t)
    )
    experiment = build(tiny_spec(**EVERYTHING, normalize=normalize), tiny_data())
    progress = Progress()
    list(fit(experiment, progress))
    final_result(experiment, progress)
    split = experiment.data.test
    # validation of each epoch, and the test split: at the last, and at another one if it is chosen
    passes = 2 + (1 if progress.best_epoch == 2 else 2)
    expected = [x for x, _ in evaluation_batches(split, 8, experiment.normalization)] * passes
    assert (experiment.normalization is not None) == normalize
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))


def test_normalization_is_that_of_the_training_split():
    data = tiny_data()
    bright = Split(torch.full((6, 1, 4, 4), 250, dtype=torch.uint8), torch.arange(6) % 2)
    data = dataclasses.replace(data, validation=bright, test=bright)
    experiment = build(tiny_spec(normalize=True), data)
    values = data.train.images.double() / 255
    assert experiment.normalization.mean.item() == pytest.approx(values.mean().item())
    assert experiment.normalization.deviation.item() == pytest.approx(
        values.std(correction=0).item()
    )


def test_the_estimate_measures_networks_with_other_input_anew():
    assert _shape(tiny_spec()) != _shape(tiny_spec(crop=1))
    assert _shape(tiny_spec(seed=1)) == _shape(tiny_spec())


def test_plain_batches_are_the_bytes_of_the_split():
    """No option: exactly the images of the split, in the seed's order."""
    experiment = build(tiny_spec(), tiny_data())
    assert torch.equal(by_index(experiment, 0), tiny_data().train.images.float() / 255)
