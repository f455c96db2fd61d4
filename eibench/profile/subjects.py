"""Subjects of timing: a training step of each method's network, and the bare products.

Networks and steps are those of `eibench run`; images and labels are random, drawn once. The bare
products are the floor under every method: the network's convolutions and matrices at its shapes,
forward and both ways back, without neurons, inhibition, normalisation or optimizer. An E-I
network's own products are the floor under it alone: its inhibitory cells have synapses too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from eibench.data import ImageData, Split
from eibench.data.batches import evaluation_batches
from eibench.errors import UserError
from eibench.nn import LIF, EILayer
from eibench.nn.kernels.layout import rows
from eibench.nn.time import in_fast_order, is_repeated, merge_time
from eibench.plan.options import DataShape
from eibench.plan.spec import RunSpec
from eibench.training.build import Experiment, build, prepare
from eibench.training.fit import train_step

LEARNING_RATE = 1e-3
"""Small enough for a network to stay as it was made while it is timed."""
BARE = "bare convolutions"
OWN = "bare products of"


@dataclass
class Subject:
    """Something whose steps are timed."""

    name: str
    step: Callable[[], None]
    model: nn.Module | None = None
    held: list[Tensor] = field(default_factory=list)
    """Tensors that stay in memory between steps: parameters, optimizer state, the batch."""
    images: int = 0
    """Images of a step."""
    neuron: type[nn.Module] = LIF
    """The class of its neurons."""

    def gradients(self) -> list[Tensor]:
        """Return the gradients of the last step, which stay until the next one's backward pass."""
        parameters = [] if self.model is None else self.model.parameters()
        return [p.grad for p in parameters if p.grad is not None]


def make_experiment(spec: RunSpec, shape: DataShape, device: torch.device) -> Experiment:
    """Return the network of `spec` for images of `shape`, prepared on a random batch.

    Raises:
        UserError: the network does not suit the images, or its method cannot start on them.
    """
    random = torch.Generator().manual_seed(spec.seed)
    batch = spec.train.batch_size
    images = torch.rand(batch, *shape.image, generator=random)
    labels = torch.randint(shape.classes, (batch,), generator=random)
    split = Split(images, labels).to(device)
    data = ImageData(tuple(map(str, range(shape.classes))), split, split, split)
    experiment = build(spec, data)
    try:
        prepare(experiment)
    except ValueError as error:
        raise UserError(f"{spec.method.label}: {error}") from None
    experiment.model.train()
    return experiment


def whole(experiment: Experiment) -> tuple[Tensor, Tensor]:
    """Return the training split, which is one batch: images and labels."""
    split = experiment.data.train
    return next(evaluation_batches(split, len(split)))


def method_subject(name: str, experiment: Experiment) -> Subject:
    """Return a training step of `experiment`: forward, backward, clip, optimizer, projection."""
    batch = whole(experiment)

    def step() -> None:
        train_step(experiment, batch, LEARNING_RATE)

    step()  # makes the optimizer's state
    state = [
        value
        for values in experiment.optimizer.state.values()
        for value in values.values()
        if isinstance(value, Tensor)
    ]
    held = [*experiment.model.parameters(), *experiment.model.buffers(), *state, *batch]
    return Subject(name, step, experiment.model, held, len(batch[1]))


def bare_subject(experiment: Experiment) -> Subject:
    """Return the products of the network's synapses (W_EE alone, of E-I layers)."""
    products = [_bare(*found) for found in _synapses(experiment)]
    return _products(BARE, products, experiment)


def own_subject(name: str, experiment: Experiment) -> Subject | None:
    """Return all products of a network of E-I layers, W_IE's and W_EI's too; None without any.

    W_EI's is the divisive one; subtraction can be part of the synapse.
    """
    found = _synapses(experiment)
    if not any(isinstance(module, EILayer) for module, _, _ in found):
        return None
    products = [product for each in found for product in _own(*each)]
    return _products(f"{OWN} {name}", products, experiment)


def _products(name: str, products: list[_Product], experiment: Experiment) -> Subject:
    def step() -> None:
        for product in products:
            product.run()

    return Subject(name, step, images=len(experiment.data.train))


class _Product:
    """A convolution or matrix product of `x` with `weight`: forward, gradient of the weights, and
    of `x` unless that is the image."""

    def __init__(
        self, x: Tensor, weight: Tensor, first: bool, stride: Any = 1, padding: Any = 0
    ) -> None:
        self.stride, self.padding = stride, padding
        self.x = x.detach().clone().requires_grad_(not first)
        self.weight = weight.detach().clone().requires_grad_()
        self.grad = torch.ones_like(self.product())

    def product(self) -> Tensor:
        if self.weight.dim() == 2:
            return nn.functional.linear(self.x, self.weight)
        return nn.functional.conv2d(self.x, self.weight, None, self.stride, self.padding)

    def run(self) -> None:
        wanted = [t for t in (self.x, self.weight) if t.requires_grad]
        torch.autograd.grad(self.product(), wanted, self.grad)


def _bare(module: nn.Module, x: Tensor, first: bool, weight: Tensor | None = None) -> _Product:
    """Return a synapse's product, with W_EE in E-I layers, or with another `weight`."""
    if weight is None:
        own = module.weight_ee if isinstance(module, EILayer) else module.weight
        assert isinstance(own, Tensor)
        weight = own
    reach = getattr(module, "stride", 1), getattr(module, "padding", 0)
    return _Product(x, weight, first, *reach)


def _own(module: nn.Module, x: Tensor, first: bool) -> list[_Product]:
    """Return the products of a synapse with the inhibitory cells' synapse stacked, and W_EI's.

    W_EI's is the divisive one, or W_EI W_IE where one synapse is made of both.
    """
    if not isinstance(module, EILayer) or not (module.subtracts or module.divides):
        return [_bare(module, x, first)]
    if module.one_synapse:
        cells = module.weight_ie.flatten(1).t().contiguous()
        return [_bare(module, x, first), _Product(cells, module.weight_ei, False)]
    stacked = torch.cat([module.weight_ee, module.weight_ie])
    synapse = _bare(module, x, first, stacked)
    if not module.divides:
        return [synapse]
    cells = rows(synapse.grad[:, len(module.weight_ee) :])
    return [synapse, _Product(cells, module.weight_ei, False)]


def _synapses(experiment: Experiment) -> list[tuple[nn.Module, Tensor, bool]]:
    """Return each synapse of a forward pass with its samples, and whether it is the first."""
    found: list[tuple[nn.Module, Tensor, bool]] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0]
        if isinstance(module, EILayer):
            x = merge_time(x[:1] if is_repeated(x) else x)
        found.append((module, in_fast_order(x, module), not found))

    kinds = (nn.Conv2d, nn.Linear, EILayer)
    modules = [m for m in experiment.model.modules() if isinstance(m, kinds)]
    hooks = [m.register_forward_pre_hook(note) for m in modules]
    images, steps = whole(experiment)[0], experiment.spec.timesteps
    try:
        with torch.no_grad():
            experiment.model(images.expand(steps, *images.shape))
    finally:
        for hook in hooks:
            hook.remove()
    return found
