"""A method: the parts that an architecture asks for, never knowing which method it asks.

A method is a frozen value. An architecture written once over it calls `conv`, `readout` and
`neuron`; training calls `prepare`, `param_groups` and `project`. To add one, write a file in this
folder: a subclass of `MethodOptions`, and one of `Method` with a field `options` of that class,
under `@METHODS.register`. Its imports of torch stand within functions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

Relay = Annotated[float, Field(ge=0, le=100)]
"""The strength of one synapse of each neuron, from the channel of its own number."""


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """The layers between an activity and spikes, their initialisation and their constraints."""

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
        """Return the layer from activity [T, B, c_in, H, W] to current [T, B, c_out, H', W'].

        The size is kept at stride 1. `branches` is how many such currents are added before the
        neuron (1 in a chain). `summed` is how many neurons' spikes are added up in each channel of
        the activity (1 in a chain; it grows along residual blocks that add spikes to spikes).
        Methods whose scale is set by theory need both; one that measures or normalises does not.
        """

    def readout(self, features: int, classes: int) -> nn.Module:
        """Return the layer from activity [T, B, features] to logits [T, B, classes]."""
        from torch import nn

        return nn.Linear(features, classes)

    def neuron(self, channels: int) -> nn.Module:
        """Return the layer from current [T, B, channels, H, W] to spikes of the same shape."""
        from eibench.nn import LIF

        return LIF(**self.lif)

    def prepare(self, model: nn.Module, batch: Tensor, generator: Generator) -> None:  # noqa: B027
        """Initialise `model` on one training batch [T, B, ...]; called once per model."""

    def project(self, model: nn.Module) -> None:  # noqa: B027
        """Restore the constraints on parameters; called after every optimizer step."""

    def param_groups(self, model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
        """Return every trainable parameter once: matrices and kernels decay, vectors do not.

        A vector here is a bias, a gain or a normaliser's scale. Chosen by shape, not by name. A
        normaliser's scales for each time step, [T, C], decay as well, in a group of which
        `vectors` is true: to an optimizer of matrices they are none.
        """
        from torch.nn.modules.batchnorm import _NormBase

        trained = [p for p in model.parameters() if p.requires_grad]
        norms = [m for m in model.modules() if isinstance(m, _NormBase)]
        scales = {id(p) for norm in norms for p in norm.parameters(recurse=False)}
        matrices = [p for p in trained if p.dim() > 1]
        groups = [
            {"params": [p for p in matrices if id(p) not in scales], "weight_decay": weight_decay},
            {
                "params": [p for p in matrices if id(p) in scales],
                "weight_decay": weight_decay,
                "vectors": True,
            },
            {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]


class Inhibited(Method):
    """A method of E-I layers: drawn in forward order on the first batch, kept under Dale's law."""

    def prepare(self, model: nn.Module, batch: Tensor, generator: Generator) -> None:
        from eibench.nn import initialize

        initialize(model, batch, generator)

    def project(self, model: nn.Module) -> None:
        from eibench.nn import project_

        project_(model)


def kaiming_conv(c_in: int, c_out: int, kernel: int, *, stride: int, bias: bool) -> nn.Conv2d:
    """Return a size-keeping convolution with Kaiming normal weights (fan-in), zero bias.

    Source: He et al., "Delving Deep into Rectifiers" (ICCV 2015), equation 10: gain sqrt 2.
    """
    import torch
    from torch import nn

    conv = nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
    if bias:  # set here: torch would draw it, and shift the stream against methods without one
        conv.bias = nn.Parameter(torch.zeros(c_out))
    return conv


def add_relay_(weight: Tensor, strength: float) -> None:
    """Strengthen one synapse of each neuron, a relay, in weights [n, C, ...] of mean zero.

    It comes from the channel of the neuron's own number, at the kernel's middle, and is `strength`
    times as strong as all others of the row together; the mean square of the weights stays. The
    control of the E-I circuit's relays.
    """
    import torch

    from eibench.nn import functional as F

    if strength == 0:
        return
    with torch.no_grad():
        others = (weight.square().mean() * weight[0].numel()).sqrt()
        F.add_identity_weight_(weight, strength * others)
        weight.div_((1 + strength**2) ** 0.5)


@dataclass(frozen=True, kw_only=True)
class Normalized(Method):
    """A method of the form: convolution without bias, then a normalising layer."""

    @abstractmethod
    def norm(self, channels: int, branches: int) -> nn.Module:
        """Return the normalising layer for [T, B, channels, H, W]."""

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
        from eibench.nn import Current, TimeDistributed

        conv = self.synapse(c_in, c_out, kernel, stride)
        return Current(TimeDistributed(conv), self.norm(c_out, branches))

    def synapse(self, c_in: int, c_out: int, kernel: int, stride: int) -> nn.Conv2d:
        """Return the convolution, with its first weights."""
        return kaiming_conv(c_in, c_out, kernel, stride=stride, bias=False)
