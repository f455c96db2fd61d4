"""A run's network as other programs take it: images in, mean logits out, over a fixed T."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from eibench.plan.options import DataShape
from eibench.plan.spec import RunSpec
from eibench.training.weights import load_run
from eibench.version import __version__

INPUT, OUTPUT = "images", "logits"
"""Names of the graph's input and output."""


class Deployed(nn.Module):
    """The network with its time steps: images [B, C, H, W] to mean logits [B, classes].

    An image is presented at each of T steps. Recordings are [B, T, C, H, W].
    """

    def __init__(self, network: nn.Module, timesteps: int, events: bool) -> None:
        super().__init__()
        self.network, self.timesteps, self.events = network, timesteps, events

    def forward(self, images: Tensor) -> Tensor:
        steps = images.expand(self.timesteps, *images.shape)
        logits: Tensor = self.network(images.transpose(0, 1) if self.events else steps)
        return logits.mean(0)


@dataclass(frozen=True)
class LoadedRun:
    """A run's spec at some T, the shape of its data, and its network in evaluation mode."""

    run_id: str
    spec: RunSpec
    shape: DataShape
    network: nn.Module

    @classmethod
    def load(cls, run: Path, timesteps: int | None = None) -> LoadedRun:
        """Load the weights in the folder `run`, for T = `timesteps`, that of training by default.

        Raises:
            UserError: there are no weights, or no images of one size.
        """
        spec, shape, network = load_run(run)
        at_steps = replace(spec, timesteps=timesteps or spec.timesteps)
        return cls(spec.run_id, at_steps, shape, network)

    def deployed(self) -> Deployed:
        """Return the network with its time steps, in single precision, without gradients."""
        network = Deployed(self.network, self.spec.timesteps, self.spec.data.events)
        return network.float().eval().requires_grad_(False)

    def example(self, batch: int = 2) -> Tensor:
        """Return images of the size that the network takes."""
        steps = [self.spec.timesteps] if self.spec.data.events else []
        size = (batch, *steps, *self.shape.image)
        return torch.rand(size, generator=torch.Generator().manual_seed(0))

    def about(self) -> dict[str, str]:
        """Return what a file says of its origin."""
        return {
            "eibench": __version__,
            "run_id": self.run_id,
            "method": self.spec.method.label,
            "model": self.spec.model.label,
            "data": self.spec.data.name,
            "timesteps": str(self.spec.timesteps),
            "normalized_input": json.dumps(self.spec.input.normalize),
        }
