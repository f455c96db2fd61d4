"""The E-I circuit as a module, over a synapse that subclasses choose.

The way of an activity x through a layer (section 2 of the paper; equations in `functional.ei`):

    x [T, B, ...] -> samples [T * B, ...] -> `_current` -> I [T, B, n_E, ...] -> neuron -> spikes

`_current` takes the shortest way that the circuit allows. `fire` goes from x to spikes in one
function (`kernels.ei_lif`). All ways have the same values and gradients, to rounding.

Parameters are zero until E-I Init has seen one batch of activity; using a layer before that raises
`NotInitializedError` (see `readiness`).
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from eibench.nn import functional as F
from eibench.nn.autograd import tracing
from eibench.nn.circuit import Balance, Circuit, EIInit
from eibench.nn.ei_init import DrawnWeights, calibrate_, draw_lateral, draw_synapses
from eibench.nn.kernels.division import integrate
from eibench.nn.kernels.ei_circuit import CircuitKind, Drive, ei_current
from eibench.nn.kernels.ei_fold import fold_weights, worth_folding
from eibench.nn.kernels.ei_lif import Size, ei_lif
from eibench.nn.kernels.lif import lif
from eibench.nn.kernels.recompute import recompute_in_backward
from eibench.nn.neurons import LIF
from eibench.nn.readiness import DrawnFromData, NotInitializedError
from eibench.nn.time import copy_step, in_fast_order, is_repeated, merge_time, split_time

__all__ = ["EILayer", "NotInitializedError"]


class EILayer(DrawnFromData):
    """The E-I circuit over an unspecified synapse: base of `EIConv2d` and `EILinear`.

    `project_` keeps every parameter but `bias` at or above zero (Dale's law) after each optimizer
    step. `circuit` and `init` switch parts off or replace them; a part that is off has no
    parameters. `balance` keeps excitation and inhibition balanced while the layer learns.
    Spiking inhibitory cells (`Circuit.inhibitory_cell = "lif"`) go beyond the paper: LIF neurons
    of time constant tau_I, whose spikes carry their threshold theta_I, the charge received. E-I
    Init sets theta_I to the mean drive and scales W_EI so that balance holds for the spikes.
    """

    inhibitory_threshold: Tensor

    def __init__(
        self,
        receptive_field: tuple[int, ...],
        excitatory: int,
        ei_ratio: int,
        readout: bool,
        circuit: Circuit,
        init: EIInit,
        balance: Balance,
    ) -> None:
        super().__init__(receptive_field)
        if excitatory < 1 or any(size < 1 for size in receptive_field):
            raise ValueError(f"an E-I layer needs sizes of at least 1, not {receptive_field}")
        if ei_ratio < 1:
            raise ValueError(f"ei_ratio must be at least 1, not {ei_ratio}")
        inhibitory = max(1, excitatory // ei_ratio)
        self.fan_in = math.prod(receptive_field)
        self.readout = readout
        self.circuit, self.init, self.balance = circuit, init, balance
        self.subtracts = circuit.subtractive
        self.divides = circuit.divisive and not readout
        self.fires = self.divides and circuit.straight and circuit.inhibitory_cell == "rectifier"
        """True where the circuit is one function, which can have the neuron in it as well."""
        linear = self.subtracts and circuit.linear_cells and not self.divides
        self.one_synapse = linear and not readout
        """True where the circuit is a product with one matrix, g_E (W_EE - W_EI W_IE)."""
        self.weight_ee = nn.Parameter(torch.zeros(excitatory, *receptive_field))
        if self.subtracts or self.divides:
            self.weight_ie = nn.Parameter(torch.zeros(inhibitory, *receptive_field))
            self.weight_ei = nn.Parameter(torch.zeros(excitatory, inhibitory))
            if circuit.inhibitory_cell == "lif":
                self.register_buffer("inhibitory_threshold", torch.tensor(1.0))
        if self.divides:
            self.gain_i = nn.Parameter(torch.zeros(inhibitory))
        if not readout:
            self.gain_e = nn.Parameter(torch.zeros(excitatory))
            self.bias = nn.Parameter(torch.zeros(excitatory))
        if balance.synaptic_scaling and circuit.dale:
            for name, weight in self._matrices().items():
                self.register_buffer(f"sum_{name}", torch.zeros(len(weight)))
        self._drawn = tuple(self._parameters)

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
            weights = self._weight("ee"), self._weight("ie"), self._lateral(), self.gain_e
            return self._synapse(x, fold_weights(*weights, cells=False), self.bias)
        return self._by_equations(x, steps)

    def _drive(self, x: Tensor) -> Drive:
        """Return both synapses' product with `x`, and the rest of the circuit behind it."""
        weight_ee, weight_ie, weight_ei = self._weight("ee"), self._weight("ie"), self._lateral()
        linear, rule = self.circuit.linear_cells, self.circuit.stabilize
        cheaper = worth_folding(x, self._positions(x), self.fan_in)
        kind = CircuitKind(self.subtracts, self.subtracts and linear and cheaper, not linear, rule)

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
            return self._scale_shift(self._synapse(x, self._weight("ee")))
        i_ee, s_i = self._activity(x, steps)
        weight_ei = self._lateral()
        if not self.divides:
            return self._scale_shift(i_ee - F.mix_channels(s_i, weight_ei))
        i_sub: Tensor | None = None
        if self.subtracts:
            i_sub, i_div = F.inhibit(s_i, weight_ei, self.gain_i)
        else:
            i_div = F.mix_channels(s_i, weight_ei * self.gain_i)
        rule, straight = self.circuit.stabilize, self.circuit.straight
        return integrate(i_ee, i_sub, i_div, self.gain_e, self.bias, rule, straight)

    def _scale_shift(self, net: Tensor) -> Tensor:
        return net if self.readout else F.scale_shift(net, self.gain_e, self.bias)

    def _activity(self, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Return I_EE [N, n_E, ...] and s_I [N, n_I, ...], both synapses in one product."""
        drive = self._synapse(x, torch.cat([self._weight("ee"), self._weight("ie")]))
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

        None where the layer has no subtractive inhibition.
        """
        if not self.subtracts:
            return None
        i_ee, s_i = self._activity(merge_time(x), steps=x.shape[0])
        i_sub = F.mix_channels(s_i, self.weight_ei)
        return split_time(i_ee, like=x), split_time(i_sub, like=x)

    # --- Weights ---------------------------------------------------------------------------------

    def non_negative(self) -> list[nn.Parameter]:
        """Return the parameters that Dale's law keeps at or above zero (where it is in force).

        They are the layer's own, pruned ones as well (`weight_ee_orig`); not those of a
        parametrization, of which `parametrized` gives the results.
        """
        own = self.named_parameters(recurse=False)
        return [parameter for name, parameter in own if not name.startswith("bias")]

    def row_sums(self) -> list[tuple[Tensor, Tensor]]:
        """Return W_EE, W_IE, W_EI with the row sums [n] that synaptic scaling holds them to.

        Empty without synaptic scaling.
        """
        sums = dict(self.named_buffers(recurse=False))
        matrices = self._matrices().items()
        return [(weight, sums[f"sum_{n}"]) for n, weight in matrices if f"sum_{n}" in sums]

    def _matrices(self) -> dict[str, nn.Parameter]:
        """Return W_EE, W_IE and W_EI as far as they exist, by `ee`, `ie`, `ei`."""
        own = dict(self.named_parameters(recurse=False))
        names = ("ee", "ie", "ei")
        return {name: own[f"weight_{name}"] for name in names if f"weight_{name}" in own}

    def _weight(self, name: str) -> Tensor:
        """Return the weight `ee`, `ie` or `ei` with its gradient as `balance` has it."""
        weight: Tensor = getattr(self, f"weight_{name}")
        factor: float = getattr(self.balance, f"mean_mode_{name}")
        return weight if factor == 1 else F.scale_mean(weight, factor)

    def _lateral(self) -> Tensor:
        """Return W_EI with its gradient scaled by d^-kappa (1/d in the paper)."""
        return F.scale_gradient(self._weight("ei"), self.fan_in**-self.circuit.kappa)

    # --- E-I Init --------------------------------------------------------------------------------

    @torch.no_grad()
    def initialize(self, x: Tensor, generator: Generator | None = None) -> None:
        """Draw all parameters by E-I Init from activity `x` [T, B, ...] at this layer's input.

        W_EE and W_IE are drawn from an exponential law of mean lambda, W_EI is 1/n_I, g_I makes
        the mean divisor the deviation of the excitation, g_E is 1 and b_E is 0 (section 3 of the
        paper); `EIInit` changes each of these.

        Args:
            x: non-negative activity [T, B, ...] with T * B >= 2 samples that differ.
            generator: source of randomness; the draw is made on its device, so a layer on a GPU
                gets the weights that a CPU would get.

        Raises:
            InitializationError: the activity gives no usable statistics or does not fit the layer,
                or a parametrization, pruning or weight norm stands between weights and parameters.
        """
        self._require_drawable(x)
        init = replace(self.init, relay=0.0) if self.readout else self.init
        synapses = [self.weight_ee, *([self.weight_ie] if self.subtracts or self.divides else [])]
        drawn = draw_synapses(synapses, merge_time(x), self.fan_in, init, generator)
        if self.subtracts or self.divides:
            draw_lateral(self.weight_ei, self.init, generator)
            if self.circuit.inhibitory_cell == "lif":
                self._balance_spikes(x)
        if self.divides:
            self.gain_i.fill_(drawn.gain)
        if not self.readout:
            self.gain_e.fill_(1.0)
            self.bias.zero_()
        self._mark(True)
        for weight, total in self.row_sums():
            total.copy_(F.row_sums(weight))
        if self.init.calibration == "neuron" and not self.readout:
            self._calibrate(x, drawn)

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

    def _calibrate(self, x: Tensor, drawn: DrawnWeights) -> None:
        """Set g_E and b_E so that the current of `x` is what E-I Init intends it to be."""
        if drawn.statistics is None:
            return
        gain = drawn.gain if self.divides else None
        given = (drawn.statistics, self.fan_in, drawn.moments, gain, self.subtracts)
        intended = F.intended_current(*given, self.circuit.stabilize.leak, drawn.relay)
        current = self.forward(x)  # without hooks
        calibrate_(self.gain_e, self.bias, current, self.init.calibrated(intended))
