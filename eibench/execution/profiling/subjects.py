"""What is timed: a training step of each method's network, and the bare products beside them.

Networks and steps are those of `eibench run`; images and labels are random, drawn once. The bare
products are the floor under every method: the network's convolutions and matrices at its shapes,
forward and both ways back, without neurons, inhibition, normalisation or optimizer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from eibench.data import ImageData, Split
from eibench.data.batches import evaluation_batches
from eibench.nn import LIF, EILayer
from eibench.nn.time import laid_out, merge_time, repeats
from eibench.plan.options import DataShape
from eibench.plan.spec import RunSpec
from eibench.training.build import Experiment, build, prepare
from eibench.training.fit import train_step

LEARNING_RATE = 1e-3
"""Small enough for a network to stay as it was made while it is timed."""
BARE = "bare convolutions"


@dataclass
class Subject:
    """Something whose steps are timed."""

    name: str
    step: Callable[[], None]
    model: nn.Module | None = None
    held: list[Tensor] = field(default_factory=list)
    """What stays in memory between steps: parameters, optimizer state, the batch."""
    images: int = 0
    """Images of a step."""
    neuron: type[nn.Module] = LIF
    """What its neurons are."""

    def gradients(self) -> list[Tensor]:
        """Those of the last step, which stay until the next one has gone forward."""
        parameters = [] if self.model is None else self.model.parameters()
        return [p.grad for p in parameters if p.grad is not None]


def make_experiment(spec: RunSpec, shape: DataShape, device: torch.device) -> Experiment:
    """The network of `spec` for images of `shape`, prepared on a random batch.

    Raises:
        UserError: the network does not suit the images.
    """
    random = torch.Generator().manual_seed(spec.seed)
    batch = spec.train.batch_size
    images = torch.rand(batch, *shape.image, generator=random)
    labels = torch.randint(shape.classes, (batch,), generator=random)
    split = Split(images, labels).to(device)
    data = ImageData(tuple(map(str, range(shape.classes))), split, split, split)
    experiment = build(spec, data)
    prepare(experiment)
    experiment.model.train()
    return experiment


def whole(experiment: Experiment) -> tuple[Tensor, Tensor]:
    """The training split, which is one batch: images and labels."""
    split = experiment.data.train
    return next(evaluation_batches(split, len(split)))


def method_subject(name: str, experiment: Experiment) -> Subject:
    """A training step of `experiment`: forward, backward, clipping, optimizer, projection."""
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
    """The products of the network's synapses (W_EE alone, of E-I layers) at their shapes."""
    products = [_Product(*found) for found in _synapses(experiment)]

    def step() -> None:
        for product in products:
            product.run()

    return Subject(BARE, step, images=len(experiment.data.train))


class _Product:
    """One synapse: forward, gradient of the weights, and of the input unless that is the image."""

    def __init__(self, module: nn.Module, x: Tensor, first: bool) -> None:
        weight = module.weight_ee if isinstance(module, EILayer) else module.weight
        assert isinstance(weight, Tensor)
        self.stride = getattr(module, "stride", 1)
        self.padding = getattr(module, "padding", 0)
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


def _synapses(experiment: Experiment) -> list[tuple[nn.Module, Tensor, bool]]:
    """Each synapse of a forward pass with its input as samples, and whether it is the first."""
    found: list[tuple[nn.Module, Tensor, bool]] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0]
        if isinstance(module, EILayer):
            x = merge_time(x[:1] if repeats(x) else x)
        found.append((module, laid_out(x), not found))

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
