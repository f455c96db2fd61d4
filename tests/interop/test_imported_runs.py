"""Imported networks under `eibench evaluate` and `eibench cost`, in the precision they have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from deepeisnn_fake import CLASSES, IMAGE, VGG, Fake

import eibench
from eibench.data import ImageData, Split
from eibench.plan.options import DATASETS
from eibench.training.evaluate import input_dtype

NEURONS = [w * n * n for w, n in zip(VGG[8][::2], (32, 16, 8, 4, 2), strict=True)]


def split(labels: torch.Tensor) -> Split:
    size = (len(labels), *IMAGE)
    drawn = torch.randint(256, size, dtype=torch.uint8, generator=torch.manual_seed(3))
    return Split(drawn, labels)


@pytest.fixture(params=["EI-SNN", "BN-SNN"])
def imported(request, cli, tmp_path: Path, monkeypatch) -> tuple[Path, float]:
    """A run of a double-precision network, with 5 of 8 labels right, and its firing rate."""
    fake, train = Fake(request.param, 8), split(torch.arange(20) % CLASSES)
    images = split(torch.zeros(8)).images.float().div(255).double()
    right = fake.logits(images).argmax(1)
    labels = torch.where(torch.arange(8) < 5, right, (right + 1) % CLASSES)
    data = ImageData(tuple("0123456789"), train, train, split(labels))
    monkeypatch.setitem(DATASETS.code, "cifar10", lambda **_: data)
    torch.save(fake.checkpoint(), tmp_path / "a.pth")
    assert cli("import", "deepeisnn", tmp_path / "a.pth", "--out", tmp_path / "run").code == 0
    spikes = sum(rate * count for rate, count in zip(fake.rates, NEURONS, strict=True))
    return tmp_path / "run", spikes / sum(NEURONS)


def test_double_precision_is_evaluated_and_counted(cli, imported):
    run, rate = imported
    assert input_dtype(eibench.load_model(run)) == torch.float64
    done = cli("evaluate", run, "--under", "gaussian_noise=0,0.1")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0].endswith(": 62.50 % of test images")
    done = cli("cost", run, "--images", 8, "--format", "json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)[0]["rows"][0]["mean"]["firing_rate"] == pytest.approx(rate)


def test_images_are_single_unless_all_parameters_are_double():
    single, double = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1).double()
    assert input_dtype(double) == torch.float64
    for other in (single, torch.nn.Sequential(single, double), torch.nn.Flatten()):
        assert input_dtype(other) == torch.float32
