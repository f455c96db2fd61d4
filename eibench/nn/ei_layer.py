"""The E-I circuit as a module, over a synapse that subclasses choose.

Parameters are zero until E-I Init has seen one batch of activity; using a layer before that raises
`NotInitializedError` (see `readiness`).
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from eibench.nn import functional as F
from eibench.nn.circuit import Balance, Circuit, EIInit
from eibench.nn.ei_init import Drawn, calibrate_, draw_lateral, draw_synapses
from eibench.nn.kernels.ei_fold import fold_weights, worth_folding
from eibench.nn.kernels.ei_fused import Parts, ei_current
from eibench.nn.kernels.ei_lif import Size, ei_lif
from eibench.nn.kernels.recompute import recompute_in_backward
from eibench.nn.lif import LIF
from eibench.nn.readiness import DrawnFromData, NotInitializedError
from eibench.nn.time import copies, laid_out, merge_time, repeats, split_time
from eibench.nn.tracing import tracing

__all__ = ["EILayer", "NotInitializedError"]


class EILayer(DrawnFromData):
    """The E-I circuit over an unspecified synapse: base of `EIConv2d` and `EILinear`.

    Dale's law holds for every parameter but `bias`: `non_negative()` lists the others, and
    `project_` keeps them at or above zero after an optimizer step.

    `circuit` and `init` switch parts off or replace them; a part that is off has no parameters.
    `balance` is what holds excitation and inhibition together while the layer learns.
    Spiking inhibitory cells (`Circuit.inhibitory_cell = "lif"`) go beyond the paper: each is a LIF
    neuron with soft reset, sigmoid surrogate and time constant tau_I, whose spike carries its
    threshold theta_I, so that it passes on the charge that it receives. E-I Init sets theta_I to
    the mean drive of the layer's cells and scales W_EI so that balance holds for the spikes.
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
        """Whether the circuit is one function, which can have the neuron in it as well."""
        one = self.subtracts and circuit.linear_cells and not self.divides
        self.one_synapse = one and not readout
        """Whether the circuit is a product with one matrix, g_E (W_EE - W_EI W_IE)."""
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

    def non_negative(self) -> list[nn.Parameter]:
        """The parameters that Dale's law keeps at or above zero (where it is in force).

        The layer's own, pruned ones as well (`weight_ee_orig`); not those of a parametrization, of
        which `parametrized` gives the results.
        """
        own = self.named_parameters(recurse=False)
        return [parameter for name, parameter in own if not name.startswith("bias")]

    def row_sums(self) -> list[tuple[Tensor, Tensor]]:
        """Under synaptic scaling, W_EE, W_IE, W_EI as far as they exist, with the row sums [n] that
        they are held to; nothing else."""
        sums = dict(self.named_buffers(recurse=False))
        return [
            (weight, sums[f"sum_{name}"])
            for name, weight in self._matrices().items()
            if f"sum_{name}" in sums
        ]

    def _matrices(self) -> dict[str, nn.Parameter]:
        """W_EE, W_IE and W_EI as far as they exist, by `ee`, `ie`, `ei`."""
        own = dict(self.named_parameters(recurse=False))
        names = ("ee", "ie", "ei")
        return {name: own[f"weight_{name}"] for name in names if f"weight_{name}" in own}

    def _learning(self, name: str) -> Tensor:
        """The weight `ee`, `ie` or `ei`, its gradient as `balance` has it."""
        weight: Tensor = getattr(self, f"weight_{name}")
        factor: float = getattr(self.balance, f"mean_mode_{name}")
        return weight if factor == 1 else F.scale_mean(weight, factor)

    def _lateral(self) -> Tensor:
        """W_EI, its gradient scaled as E-I Prop has it as well."""
        return F.scale_gradient(self._learning("ei"), self.fan_in**-self.circuit.kappa)

    def _synapses(self) -> list[nn.Parameter]:
        """W_EE, and W_IE where there are inhibitory cells."""
        return [self.weight_ee, *([self.weight_ie] if self.subtracts or self.divides else [])]

    def _synapse(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """`weight` applied to activity `x` [N, ...], and `bias` added: a convolution or a matrix
        product."""
        raise NotImplementedError

    def _positions(self, x: Tensor) -> int:
        """How many places of all samples `x` [N, ...] the synapse is applied at."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Integrated current [T, B, n_E, ...] of activity `x` [T, B, ...], `x` >= 0.

        Raises:
            NotInitializedError: before E-I Init.
            ValueError: `x` has another shape, such as none of time.
            TypeError: `x` has another dtype than the weights.
        """
        if repeats(x) and self.alike:
            return copies(self.once(x[:1], len(x)), len(x))
        return self.once(x, 1)

    def once(self, x: Tensor, times: int) -> Tensor:
        """The same for one [1, B, ...] of `times` equal steps, where those are `alike`."""
        self._require_usable(x)
        return self._integrated(x)

    @property
    def alike(self) -> bool:
        """Whether equal steps give equal currents: not where cells remember."""
        return self.circuit.inhibitory_cell == "rectifier"

    def fire(self, x: Tensor, neuron: LIF) -> Tensor:
        """The spikes [T, B, n_E, ...] of a `neuron` that this layer drives, of activity `x`
        [T, B, ...]: `neuron(self(x))` in one function. For layers that say that they do (`fires`).
        """
        self._require_usable(x)
        once = x[:1] if repeats(x) else x
        drive, parts, parameters = self._drive(laid_out(merge_time(once), self))
        return ei_lif(drive, Size(*x.shape[:2]), parts, neuron.constants, *parameters)

    def _integrated(self, x: Tensor) -> Tensor:
        return split_time(self._circuit(laid_out(merge_time(x), self), steps=x.shape[0]), like=x)

    def _circuit(self, x: Tensor, steps: int) -> Tensor:
        """The equations of `functional.ei` on activity [T * B, ...], `steps` being T."""
        if self.fires and not (
            x.is_meta or tracing()
        ):  # the plain equations have operations that can be counted
            return self._fused(x)
        if self.one_synapse:
            return self._through_one_synapse(x)
        if self.subtracts or self.divides:
            i_ee, s_i = self._activity(x, steps)
            weight_ei = self._lateral()
        else:
            i_ee = self._synapse(x, self._learning("ee"))
        if self.divides:
            if self.subtracts:
                i_sub, i_div = F.inhibit(s_i, weight_ei, self.gain_i)
            else:
                i_sub, i_div = None, F.mix_channels(s_i, weight_ei * self.gain_i)
            stabilizer, straight = self.circuit.stabilize, self.circuit.straight
            return F.integrate(i_ee, i_sub, i_div, self.gain_e, self.bias, stabilizer, straight)
        net = i_ee - F.mix_channels(s_i, weight_ei) if self.subtracts else i_ee
        return net if self.readout else F.scale_shift(net, self.gain_e, self.bias)

    def _fused(self, x: Tensor) -> Tensor:
        """The same in one function, where the layer is the paper's but for what can be left out."""
        drive, parts, parameters = self._drive(x)
        return ei_current(drive, parts, *parameters)

    def _drive(self, x: Tensor) -> tuple[Tensor, Parts, tuple[Tensor, ...]]:
        """Both synapses in one product, and what the rest of the circuit is computed by."""
        weight_ee, weight_ie, weight_ei = (
            self._learning("ee"),
            self._learning("ie"),
            self._lateral(),
        )
        circuit = self.circuit
        worth = worth_folding(x, self._positions(x), self.fan_in)
        folded = self.subtracts and circuit.linear_cells and worth
        parts = Parts(self.subtracts, folded, not circuit.linear_cells, circuit.stabilize)

        def stacked() -> Tensor:
            if parts.folded:
                return fold_weights(weight_ee, weight_ie, weight_ei, self.gain_e)
            return torch.cat([weight_ee, weight_ie])

        weight = stacked()
        sources = [self.weight_ee, self.weight_ie, self.weight_ei, self.gain_e]
        with recompute_in_backward(weight, stacked, sources):
            drive = self._synapse(x, weight)
        return drive, parts, (weight_ei, self.gain_i, self.gain_e, self.bias)

    def _through_one_synapse(self, x: Tensor) -> Tensor:
        """g_E (I_EE - I_sub) + b_E where both are linear in the activity."""
        weights = self._learning("ee"), self._learning("ie"), self._lateral(), self.gain_e
        return self._synapse(x, fold_weights(*weights, cells=False), self.bias)

    def _activity(self, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """I_EE [N, n_E, ...] and s_I [N, n_I, ...], both synapses in one product."""
        drive = self._synapse(x, torch.cat([self._learning("ee"), self._learning("ie")]))
        i_ee: Tensor
        i_ee, i_ie = drive.split([self.weight_ee.shape[0], self.weight_ie.shape[0]], dim=1)
        if self.circuit.inhibitory_cell == "rectifier":
            return i_ee, i_ie if self.circuit.linear_cells else i_ie.relu()
        scaled = i_ie.unflatten(0, (steps, -1)) / self.inhibitory_threshold
        spikes = F.lif(scaled, self.circuit.inhibitory_tau)
        return i_ee, merge_time(spikes) * self.inhibitory_threshold

    @torch.no_grad()
    def currents(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """I_EE and I_sub, each [T, B, n_E, ...], of activity `x` [T, B, ...], to look at.

        None where the layer has no subtractive inhibition.
        """
        if not self.subtracts:
            return None
        i_ee, s_i = self._activity(merge_time(x), steps=x.shape[0])
        i_sub = F.mix_channels(s_i, self.weight_ei)
        return split_time(i_ee, like=x), split_time(i_sub, like=x)

    @torch.no_grad()
    def initialize(self, x: Tensor, generator: Generator | None = None) -> None:
        """E-I Init (section 3 of the paper) from activity `x` [T, B, ...] at this layer's input.

        W_EE and W_IE are drawn from an exponential law of mean lambda, W_EI is 1/n_I, g_I makes
        the mean divisor the deviation of the excitation, g_E is 1 and b_E is 0; `EIInit` changes
        each of these.

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
        drawn = draw_synapses(self._synapses(), merge_time(x), self.fan_in, init, generator)
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

    def _calibrate(self, x: Tensor, drawn: Drawn) -> None:
        """Set g_E and b_E by the current of `x` and what E-I Init intends it to be, if anything."""
        if drawn.statistics is None:
            return
        gain = drawn.gain if self.divides else None
        about = (drawn.statistics, self.fan_in, drawn.moments)
        added = (self.circuit.stabilize.leak, drawn.relay)
        intended = F.intended_current(*about, gain, self.subtracts, *added)
        wanted = self.init.calibrated(intended)
        calibrate_(self.gain_e, self.bias, self.forward(x), wanted)  # without hooks

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
