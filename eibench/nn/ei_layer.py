"""The E-I circuit as a module, over a synapse that subclasses choose.

The way of an activity x through a layer (section 2 of the paper; equations in `functional.ei`):

    x [T, B, ...] -> samples [T * B, ...] -> `_current` -> I [T, B, n_E, ...] -> neuron -> spikes

`_current` takes the shortest way that the circuit allows. `fire` goes from x to spikes in one
function (`kernels.ei_lif`). All ways have the same values and gradients, to rounding.

Parameters are zero until E-I Init has seen one batch of activity; using a layer before that raises
`NotInitializedError` (see `readiness`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from eibench.nn import functional as F
from eibench.nn.autograd import may_update, tracing
from eibench.nn.ei_parameters import EIParameters
from eibench.nn.kernels.division import integrate
from eibench.nn.kernels.ei_circuit import CircuitKind, Drive, ei_current
from eibench.nn.kernels.ei_fold import fold_weights, worth_folding
from eibench.nn.kernels.ei_lif import Size, ei_lif
from eibench.nn.kernels.lif import lif
from eibench.nn.kernels.recompute import recompute_in_backward
from eibench.nn.neurons import LIF
from eibench.nn.readiness import NotInitializedError
from eibench.nn.time import copy_step, in_fast_order, is_repeated, merge_time, split_time

__all__ = ["EILayer", "NotInitializedError"]


class EILayer(EIParameters):
    """The E-I circuit over an unspecified synapse: base of `EIConv2d` and `EILinear`.

    `project_` keeps every parameter but `bias` at or above zero (Dale's law) after each optimizer
    step. `circuit` and `init` switch parts off or replace them; a part that is off has no
    parameters. `balance` keeps excitation and inhibition balanced while the layer learns.
    Spiking inhibitory cells (`Circuit.inhibitory_cell = "lif"`) go beyond the paper: LIF neurons
    of time constant tau_I, whose spikes carry their threshold theta_I, the charge received. E-I
    Init sets theta_I to the mean drive and scales W_EI so that balance holds for the spikes.
    """

    # --- From activity to current or spikes ------------------------------------------------------

    def forward(self, x: Tensor) -> Tensor:
        """Return the integrated current [T, B, n_E, ...] of activity `x` [T, B, ...], `x` >= 0.

        Raises:
            NotInitializedError: before E-I Init.
            ValueError: `x` has another shape, such as none of time.
            TypeError: `x` has another dtype than the weights.
        """
        if is_repeated(x) and self.memoryless:
            return copy_step(self.once(x[:1], len(x)), len(x))
        return self.once(x, 1)

    def once(self, x: Tensor, times: int) -> Tensor:
        """Compute one [1, B, ...] of `times` equal steps, where the layer is `memoryless`."""
        self._require_usable(x)
        samples = in_fast_order(merge_time(x), self)
        return split_time(self._current(samples, steps=len(x)), like=x)

    @property
    def memoryless(self) -> bool:
        """Return whether equal steps give equal currents: not where inhibitory cells remember."""
        return self.circuit.inhibitory_cell == "rectifier"

    def fire(self, x: Tensor, neuron: LIF) -> Tensor:
        """Return `neuron(self(x))` [T, B, n_E, ...], computed in one function.

        Only layers whose `fires` is true can.
        """
        self._require_usable(x)
        step = x[:1] if is_repeated(x) else x
        drive = self._drive(in_fast_order(merge_time(step), self))
        return ei_lif(drive, Size(*x.shape[:2]), neuron.constants)

    def _current(self, x: Tensor, steps: int) -> Tensor:
        """Return I [T * B, n_E, ...] of activity [T * B, ...], T being `steps`."""
        if self.fires and not (x.is_meta or tracing()):
            return ei_current(self._drive(x))
        if self.one_synapse:
            if self.plastic and self.training and torch.is_grad_enabled() and may_update():
                self._follow(x, self.balance.plasticity)
            synapse = self.whole_synapse()
            return self._synapse(x, synapse, None if self.readout else self.tonic(synapse))
        return self._by_equations(x, steps)

    def whole_synapse(self) -> Tensor:
        """Return g_E times the net synapse [n_E, ...], where that is the whole circuit."""
        if not self.nets:
            weights = self._weight("ee"), self._weight("ie"), self._lateral(), self.gain_e
            return fold_weights(*weights, cells=False)
        net = self.net_synapse()
        return net if self.readout else net * self.gain_e.view(-1, *[1] * (net.dim() - 1))

    def _drive(self, x: Tensor) -> Drive:
        """Return both synapses' product with `x`, and the rest of the circuit behind it."""
        weight_ee, weight_ie, weight_ei = self._direct(), self._weight("ie"), self._lateral()
        linear, rule = self.circuit.linear_cells, self.circuit.stabilize
        subtracts = self.subtracts and not self.nets
        folded = subtracts and linear and worth_folding(x, self._positions(x), self.fan_in)
        kind = CircuitKind(subtracts, folded, not linear, rule)

        def stacked() -> Tensor:
            if kind.folded:
                return fold_weights(weight_ee, weight_ie, weight_ei, self.gain_e)
            return torch.cat([weight_ee, weight_ie])

        weight = stacked()
        sources = [self.weight_ee, self.weight_ie, self.weight_ei, self.gain_e]
        with recompute_in_backward(weight, stacked, sources):
            values = self._synapse(x, weight)
        return Drive(values, kind, (weight_ei, self.gain_i, self.gain_e, self.bias))

    def _by_equations(self, x: Tensor, steps: int) -> Tensor:
        """Compute the circuit one equation after another, as `functional.ei` states them."""
        if not (self.subtracts or self.divides):
            return self._scale_shift(self._synapse(x, self._direct()))
        i_ee, s_i = self._activity(x, steps)
        weight_ei = self._lateral()
        if not self.divides:
            return self._scale_shift(i_ee - F.mix_channels(s_i, weight_ei))
        i_sub: Tensor | None = None
        if self.subtracts and not self.nets:
            i_sub, i_div = F.inhibit(s_i, weight_ei, self.gain_i)
        else:
            i_div = F.mix_channels(s_i, weight_ei * self.gain_i)
        rule = self.circuit.stabilize
        return integrate(i_ee, i_sub, i_div, self.gain_e, self.bias, rule, self.straight)

    def _scale_shift(self, net: Tensor) -> Tensor:
        return net if self.readout else F.scale_shift(net, self.gain_e, self.bias)

    def _activity(self, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Return I_EE [N, n_E, ...] and s_I [N, n_I, ...], both synapses in one product.

        The net current takes the place of I_EE where the net synapse is computed.
        """
        drive = self._synapse(x, torch.cat([self._direct(), self._weight("ie")]))
        i_ee: Tensor
        i_ee, z_i = drive.split([self.weight_ee.shape[0], self.weight_ie.shape[0]], dim=1)
        if self.circuit.inhibitory_cell == "rectifier":
            return i_ee, z_i if self.circuit.linear_cells else z_i.relu()
        scaled = z_i.unflatten(0, (steps, -1)) / self.inhibitory_threshold
        spikes = lif(scaled, F.LIFParameters.from_options(self.circuit.inhibitory_tau))
        return i_ee, merge_time(spikes) * self.inhibitory_threshold

    def _synapse(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return `weight` * activity `x` [N, ...] + `bias`: a convolution or a matrix product."""
        raise NotImplementedError

    def _positions(self, x: Tensor) -> int:
        """Return the number of positions, of all samples `x` [N, ...], that the synapse reads."""
        raise NotImplementedError

    @torch.no_grad()
    def currents(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return I_EE and I_sub, each [T, B, n_E, ...], of activity `x` [T, B, ...], to look at.

        None where the layer has no subtractive inhibition. I_sub has that of the blanket cell.
        """
        samples = merge_time(x)
        if self.nets and (self.subtracts or self.balance.blanket):
            i_ee = self._synapse(samples, self.weight_ee)
            i_sub = i_ee - self._synapse(samples, self._rows(unit=False))
        elif self.subtracts:
            i_ee, s_i = self._activity(samples, steps=x.shape[0])
            i_sub = F.mix_channels(s_i, self.weight_ei)
        else:
            return None
        return split_time(i_ee, like=x), split_time(i_sub, like=x)

    @torch.no_grad()
    def _balance_spikes(self, x: Tensor) -> None:
        """Set theta_I to the mean drive, and scale W_EI by that drive over the spikes' mean."""
        self.inhibitory_threshold.fill_(1.0)
        samples = merge_time(x)
        drive = self._synapse(samples, self.weight_ie).mean()
        if drive > 0:
            self.inhibitory_threshold.copy_(drive)
        sent = self._activity(samples, steps=x.shape[0])[1].mean()
        if sent > 0:
            self.weight_ei.mul_(drive / sent)
