"""From a spec to objects: the one place that reads a spec and makes networks of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from eibench.data import DataError, ImageData, load
from eibench.data.augment import Augmentation
from eibench.data.batches import Normalization, normalization, over_time, training_batches
from eibench.errors import UserError
from eibench.methods import METHODS, Method
from eibench.models import MODELS
from eibench.plan.options import DataOptions, DataShape
from eibench.plan.spec import RunSpec
from eibench.training.optim import make_optimizer
from eibench.training.seeds import generator, stream_seed


@dataclass(frozen=True)
class Experiment:
    """Everything that training one run needs."""

    spec: RunSpec
    data: ImageData
    method: Method
    model: nn.Module
    optimizer: Optimizer
    augmentation: Augmentation
    normalization: Normalization | None


def load_data(options: DataOptions, timesteps: int) -> ImageData:
    """The data set that `options` name; recordings are binned into `timesteps` frames.

    Raises:
        UserError: it is absent or damaged, or not what a data set must be.
    """
    frames = timesteps if options.events else None
    try:
        return load(options.name, options.model_dump(), frames)
    except DataError as error:
        raise UserError(f"data set {options.name}: {error}") from None


def make_method(spec: RunSpec) -> Method:
    """The spec's method, over the spec's neuron.

    Raises:
        UserError: the method does not exist for this neuron.
    """
    method, neuron = METHODS[spec.method.name], spec.neuron.model_dump()
    try:
        return method(lif=neuron, timesteps=spec.timesteps, **spec.method.model_dump())
    except ValueError as error:
        raise UserError(f"method {spec.method.label}: {error}") from None


def make_model(spec: RunSpec, method: Method, data: ImageData) -> nn.Module:
    """The spec's network with freshly drawn weights, on the CPU.

    Raises:
        UserError: the network does not suit the data.
    """
    return make_network(spec, method, DataShape(data.image, len(data.classes)))


def make_network(spec: RunSpec, method: Method, shape: DataShape) -> nn.Module:
    """The same for data of which only the `shape` is known."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(spec.seed, "weights"))
        build = MODELS[spec.model.name]
        try:
            return build(method, shape.image, shape.classes, **spec.model.model_dump())
        except ValueError as error:
            text = f"model {spec.model.label} on data set {spec.data.name}: {error}"
            raise UserError(text) from None


def build(spec: RunSpec, data: ImageData) -> Experiment:
    """The experiment of `spec` on the device that holds `data`; not yet prepared."""
    method = make_method(spec)
    model = make_model(spec, method, data).to(data.train.labels.device)
    groups = method.param_groups(model, spec.train.weight_decay)
    optimizer = make_optimizer(groups, spec.train)
    return Experiment(spec, data, method, model, optimizer, *make_input(spec, data))


def make_input(spec: RunSpec, data: ImageData) -> tuple[Augmentation, Normalization | None]:
    """What is done to training images, and to all images after that."""
    augmentation = Augmentation(**spec.input.model_dump(exclude={"normalize"}))
    return augmentation, normalization(data.train) if spec.input.normalize else None


def epoch_batches(experiment: Experiment, size: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Training images and labels in batches of `size`, as the first layer sees them.

    Order and augmentation depend on seed and epoch (from 0) alone.
    """
    seed, split = experiment.spec.seed, experiment.data.train
    chance = generator(seed, "augment", epoch)
    draws = experiment.augmentation.draw(len(split), experiment.data.image, chance)
    order = generator(seed, "order", epoch)
    return training_batches(split, size, order, draws, experiment.normalization)


def first_batch(experiment: Experiment, size: int) -> tuple[Tensor, Tensor]:
    """The `size` images and labels that training will see first; the seed alone decides which."""
    return next(epoch_batches(experiment, size, epoch=0))


def prepare(experiment: Experiment) -> None:
    """The method's data-dependent initialisation, on the first batch that training will see."""
    spec = experiment.spec
    images, _ = first_batch(experiment, spec.train.init_batch_size or spec.train.batch_size)
    batch = over_time(images, spec.timesteps)
    experiment.method.prepare(experiment.model, batch, generator(spec.seed, "prepare"))
