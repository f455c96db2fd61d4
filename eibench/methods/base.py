"""What a method is: the parts an architecture asks for, never knowing which method it asks.

A method is a frozen value. An architecture written once over it calls `conv`, `readout` and
`neuron`; training calls `prepare`, `param_groups` and `project`. To add one: subclass `Method` in
a file of its own, name it in `methods.METHODS`, give it an options class in `plan.options`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from eibench.nn import LIF, Current, TimeDistributed
from eibench.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """What stands between a synapse and its neuron, and how it is prepared and kept."""

    lif: Mapping[str, Any]
    """Options of `LIF`, the neuron that all methods of a comparison share."""
    timesteps: int
    """T, for layers that are bound to it."""

    @abstractmethod
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
        """Activity [T, B, c_in, H, W] to current [T, B, c_out, H', W'], size kept at stride 1.

        `branches` is how many such currents are added before the neuron (1 in a chain). `summed` is
        how many neurons' spikes are added up in each channel of the activity (1 in a chain; it
        grows along residual blocks that add spikes to spikes). Methods whose scale is set by theory
        need both; a method that measures or normalises may leave them aside.
        """

    def readout(self, features: int, classes: int) -> nn.Module:
        """Activity [T, B, features] to logits [T, B, classes]."""
        return nn.Linear(features, classes)

    def neuron(self, channels: int) -> nn.Module:
        """Current [T, B, channels, H, W] to spikes of the same shape."""
        return LIF(**self.lif)

    def prepare(self, model: nn.Module, batch: Tensor, generator: Generator) -> None:  # noqa: B027
        """Data-dependent initialisation on one training batch [T, B, ...]; once per model."""

    def project(self, model: nn.Module) -> None:  # noqa: B027
        """What must hold after every optimizer step."""

    def param_groups(self, model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
        """Every trainable parameter once: matrices and kernels decay, vectors do not.

        A vector here is a bias, a gain or a normaliser's scale. Chosen by shape, not by name.
        """
        trained = [p for p in model.parameters() if p.requires_grad]
        decayed = [p for p in trained if p.dim() > 1]
        free = [p for p in trained if p.dim() <= 1]
        groups = [
            {"params": decayed, "weight_decay": weight_decay},
            {"params": free, "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]


def kaiming_conv(c_in: int, c_out: int, kernel: int, *, stride: int, bias: bool) -> nn.Conv2d:
    """A size-keeping convolution with Kaiming normal weights (fan-in, gain sqrt 2), zero bias.

    Source: He et al., "Delving Deep into Rectifiers" (ICCV 2015), equation 10.
    """
    conv = nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
    if bias:  # set here: torch would draw it, and shift the stream against methods without one
        conv.bias = nn.Parameter(torch.zeros(c_out))
    return conv


@torch.no_grad()
def relay_(weight: Tensor, strength: float) -> None:
    """One synapse of each neuron, from the channel of its own number at the kernel's middle, made
    `strength` times as strong as all others of the row together; the mean square stays.

    The control of the E-I circuit's relays, for weights [n, C, ...] of mean zero.
    """
    if strength == 0:
        return
    others = (weight.square().mean() * weight[0].numel()).sqrt()
    F.add_identity_weight_(weight, strength * others)
    weight.div_((1 + strength**2) ** 0.5)


@dataclass(frozen=True, kw_only=True)
class Normalized(Method):
    """A method of the form convolution without bias, then a normalising layer."""

    @abstractmethod
    def norm(self, channels: int, branches: int) -> nn.Module:
        """The normalising layer for [T, B, channels, H, W]."""

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
        conv = self.synapse(c_in, c_out, kernel, stride)
        return Current(TimeDistributed(conv), self.norm(c_out, branches))

    def synapse(self, c_in: int, c_out: int, kernel: int, stride: int) -> nn.Conv2d:
        """The convolution, with its first weights."""
        return kaiming_conv(c_in, c_out, kernel, stride=stride, bias=False)
