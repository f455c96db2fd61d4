"""Small trained-looking networks of every method and model, for tests of exports."""

from __future__ import annotations

import torch

from eibench.interop.deployed import LoadedRun
from eibench.plan.options import DataShape
from eibench.plan.spec import RunSpec
from eibench.training.build import make_method, make_network

SHAPE = DataShape((1, 8, 8), 10)
PLAIN = {"name": "plain", "depth": 2, "width": 8, "pools": 1}
MODELS = {
    "plain": PLAIN,
    "mlp": {"name": "mlp", "depth": 2, "width": 16},
    "vgg": {"name": "vgg", "layout": "8 P 8 P"},
    "resnet": {"name": "resnet", "width": 4},
}


def loaded(method: object = "ei", model: object = PLAIN, **values: object) -> LoadedRun:
    """A prepared network with running statistics, gains and biases of its own, in evaluation."""
    spec = RunSpec.parse({"method": method, "model": model, "data": "digits", **values})
    made = make_method(spec)
    network = make_network(spec, made, SHAPE)
    x = torch.rand(spec.timesteps, 16, *SHAPE.image, generator=torch.manual_seed(1))
    made.prepare(network, x, torch.manual_seed(2))
    chance = torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() == 1 and "threshold" not in name:
                parameter.add_(0.1 * torch.rand(parameter.shape, generator=chance))
        for _ in range(3):
            network.train()(x)
    return LoadedRun(spec.run_id, spec, SHAPE, network.eval())


def images(count: int = 3) -> torch.Tensor:
    return torch.rand(count, *SHAPE.image, generator=torch.manual_seed(7))
