"""E-I layers: a synapse and its inhibition in one module, from activity to integrated current.

`EIConv2d` and `EILinear` share everything but the product with the input, so the circuit, its
initialisation and its flag are written once in `EILayer`. Parameters are zero until E-I Init has
seen one batch of activity; using a layer before that raises `NotInitializedError`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor, nn

from eibench.nn import functional as F
from eibench.nn.time import merge_time, split_time


class NotInitializedError(RuntimeError):
    """An E-I layer was used before E-I Init."""


class InitializationError(ValueError):
    """E-I Init cannot work from this activity (silent, constant, negative, not finite)."""


class EILayer(nn.Module):
    """The E-I circuit over an unspecified synapse: base of `EIConv2d` and `EILinear`.

    Dale's law holds for every parameter but `bias`: `non_negative()` lists the others, and
    `project_` keeps them at or above zero after an optimizer step.
    """

    initialized: Tensor

    def __init__(
        self, receptive_field: tuple[int, ...], excitatory: int, ei_ratio: int, readout: bool
    ) -> None:
        super().__init__()
        if excitatory < 1 or any(size < 1 for size in receptive_field):
            raise ValueError(f"an E-I layer needs sizes of at least 1, not {receptive_field}")
        if ei_ratio < 1:
            raise ValueError(f"ei_ratio must be at least 1, not {ei_ratio}")
        inhibitory = max(1, excitatory // ei_ratio)
        self.fan_in = math.prod(receptive_field)
        self.readout = readout
        self.weight_ee = nn.Parameter(torch.zeros(excitatory, *receptive_field))
        self.weight_ie = nn.Parameter(torch.zeros(inhibitory, *receptive_field))
        self.weight_ei = nn.Parameter(torch.zeros(excitatory, inhibitory))
        if not readout:
            self.gain_i = nn.Parameter(torch.zeros(inhibitory))
            self.gain_e = nn.Parameter(torch.zeros(excitatory))
            self.bias = nn.Parameter(torch.zeros(excitatory))
        self.register_buffer("initialized", torch.tensor(False))
        self._ready = False  # the buffer's value, readable without waiting for a device

    def non_negative(self) -> list[nn.Parameter]:
        """The parameters that Dale's law keeps at or above zero."""
        weights = [self.weight_ee, self.weight_ie, self.weight_ei]
        return weights if self.readout else [*weights, self.gain_i, self.gain_e]

    def _synapse(self, x: Tensor, weight: Tensor) -> Tensor:
        """`weight` applied to activity `x` [N, ...]: a convolution or a matrix product."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Integrated current [T, B, n_E, ...] of activity `x` [T, B, ...], `x` >= 0."""
        if not self._ready:
            raise NotInitializedError(
                f"{type(self).__name__} is not initialised: call eibench.nn.initialize(model, "
                "batch), or .initialize(x) on the layer, with a batch of its input [T, B, ...]"
            )
        return split_time(self._circuit(merge_time(x)), like=x)

    def _circuit(self, x: Tensor) -> Tensor:
        """The equations of `functional.ei` on activity [N, ...], both synapses in one product."""
        n_e, n_i = self.weight_ei.shape
        drive = self._synapse(x, torch.cat([self.weight_ee, self.weight_ie]))
        i_ee: Tensor
        i_ee, i_ie = drive.split([n_e, n_i], dim=1)
        weight_ei = F.scale_gradient(self.weight_ei, 1.0 / self.fan_in)
        if self.readout:
            return i_ee - F.mix_channels(i_ie.relu(), weight_ei)
        i_sub, i_div = F.inhibit(i_ie.relu(), weight_ei, self.gain_i)
        return F.integrate(i_ee, i_sub, i_div, self.gain_e, self.bias)

    @torch.no_grad()
    def currents(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """I_EE and I_sub, each [T, B, n_E, ...], of activity `x` [T, B, ...], to look at."""
        samples = merge_time(x)
        i_ee = self._synapse(samples, self.weight_ee)
        s_i = self._synapse(samples, self.weight_ie).relu()
        i_sub = F.mix_channels(s_i, self.weight_ei)
        return split_time(i_ee, like=x), split_time(i_sub, like=x)

    @torch.no_grad()
    def initialize(self, x: Tensor, generator: Generator | None = None) -> None:
        """E-I Init (section 3 of the paper) from activity `x` [T, B, ...] at this layer's input.

        W_EE and W_IE are drawn from an exponential law of mean lambda, W_EI is 1/n_I, g_I makes
        the mean divisor the deviation of the excitation, g_E is 1 and b_E is 0.

        Args:
            x: non-negative activity [T, B, ...] with T * B >= 2 samples that differ.
            generator: source of randomness; the draw is made on its device, so a layer on a GPU
                gets the weights that a CPU would get.

        Raises:
            InitializationError: the activity gives no usable statistics.
        """
        stats = self._checked_statistics(merge_time(x))
        scale = F.weight_scale(stats, self.fan_in)
        for weight in (self.weight_ee, self.weight_ie):
            device = generator.device if generator is not None else weight.device
            draw = torch.empty(weight.shape, dtype=weight.dtype, device=device)
            weight.copy_(draw.exponential_(1.0 / scale, generator=generator))
        self.weight_ei.fill_(1.0 / self.weight_ei.shape[1])
        if not self.readout:
            self.gain_i.fill_(F.divisive_gain(stats, self.fan_in))
            self.gain_e.fill_(1.0)
            self.bias.zero_()
        self.initialized.fill_(True)
        self._ready = True

    def _checked_statistics(self, x: Tensor) -> F.InitStatistics:
        """Statistics of `x` [N, ...], or an error that says what is wrong with the activity."""
        if x.shape[0] < 2:
            raise InitializationError("E-I Init needs at least 2 samples (T * B), got 1")
        lowest = x.min().item()
        if lowest < 0:
            raise InitializationError(
                f"E-I Init needs activity >= 0, got a minimum of {lowest:.3g}; "
                "leave images in [0, 1], without mean/std normalisation"
            )
        stats = F.input_statistics(x)
        if not all(map(math.isfinite, stats)):
            raise InitializationError("E-I Init got activity that is not finite")
        if stats.mean == 0 or stats.variance == 0:
            what = "silent" if stats.mean == 0 else "the same for every sample"
            raise InitializationError(f"E-I Init needs activity that varies; this input is {what}")
        return stats

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._ready = bool(self.initialized)


class EIConv2d(EILayer):
    """E-I convolution: activity [T, B, C_in, H, W] to integrated current [T, B, n_E, H', W'].

    Args:
        in_channels: C_in, presynaptic channels.
        out_channels: n_E, excitatory neurons per position.
        kernel_size: k, side of the square kernel; the fan-in d is C_in * k * k.
        stride: step of the kernel.
        padding: zeros added on each side.
        ei_ratio: excitatory neurons per inhibitory one; n_I = max(1, n_E // ei_ratio).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        ei_ratio: int = 4,
    ) -> None:
        field = (in_channels, kernel_size, kernel_size)
        super().__init__(field, out_channels, ei_ratio, readout=False)
        self.stride = stride
        self.padding = padding

    def _synapse(self, x: Tensor, weight: Tensor) -> Tensor:
        return nn.functional.conv2d(x, weight, stride=self.stride, padding=self.padding)

    def extra_repr(self) -> str:
        n_e, c_in, k, _ = self.weight_ee.shape
        return (
            f"{c_in}, {n_e}, kernel_size={k}, stride={self.stride}, padding={self.padding}, "
            f"inhibitory={self.weight_ie.shape[0]}"
        )


class EILinear(EILayer):
    """E-I dense layer: activity [T, B, in_features] to integrated current [T, B, n_E].

    As a readout it returns I_EE - I_sub: no division, gain, bias; average it over T for logits.

    Args:
        in_features: presynaptic neurons; the fan-in d.
        out_features: n_E, excitatory neurons (classes, for a readout).
        ei_ratio: excitatory neurons per inhibitory one; n_I = max(1, n_E // ei_ratio).
        readout: whether this is the network's last layer.
    """

    def __init__(
        self, in_features: int, out_features: int, ei_ratio: int = 4, readout: bool = False
    ) -> None:
        super().__init__((in_features,), out_features, ei_ratio, readout)

    def _synapse(self, x: Tensor, weight: Tensor) -> Tensor:
        return nn.functional.linear(x, weight)

    def extra_repr(self) -> str:
        n_e, d = self.weight_ee.shape
        return f"{d}, {n_e}, inhibitory={self.weight_ie.shape[0]}, readout={self.readout}"
