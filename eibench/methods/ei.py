"""`ei`: lateral inhibition in place of normalisation (Liu, Ding and Yu, ICLR 2026).

Each convolution is an E-I layer; the readout is one without division. E-I Init runs once on the
first training batch, Dale's law is restored after every optimizer step. Weight decay acts on the
three weight matrices, not on gains and biases, unless `train.weight_decay_on` is `all`, as in the
authors' code.
Every option but `ei_ratio` and `homeostasis` is one of `eibench.nn.Circuit`, `eibench.nn.EIInit`
or `eibench.nn.Balance`, by name, and acts on every layer; the last, calibration and homeostasis go
beyond the paper. E-I Init measures the activity that arrives, so that branches and sums of
spikes need no rule of their own.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from torch import Generator, Tensor, nn

from eibench.methods.base import Method
from eibench.nn import (
    Balance,
    Circuit,
    EIConv2d,
    EIInit,
    EILinear,
    HomeostaticLIF,
    initialize,
    project_,
)


@dataclass(frozen=True, kw_only=True)
class EI(Method):
    """The E-I circuit. `ei_ratio`: excitatory neurons per inhibitory one; `homeostasis`: how fast a
    neuron's bias follows its rate."""

    ei_ratio: int
    subtractive: bool
    divisive: bool
    stabilization: str
    epsilon: float
    leak: float
    straight_through: bool
    kappa: float
    dale: bool
    inhibitory_cell: str
    inhibitory_tau: float
    init_statistics: str
    init_rate: float
    silent_layer: str
    weight_law: str
    law_shape: float
    law_match: str
    topography: float | None
    relay: float
    weight_scale: float
    gain_scale: float
    lateral_init: str
    calibration: str
    calibration_mean: float | None
    calibration_deviation: float | None
    mean_mode_ee: float
    mean_mode_ie: float
    mean_mode_ei: float
    synaptic_scaling: bool
    homeostasis: float

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
        return EIConv2d(
            c_in, c_out, kernel, stride=stride, padding=kernel // 2, **self._layer_options()
        )

    def readout(self, features: int, classes: int) -> nn.Module:
        return EILinear(features, classes, readout=True, **self._layer_options())

    def neuron(self, channels: int) -> nn.Module:
        if self.homeostasis == 0:
            return super().neuron(channels)
        target = self.init_rate if self.init_statistics == "fixed" else None
        return HomeostaticLIF(channels, self.homeostasis, target, **self.lif)

    def _layer_options(self) -> dict[str, Any]:
        return {
            "ei_ratio": self.ei_ratio,
            "circuit": Circuit(**self._named_like(Circuit)),
            "init": EIInit(**self._named_like(EIInit)),
            "balance": Balance(**self._named_like(Balance)),
        }

    def _named_like(self, part: type[Circuit | EIInit | Balance]) -> dict[str, Any]:
        """The options that have the names of a dataclass's fields."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(part)}

    def prepare(self, model: nn.Module, batch: Tensor, generator: Generator) -> None:
        initialize(model, batch, generator)

    def project(self, model: nn.Module) -> None:
        project_(model)
