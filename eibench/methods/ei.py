"""`ei`: lateral inhibition in place of normalisation (Liu, Ding and Yu, ICLR 2026).

Each convolution is an E-I layer; the readout is one without division. E-I Init runs once on the
first training batch, Dale's law is restored after every optimizer step. Weight decay acts on the
three weight matrices, not on gains and biases; the paper's text does not single these out.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor, nn

from eibench.methods.base import Method
from eibench.nn import EIConv2d, EILinear, initialize, project_


@dataclass(frozen=True, kw_only=True)
class EI(Method):
    """The E-I circuit. `ei_ratio`: excitatory neurons per inhibitory one."""

    ei_ratio: int

    def conv(
        self, c_in: int, c_out: int, kernel: int, *, stride: int = 1, branches: int = 1
    ) -> nn.Module:
        return EIConv2d(
            c_in, c_out, kernel, stride=stride, padding=kernel // 2, ei_ratio=self.ei_ratio
        )

    def readout(self, features: int, classes: int) -> nn.Module:
        return EILinear(features, classes, ei_ratio=self.ei_ratio, readout=True)

    def prepare(self, model: nn.Module, batch: Tensor, generator: Generator) -> None:
        initialize(model, batch, generator)

    def project(self, model: nn.Module) -> None:
        project_(model)
