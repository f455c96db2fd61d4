"""Construction of data, method, network and optimizer from the spec of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from eibench.data import DataError, ImageData, load, redraw
from eibench.data.augment import Augmentation
from eibench.data.batches import Normalization, Part, normalization, over_time, training_batches
from eibench.errors import AbsentData, AbsentDataError, UserError
from eibench.methods import Method
from eibench.plan.options import METHODS, MODELS, DataOptions, DataShape
from eibench.plan.spec import RunSpec
from eibench.training.optim import AnyOptimizer, make_optimizer
from eibench.training.ranks import Ranks
from eibench.training.seeds import generator, stream_seed


@dataclass(frozen=True)
class Experiment:
    """Spec, data, network and optimizer of one run."""

    spec: RunSpec
    data: ImageData
    method: Method
    model: nn.Module
    optimizer: AnyOptimizer
    augmentation: Augmentation
    normalization: Normalization | None
    ranks: Ranks | None = None
    """The processes that train the network together; None: this one alone."""


def load_data(
    options: DataOptions, timesteps: int, needed: Collection[str] | None = None
) -> ImageData:
    """Load the data set of `options` in its fixed splits, of which those `needed` must be there;
    recordings are binned into `timesteps` frames.

    Raises:
        UserError: it is missing or damaged, or violates the requirements of data sets.
    """
    with _as_user_error(options):
        return load(options, timesteps if options.events else None, needed)


def draw_splits(data: ImageData, options: DataOptions, seed: int) -> ImageData:
    """Return the loaded data set of `options` in the splits that runs of `seed` have.

    Raises:
        UserError: it has too few images for a stratified split.
    """
    if not (parts := options.redrawn()):
        return data
    with _as_user_error(options):
        return redraw(data, parts, stream_seed(seed, "splits"))


@contextlib.contextmanager
def _as_user_error(options: DataOptions) -> Iterator[None]:
    """Raise an error of the data set of `options` as one that names it."""
    try:
        yield
    except DataError as error:
        kind = AbsentData if isinstance(error, AbsentDataError) else UserError
        raise kind(f"data set {options.name}: {error}") from None


def make_method(spec: RunSpec) -> Method:
    """Build the spec's method with the spec's neuron.

    Raises:
        UserError: the method does not support this neuron.
    """
    neuron = spec.neuron.model_dump()
    try:
        method: Method = METHODS.build(spec.method, lif=neuron, timesteps=spec.timesteps)
    except ValueError as error:
        raise UserError(f"method {spec.method.label}: {error}") from None
    return method


def make_model(spec: RunSpec, method: Method, data: ImageData) -> nn.Module:
    """Build the spec's network for `data` with newly drawn weights, on the CPU.

    Raises:
        UserError: the network does not fit the data.
    """
    return make_network(spec, method, data.shape)


def make_network(spec: RunSpec, method: Method, shape: DataShape) -> nn.Module:
    """Build the spec's network for data of the given `shape`; see `make_model`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(spec.seed, "weights"))
        try:
            network: nn.Module = MODELS.build(spec.model, method, shape.image, shape.classes)
        except ValueError as error:
            text = f"model {spec.model.label} on data set {spec.data.name}: {error}"
            raise UserError(text) from None
    return network


def build(spec: RunSpec, data: ImageData, ranks: Ranks | None = None) -> Experiment:
    """Build the experiment of `spec` on the device of `data`, without the method's preparation."""
    method = make_method(spec)
    model = make_model(spec, method, data).to(data.train.labels.device)
    groups = method.param_groups(model, spec.train.weight_decay)
    optimizer = make_optimizer(groups, spec.train)
    return Experiment(spec, data, method, model, optimizer, *make_input(spec, data), ranks)


def make_input(spec: RunSpec, data: ImageData) -> tuple[Augmentation, Normalization | None]:
    """Return the augmentation of training images, and the normalization of all images."""
    augmentation = Augmentation(**spec.input.model_dump(exclude={"normalize"}))
    return augmentation, normalization(data.train) if spec.input.normalize else None


def epoch_batches(
    experiment: Experiment, size: int, epoch: int, part: Part | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield training images and labels in batches of `size`, as the first layer receives them.

    Order and augmentation depend on seed and epoch (from 0) alone. Of each batch there is only its
    `part`.
    """
    seed, split = experiment.spec.seed, experiment.data.train
    chance = generator(seed, "augment", epoch)
    draws = experiment.augmentation.draw(len(split), experiment.data.image, chance)
    order = generator(seed, "order", epoch)
    return training_batches(split, size, order, draws, experiment.normalization, part)


def first_batch(experiment: Experiment, size: int) -> tuple[Tensor, Tensor]:
    """Return the first `size` training images and labels, which the seed alone determines."""
    return next(epoch_batches(experiment, size, epoch=0))


def prepare(experiment: Experiment) -> None:
    """Apply the method's data-dependent initialization, on the first training batch."""
    spec = experiment.spec
    images, _ = first_batch(experiment, spec.train.init_batch_size or spec.train.batch_size)
    batch = over_time(images, spec.timesteps)
    experiment.method.prepare(experiment.model, batch, generator(spec.seed, "prepare"))
