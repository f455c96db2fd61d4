"""E-I layers: a synapse and its inhibition in one module, from activity to integrated current.

`EIConv2d` and `EILinear` share everything but the product with the input (see `EILayer`).
"""

from __future__ import annotations

from torch import Tensor, nn

from eibench.nn.circuit import (
    PAPER_BALANCE,
    PAPER_CIRCUIT,
    PAPER_INIT,
    Balance,
    Circuit,
    EIInit,
    departures,
)
from eibench.nn.ei_layer import EILayer


class EIConv2d(EILayer):
    """E-I convolution: activity [T, B, C_in, H, W] to integrated current [T, B, n_E, H', W'].

    Args:
        in_channels: C_in, presynaptic channels.
        out_channels: n_E, excitatory neurons per position.
        kernel_size: k, side of the square kernel; the fan-in d is C_in * k * k.
        stride: step of the kernel.
        padding: zeros added on each side.
        ei_ratio: excitatory neurons per inhibitory one; n_I = max(1, n_E // ei_ratio).
        circuit: which parts the layer has; the paper's by default.
        init: how weights and gains are drawn; the paper's E-I Init by default.
        balance: what keeps the layer balanced while it learns; nothing by default, as in the paper.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        ei_ratio: int = 4,
        circuit: Circuit = PAPER_CIRCUIT,
        init: EIInit = PAPER_INIT,
        balance: Balance = PAPER_BALANCE,
    ) -> None:
        field = (in_channels, kernel_size, kernel_size)
        super().__init__(field, out_channels, ei_ratio, False, circuit, init, balance)
        self.stride = stride
        self.padding = padding

    def _synapse(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return nn.functional.conv2d(x, weight, bias, self.stride, self.padding)

    def _positions(self, x: Tensor) -> int:
        return len(x) * x.shape[2] * x.shape[3] // self.stride**2

    def extra_repr(self) -> str:
        n_e, c_in, k, _ = self.weight_ee.shape
        return (
            f"{c_in}, {n_e}, kernel_size={k}, stride={self.stride}, padding={self.padding}"
            f"{departures(self.circuit, self.init, self.balance)}"
        )


class EILinear(EILayer):
    """E-I dense layer: activity [T, B, in_features] to integrated current [T, B, n_E].

    As a readout it returns I_EE - I_sub: no division, gain, bias; average it over T for logits.

    Args:
        in_features: presynaptic neurons; the fan-in d.
        out_features: n_E, excitatory neurons (classes, for a readout).
        ei_ratio: excitatory neurons per inhibitory one; n_I = max(1, n_E // ei_ratio).
        readout: whether this is the network's last layer.
        circuit: which parts the layer has; the paper's by default.
        init: how weights and gains are drawn; the paper's E-I Init by default.
        balance: what keeps the layer balanced while it learns; nothing by default, as in the paper.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        ei_ratio: int = 4,
        readout: bool = False,
        circuit: Circuit = PAPER_CIRCUIT,
        init: EIInit = PAPER_INIT,
        balance: Balance = PAPER_BALANCE,
    ) -> None:
        super().__init__((in_features,), out_features, ei_ratio, readout, circuit, init, balance)

    def _synapse(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return nn.functional.linear(x, weight, bias)

    def _positions(self, x: Tensor) -> int:
        return len(x)

    def extra_repr(self) -> str:
        n_e, d = self.weight_ee.shape
        return (
            f"{d}, {n_e}, readout={self.readout}{departures(self.circuit, self.init, self.balance)}"
        )
