"""The parameters of an E-I layer: which there are, E-I Init, and the net synapse they make."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from eibench.nn import functional as F
from eibench.nn.circuit import Balance, Circuit, EIInit
from eibench.nn.ei_init import DrawnWeights, calibrate_, draw_lateral, draw_synapses
from eibench.nn.readiness import DrawnFromData
from eibench.nn.shared_batch import batch_mean
from eibench.nn.time import merge_time


class EIParameters(DrawnFromData):
    """The parameters of an E-I layer, without the way of an activity through it."""

    inhibitory_threshold: Tensor
    mean_input: Tensor
    blanket_cells = 0
    """Number of the last inhibitory cells that are blanket inhibition spelled out."""
    trained_sums: Tensor | None = None
    """Excitation less inhibition, summed over each neuron's synapses, as it was trained [n_E]."""

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
        self.rearrange(circuit, init, balance)
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
        if self.plastic:
            self.register_buffer("mean_input", torch.zeros(receptive_field[0]))
        self._drawn = tuple(self._parameters)

    def rearrange(self, circuit: Circuit, init: EIInit, balance: Balance) -> None:
        """Set which parts the layer has, and which ways of computing it there are."""
        self.circuit, self.init, self.balance = circuit, init, balance
        self.subtracts = circuit.subtractive
        self.divides = circuit.divisive and not self.readout
        self.straight = circuit.straight
        """True where S is the identity in the backward pass."""
        self.fires = self.divides and self.straight and circuit.inhibitory_cell == "rectifier"
        """True where the circuit is one function, which can have the neuron in it as well."""
        self.nets = balance.of_net or (balance.plasticity > 0 and not self.divides)
        """True where the net synapse is computed before the product with the activity."""
        linear = self.subtracts and circuit.linear_cells and not self.readout
        self.one_synapse = (linear or self.nets) and not self.divides
        """True where the circuit is a product with one matrix, g_E (W_EE - W_EI W_IE)."""
        self.plastic = balance.plasticity > 0 and self.one_synapse and not self.readout
        """True where inhibition cancels the mean current."""
        if balance.blanket == 1 and self.fan_in == 1:
            raise ValueError("exact balance leaves nothing of a neuron with a single input")
        if self.nets and self.subtracts and not circuit.linear_cells:
            raise ValueError(
                "blanket and unit_rows act on the net synapse, which exists where inhibitory cells "
                "that subtract are linear: rectifiers under Dale's law"
            )

    # --- Weights ---------------------------------------------------------------------------------

    def net_synapse(self) -> Tensor:
        """Return W_EE - W_EI W_IE [n_E, ...] as the current has it, but for division and g_E.

        Its rows are balanced and scaled as `balance` has them; readouts are not scaled.
        """
        return self._rows(unit=self.balance.unit_rows and not self.readout)

    def _rows(self, unit: bool) -> Tensor:
        net = self._weight("ee")
        if self.subtracts:
            net = net - (self._lateral() @ self._weight("ie").flatten(1)).view_as(net)
        return F.balanced_rows(net, self.balance.blanket, unit)

    def tonic(self, synapse: Tensor) -> Tensor:
        """Return the constant current [n_E]: b_E, less the mean current of `synapse` [n_E, C, ...].

        The latter with plastic inhibition alone; g_E is in the synapse.
        """
        if not self.plastic:
            return self.bias
        by_channel = synapse.flatten(2).sum(2) if synapse.dim() > 2 else synapse
        return self.bias - by_channel @ self.mean_input.clone()  # which the next step changes

    @torch.no_grad()
    def _follow(self, x: Tensor, weight: float) -> None:
        """Move the mean input towards that of activity `x` [N, C, ...] by a share `weight`."""
        axes = (0, *range(2, x.dim()))
        self.mean_input.lerp_(batch_mean(x, axes).to(self.mean_input), weight)

    def _direct(self) -> Tensor:
        """Return the synapse whose product with the activity is I_EE, or the net current."""
        return self.net_synapse() if self.nets else self._weight("ee")

    def non_negative(self) -> list[nn.Parameter]:
        """Return the parameters that Dale's law keeps at or above zero (where it is in force).

        They are the layer's own, pruned ones as well (`weight_ee_orig`); not those of a
        parametrization, of which `parametrized` gives the results.
        """
        own = self.named_parameters(recurse=False)
        return [parameter for name, parameter in own if not name.startswith("bias")]

    def balanced(self) -> list[nn.Parameter]:
        """Return the weights whose rows may be raised: blanket inhibition takes it back exactly.

        None where a parametrization or pruning stands between.
        """
        own = dict(self.named_parameters(recurse=False))
        raised = self.balance.blanket == 1 and "weight_ee" in own
        return [own["weight_ee"]] if raised else []

    @torch.no_grad()
    def scale_cells_(self, strength: Tensor) -> None:
        """Multiply the output of each inhibitory cell by `strength` [n_I]: 0 takes a cell away.

        Where no cell is left that divides, the layer divides no more.
        """
        self.weight_ei.mul_(strength)
        if self.divides and not (strength * self.gain_i).any():
            self.rearrange(replace(self.circuit, divisive=False), self.init, self.balance)

    @torch.no_grad()
    def balance_sums(self) -> tuple[Tensor, Tensor]:
        """Return the sums of each neuron's excitatory synapses and of its inhibitory ones, as they
        subtract; each [n_E]."""
        inhibition = self.weight_ei @ self.weight_ie.flatten(1).sum(1)
        return self.weight_ee.flatten(1).sum(1), inhibition

    def _weight(self, name: str) -> Tensor:
        """Return the weight `ee`, `ie` or `ei`; subclasses change its gradient."""
        weight: Tensor = getattr(self, f"weight_{name}")
        return weight

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
        stretch = self._stretch_rows() if self.balance.unit_rows and not self.readout else 1.0
        if self.divides:
            self.gain_i.fill_(drawn.gain).div_(stretch)
        if not self.readout:
            stats = drawn.statistics
            scaled = self.balance.unit_rows and not self.divides
            self.gain_e.fill_(stats.variance**-0.5 if scaled and stats is not None else 1.0)
            self.bias.zero_()
        self._mark(True)
        if self.plastic:
            self.mean_input.zero_()  # unset memory may hold what is no number
            self._follow(merge_time(x), 1.0)
        if self.init.calibration == "neuron" and not self.readout:
            self._calibrate(x, drawn)

    def _stretch_rows(self) -> Tensor:
        """Scale W_EE and W_IE so that net rows have a mean square of 2, as He's weights; by how
        much.

        Where rows are scaled in use their own norm sets the size of steps alone.
        """
        factor = (2 * len(self.weight_ee) / self._rows(unit=False).square().sum()).sqrt()
        self.weight_ee.mul_(factor)
        if self.subtracts or self.divides:
            self.weight_ie.mul_(factor)
            if self.circuit.inhibitory_cell == "lif":
                self.inhibitory_threshold.mul_(factor)  # the mean of what the cells hear
        return factor

    def _balance_spikes(self, x: Tensor) -> None:
        """Set the threshold of spiking inhibitory cells, and W_EI, for activity `x` [T, B, ...]."""
        raise NotImplementedError

    def _calibrate(self, x: Tensor, drawn: DrawnWeights) -> None:
        """Set g_E and b_E so that the current of `x` is what E-I Init intends it to be."""
        if drawn.statistics is None:
            return
        if self.nets:
            intended = F.CurrentMoments(0.0, 1.0)
        else:
            intended = self._intended(drawn.statistics, drawn)
        self.gain_e.fill_(1.0)
        current = self.forward(x)  # without hooks
        calibrate_(self.gain_e, self.bias, current, self.init.calibrated(intended))

    def _intended(self, statistics: F.InitStatistics, drawn: DrawnWeights) -> F.CurrentMoments:
        """Return the moments of the current that E-I Init's rules intend."""
        gain = drawn.gain if self.divides else None
        given = (statistics, self.fan_in, drawn.moments, gain, self.subtracts)
        return F.intended_current(*given, self.circuit.stabilize.leak, drawn.relay)
