"""`no_norm`: convolution with bias and nothing else, Kaiming normal initialisation.

The floor of the comparison: what is lost when normalisation is simply left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from eibench.methods.base import Method, kaiming_conv
from eibench.nn import TimeDistributed


@dataclass(frozen=True, kw_only=True)
class NoNorm(Method):
    """No normalisation."""

    def conv(
        self, c_in: int, c_out: int, kernel: int, *, stride: int = 1, branches: int = 1
    ) -> nn.Module:
        return TimeDistributed(kaiming_conv(c_in, c_out, kernel, stride=stride, bias=True))
