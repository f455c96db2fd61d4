"""`WSConv2d`: a convolution whose kernels are standardised each time they are used.

    W^ = gain (W - mean) / sqrt(n Var + eps)

for each output channel alone, with mean and unbiased variance over its n = C_in k k weights,
eps = 1e-4. A kernel then sums to zero, and its squares to gain^2 (n - 1) / n: inputs of variance
1 / gain^2 that are independent give a current of unit variance, without statistics of activity.

Source: "IS-SNN" (ECCV 2026), scaled weight standardisation; after Qiao et al., "Weight
Standardization" (2019), and Brock et al., "Characterizing Signal Propagation to Close the
Performance Gap in Unnormalized ResNets" (ICLR 2021).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPS = 1e-4


class WSConv2d(nn.Conv2d):
    """Convolution with standardised kernels: samples [N, C_in, H, W] to [N, C_out, H', W'].

    Kernels start as Kaiming normal draws, the bias at zero.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel_size: k, side of the square kernel.
        stride: step of the kernel.
        padding: zeros added on each side.
        gain: where the gain starts; it belongs to the state.
        learned: whether the gain is a parameter [C_out]; else it is a scalar buffer.
        deviation: of the current after `measure_gain`.

    Raises:
        ValueError: a kernel of a single weight, which has no variance.
    """

    gain: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        gain: float = 1.0,
        learned: bool = False,
        deviation: float = 1.0,
    ) -> None:
        if in_channels * kernel_size**2 < 2:
            raise ValueError("weight standardisation needs kernels of at least 2 weights, got 1")
        super().__init__(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=False
        )
        nn.init.kaiming_normal_(self.weight, mode="fan_in", nonlinearity="relu")
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.deviation = deviation
        if learned:
            self.gain = nn.Parameter(torch.full((out_channels,), gain))
        else:
            self.register_buffer("gain", torch.tensor(gain))

    def standardized(self) -> Tensor:
        """Return W^ [C_out, C_in, k, k]."""
        var, mean = torch.var_mean(self.weight, (1, 2, 3), keepdim=True)
        fan_in = self.weight[0].numel()
        return (self.weight - mean) * (
            self.gain.view(-1, 1, 1, 1) * torch.rsqrt(fan_in * var + EPS)
        )

    @torch.no_grad()
    def measure_gain(self, x: Tensor) -> bool:
        """Scale the gain so that the current of samples `x` has `deviation`, over all channels.

        Return whether it could: a current that does not vary leaves the gain as it is.
        """
        found = self.forward(x).std(correction=0)  # without hooks
        varies = bool(found > 0)
        if varies:
            self.gain.div_(found / self.deviation)
        return varies

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self._conv_forward(x, self.standardized(), self.bias)
        return y
