"""Small networks in which methods are tested, and their inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from eibench.contracts.base import require
from eibench.methods import Method
from eibench.models.chain import PlainOptions
from eibench.nn import LIF
from eibench.plan.options import METHODS, MODELS, MethodOptions, ModelOptions, NeuronOptions
from eibench.plan.validate import validate

Size = tuple[int, int, int]
IMAGE: Size = (2, 8, 8)
CLASSES = 3
MODEL_VARIANTS: list[ModelOptions] = [
    PlainOptions(depth=3, width=6, pools=1),
    PlainOptions(depth=2, width=5, pools=0),
]


def make_method(choice: MethodOptions, threshold: float = 1.0, timesteps: int = 4) -> Method:
    """Build the method with a LIF neuron that is default except for its threshold."""
    neuron = validate(NeuronOptions, {"threshold": threshold}).model_dump()
    method: Method = METHODS.build(choice, lif=neuron, timesteps=timesteps)
    return method


def make(
    choice: MethodOptions,
    model: ModelOptions = MODEL_VARIANTS[0],
    image: Size = IMAGE,
    threshold: float = 1.0,
    timesteps: int = 4,
) -> tuple[Method, nn.Module]:
    """Build the method and a model over it, with the same random draws at every call."""
    method = make_method(choice, threshold, timesteps)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return method, MODELS.build(model, method, image, CLASSES)


def prepared(choice: MethodOptions, batch: Tensor, **kwargs: Any) -> tuple[Method, nn.Module]:
    """Build a method and model as `make` does, and prepare them on `batch` [T, B, C, H, W]."""
    channels, height, width = batch.shape[2:]
    method, model = make(choice, image=(channels, height, width), **kwargs)
    method.prepare(model, batch, torch.Generator().manual_seed(1))
    return method, model


def activity(timesteps: int = 4, batch: int = 3, image: Size = IMAGE) -> Tensor:
    """Return values [T, B, C, H, W] in [0, 1), the same at every call."""
    return torch.rand(timesteps, batch, *image, generator=torch.Generator().manual_seed(2))


def settings() -> Iterator[tuple[ModelOptions, int, int]]:
    """Yield model, T and B: every pair of numbers under every model."""
    for model in MODEL_VARIANTS:
        for timesteps in (1, 4):
            for batch in (1, 3):
                yield model, timesteps, batch


def loss(network: nn.Module, x: Tensor) -> Tensor:
    """Return a scalar that depends on every logit."""
    total: Tensor = network(x).mean(0).logsumexp(1).sum()
    return total


class Spy:
    """Wrapper of a method that records the parts it creates for a model."""

    def __init__(self, method: Method) -> None:
        self.method = method
        self.parts: dict[str, list[nn.Module]] = {"conv": [], "neuron": [], "readout": []}
        self.branches: set[int] = set()

    def _kept(self, kind: str, part: nn.Module) -> nn.Module:
        self.parts[kind].append(part)
        return part

    def conv(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        *,
        stride: int = 1,
        branches: int = 1,
        summed: int = 1,
    ) -> nn.Module:
        """Return the method's synapse."""
        self.branches.add(branches)
        part = self.method.conv(
            c_in, c_out, kernel, stride=stride, branches=branches, summed=summed
        )
        return self._kept("conv", part)

    def neuron(self, channels: int) -> nn.Module:
        """Return the method's neuron."""
        return self._kept("neuron", self.method.neuron(channels))

    def readout(self, features: int, classes: int) -> nn.Module:
        """Return the method's readout."""
        return self._kept("readout", self.method.readout(features, classes))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.method, name)


@dataclass(frozen=True)
class Expected:
    """Expected output shape of a part, and its name in messages."""

    call: str
    shape: Callable[[tuple[int, ...]], tuple[int, ...]]

    def check(self, part: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        """Check the output shape, as a forward hook."""
        entered, wanted = tuple(inputs[0].shape), self.shape(tuple(inputs[0].shape))
        found = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
        require(
            found == list(wanted),
            f"{self.call} gives {found} for an input of {list(entered)}; it must be {list(wanted)}",
        )


class Branches(nn.Module):
    """Network that adds spikes to spikes, then the currents of two branches of stride 2; each
    part's output shape is checked."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.first = _part(method, 2, 6)
        self.second = _part(method, 6, 6)
        self.left = _part(method, 6, 8, stride=2, branches=2, summed=2)
        self.right = _part(method, 6, 8, kernel=1, stride=2, branches=2, summed=2)
        self.neurons = nn.ModuleList(_neuron(method, width) for width in (6, 6, 8))
        self.readout = method.readout(8 * 4 * 4, CLASSES)
        expected = Expected(f"readout(128, {CLASSES})", lambda s: (*s[:2], CLASSES))
        self.readout.register_forward_hook(expected.check)

    def forward(self, x: Tensor) -> Tensor:
        x = self.neurons[0](self.first(x))
        x = x + self.neurons[1](self.second(x))
        x = self.neurons[2](self.left(x) + self.right(x))
        logits: Tensor = self.readout(x.flatten(2))
        return logits


def _part(
    method: Method,
    c_in: int,
    c_out: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    branches: int = 1,
    summed: int = 1,
) -> nn.Module:
    part = method.conv(c_in, c_out, kernel, stride=stride, branches=branches, summed=summed)
    options = f"stride={stride}, branches={branches}, summed={summed}"
    call = f"conv({c_in}, {c_out}, {kernel}, {options})"

    def shape(entered: tuple[int, ...]) -> tuple[int, ...]:
        return (*entered[:2], c_out, *(-(-side // stride) for side in entered[3:]))

    part.register_forward_hook(Expected(call, shape).check)
    return part


def _neuron(method: Method, channels: int) -> nn.Module:
    part = method.neuron(channels)
    part.register_forward_hook(Expected(f"neuron({channels})", lambda s: s).check)
    return part


def neurons(spy: Spy, network: nn.Module) -> list[nn.Module]:
    """Return the spiking modules of `network`: the method's neurons, and LIF layers outside of
    these."""
    own = spy.parts["neuron"]
    inside = {id(m) for part in own for m in part.modules()}
    return [*own, *(m for m in network.modules() if isinstance(m, LIF) and id(m) not in inside)]
