"""A data set of two classes, dark and bright images, and training on it."""

from __future__ import annotations

import torch

from eibench.data.base import ImageData, Split
from eibench.plan.spec import RunSpec
from eibench.training.build import Experiment, build, prepare
from eibench.training.fit import Progress, fit


def tiny_data(n: int = 24) -> ImageData:
    """The same `n` images for training, validation and test."""
    labels = torch.arange(n) % 2
    images = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(5))
    split = Split(images / 2 + labels.view(-1, 1, 1, 1) / 2, labels)
    return ImageData(("dark", "bright"), split, split, split)


def trained(spec: RunSpec, epochs: int | None = None) -> tuple[Experiment, Progress]:
    """The experiment of `spec` after some epochs, or after all."""
    experiment = build(spec, tiny_data())
    prepare(experiment)
    progress = Progress()
    for _ in zip(range(epochs or spec.train.epochs), fit(experiment, progress), strict=False):
        pass
    return experiment, progress
