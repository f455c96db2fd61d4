"""`dann`: Dale's ANN (Cornford et al., ICLR 2021), the ancestor of the E-I circuit.

Each convolution is a layer of `eibench.nn.dann`, and so is the readout, which divides like any
other. What the E-I paper (Liu, Ding and Yu, ICLR 2026) changed:

- statistics: DANN starts as suits half-rectified normal activity. E-I Init measures what arrives.
- divisor: DANN adds `epsilon`. E-I Prop replaces exact zeros. The authors' 1e-8 is for neurons with
  receptive fields that are never silent. Where spikes leave one silent, it multiplies gradients by
  1e8; here it is 0.1, a quarter of the usual divisor.
- gradients: DANN corrects those of W_IE, W_EI and alpha. E-I Prop scales that of W_EI alone, by the
  same 1/d, and learns g_I in place of its logarithm alpha.
- numbers: DANN has an inhibitory neuron for ten excitatory ones, E-I one for four. Its readout
  divides.

Dale's law is restored after every optimizer step, in both by clamping at zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from eibench.methods.base import Inhibited
from eibench.plan.options import METHODS, Count, MethodOptions

if TYPE_CHECKING:
    from torch import nn


class DANNOptions(MethodOptions):
    """Dale's ANN: inhibition that subtracts and divides, corrected inhibitory gradients."""

    name = "dann"
    refuses_negative_input = "Dale's law needs activity that is not negative"
    ei_ratio: Count = 10
    """Excitatory neurons per inhibitory one."""
    epsilon: float = Field(0.1, gt=0)
    """Added to the divisor."""
    corrections: bool = True
    """Gradients of inhibitory parameters are corrected by the Fisher information."""


@METHODS.register(DANNOptions)
@dataclass(frozen=True, kw_only=True)
class DANN(Inhibited):
    """DANN layers in place of convolutions and readout."""

    options: DANNOptions

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
        from eibench.nn import DANNConv2d

        return DANNConv2d(c_in, c_out, kernel, stride, kernel // 2, **self.options.model_dump())

    def readout(self, features: int, classes: int) -> nn.Module:
        from eibench.nn import DANNLinear

        return DANNLinear(features, classes, **self.options.model_dump())
