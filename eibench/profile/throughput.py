"""Throughput of data: images per second that are loaded, and that training takes."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from eibench.data import DataError, ImageData
from eibench.data.augment import Augmentation
from eibench.data.machine import MEMORY, WORKERS, environment_variables, worker_count
from eibench.errors import UserError
from eibench.execution.dataset_cache import DatasetCache
from eibench.execution.device import device_name
from eibench.execution.environment import environment
from eibench.execution.estimate import fastest_step
from eibench.plan.spec import RunSpec
from eibench.training.build import Experiment, build, epoch_batches, first_batch, prepare


@dataclass(frozen=True)
class LoadingRate:
    """Training images per second that come to the device, ready for the network."""

    workers: int | None
    """Processes that read; 0: none but this one, None: the images are held in memory."""
    augmented: bool
    images_per_second: float


@dataclass(frozen=True)
class Throughput:
    """Rates of one data set, and of the training step that takes the images."""

    images: int
    """Number of training images."""
    image: tuple[int, int, int]
    rates: tuple[LoadingRate, ...]
    training: float
    """Images per second of the step alone: its batch is there already."""
    device: str
    environment: dict[str, Any]


def measure_throughput(spec: RunSpec, device: torch.device, seconds: float) -> Throughput:
    """Measure the rates of the data set of `spec`, each over `seconds`, and of its training step.

    Images are measured in memory unless they do not fit, and streamed if the data set can be.

    Raises:
        UserError: data absent or damaged, or a network that does not suit them.
    """
    data = DatasetCache(device).get(spec)
    experiment = build(spec, data)
    prepare(experiment)
    batch = first_batch(experiment, spec.train.batch_size)
    training = len(batch[1]) / fastest_step(experiment, itertools.repeat(batch))
    rates = [
        LoadingRate(
            workers, augmented, _images_per_second(_with_data(experiment, data, augmented), seconds)
        )
        for workers, data in _places(spec, data, device)
        for augmented in (False, True)
    ]
    return Throughput(
        images=len(data.train),
        image=data.image,
        rates=tuple(rates),
        training=training,
        device=device_name(device),
        environment=environment(),
    )


def _places(
    spec: RunSpec, data: ImageData, device: torch.device
) -> Iterator[tuple[int | None, ImageData]]:
    """Yield the data set held in memory and streamed, with the number of workers."""
    if isinstance(data.train.images, Tensor):
        yield None, data
    try:
        most = max(worker_count(), 1)
    except DataError as error:
        raise UserError(str(error)) from None
    for workers in (0, most):
        with environment_variables(**{MEMORY: 0, WORKERS: workers}):
            streamed = DatasetCache(device).get(spec)
        if not isinstance(streamed.train.images, Tensor):
            yield workers, streamed


def _with_data(experiment: Experiment, data: ImageData, augmented: bool) -> Experiment:
    """Return the experiment on `data`, the same data set from elsewhere."""
    augmentation = experiment.augmentation if augmented else Augmentation.model_validate({})
    return dataclasses.replace(experiment, data=data, augmentation=augmentation)


def _images_per_second(experiment: Experiment, seconds: float) -> float:
    """Return the rate of training images over `seconds`; the first batch is not timed."""
    size = experiment.spec.train.batch_size
    epochs = (epoch_batches(experiment, size, epoch) for epoch in itertools.count())
    batches = itertools.chain.from_iterable(epochs)
    _wait(next(batches)[0])
    start, images = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        last = next(batches)[0]
        images += len(last)
    _wait(last)
    return images / (time.perf_counter() - start)


def _wait(images: Tensor) -> None:
    """Wait until the device has computed `images`, and so all that was asked before."""
    images[0, ..., 0, 0].sum().item()
