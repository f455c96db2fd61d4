"""Variants of the E-I circuit, of its initialisation and of its learning.

The defaults are the paper's (Liu, Ding and Yu, ICLR 2026). Each other value is one change to the
equations of `functional.ei` and `functional.ei_init`, for ablations and searches.
"""

from __future__ import annotations

from dataclasses import dataclass

from eibench.nn import functional as F
from eibench.nn.checks import one_of
from eibench.nn.functional.ei_init import LATERAL, LAWS, MATCHES

STABILIZATIONS = ("adaptive", "epsilon", "leak", "none")
CELLS = ("rectifier", "lif")
STATISTICS = ("data", "fixed", "rectified", "kaiming", "xavier")
SILENT_LAYER = ("error", "fixed")
CALIBRATIONS = ("none", "neuron")


@dataclass(frozen=True)
class Circuit:
    """Which parts an E-I layer has, and how it is differentiated.

    Raises:
        ValueError: a value is out of its range.
    """

    subtractive: bool = True
    """Subtractive inhibition; without it I_sub is left out, in a readout too."""
    divisive: bool = True
    """Divisive inhibition; without it there is no quotient, no S and no g_I."""
    stabilization: str = "adaptive"
    """The value of S in place of an exact zero of I_div: `adaptive` the sample's smallest positive
    I_div, `epsilon` a constant, `none` nothing (0 / 0 is then not a number). `leak` adds a constant
    to every divisor instead: shunting inhibition beside a leak conductance."""
    epsilon: float = 1e-6
    """The constant of `epsilon`."""
    leak: float = 0.5
    """The constant of `leak`; I_div starts with a mean of sqrt(V), 0.38 for spikes at a rate of
    0.17. The semi-saturation constant of divisive normalization (Heeger 1992)."""
    straight_through: bool = True
    """S is the identity in the backward pass; else it has the derivative of its own replacement
    (equal minima share it)."""
    kappa: float = 1.0
    """The gradient of W_EI is multiplied by d^-kappa, d being the fan-in."""
    dale: bool = True
    """Dale's law. Without it nothing is projected: weights start as they do with it and may change
    sign, so that I_div may do so too."""
    inhibitory_cell: str = "rectifier"
    """`rectifier` (fast, without memory; under Dale's law it is linear, slope 1 everywhere) or
    `lif`: spiking cells (see `EILayer`)."""
    inhibitory_tau: float = 2.0
    """Membrane time constant of `lif` cells, in time steps."""

    def __post_init__(self) -> None:
        one_of("stabilization", self.stabilization, STABILIZATIONS)
        one_of("inhibitory_cell", self.inhibitory_cell, CELLS)
        for name in ("epsilon", "leak"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        if not self.kappa >= 0:
            raise ValueError(f"kappa must be at least 0, not {self.kappa}")
        if not self.inhibitory_tau >= 1:
            raise ValueError(f"inhibitory_tau must be at least 1, not {self.inhibitory_tau}")

    @property
    def straight(self) -> bool:
        """Return whether S is the identity backward, by rule or because it only adds a constant."""
        return self.straight_through or self.stabilization in ("leak", "none")

    @property
    def linear_cells(self) -> bool:
        """Return whether inhibitory cells are linear, s_I = W_IE * x, >= 0 under Dale's law.

        Without it they have a rectifier.
        """
        return self.dale and self.inhibitory_cell == "rectifier"

    @property
    def stabilize(self) -> F.Stabilization:
        """Return the rule S."""
        kind = self.stabilization
        return F.Stabilization(
            kind == "adaptive",
            self.epsilon if kind == "epsilon" else 0.0,
            self.leak if kind == "leak" else 0.0,
        )


@dataclass(frozen=True)
class EIInit:
    """The rule by which the weights and gains of an E-I layer are drawn.

    Raises:
        ValueError: a value is out of its range.
    """

    init_statistics: str = "data"
    """Where m, q and V come from: `data` (one batch of activity at the layer's input) or `fixed`
    (spikes of probability `init_rate`, whatever the activity), or `rectified` (max(0, Z) with
    Z ~ N(0, 1), as `DANNConv2d` starts). `kaiming` and `xavier` use none:
    absolute values of normal weights with that deviation, g_I = 1."""
    init_rate: float = 0.2
    """Spikes per neuron and step that `fixed` assumes."""
    silent_layer: str = "error"
    """The answer to activity that gives no statistics, silent or the same for every sample:
    raise an `error`, or go on with the `fixed` ones. A circuit that lacks a part may need it."""
    weight_law: str = "exponential"
    """Law of W_EE and W_IE: `exponential`, `half_normal`, `log_normal`, `gamma`."""
    law_shape: float = 1.0
    """Shape k of `gamma`, or the deviation of the logarithm of `log_normal`."""
    law_match: str = "mean"
    """Moment shared with the exponential law of mean lambda: the `mean` lambda or the
    `second_moment` 2 lambda^2."""
    relay: float = 0.0
    """Strength of one synapse of each excitatory neuron, from the input channel of its own number
    (modulo their number) at the kernel's middle: the deviation that it gives to the current, in
    deviations that all others together give. No inhibition answers it; `calibration` sets what is
    left. Readouts have none."""
    weight_scale: float = 1.0
    """Factor on lambda."""
    gain_scale: float = 1.0
    """Factor on g_I."""
    lateral_init: str = "uniform"
    """W_EI: `uniform` 1/n_I; `random` exponential, rows summing to 1; `sparse` half of the cells
    (rounded up), drawn for each row, of equal weight and sum 1."""
    calibration: str = "none"
    """`neuron`: g_E and b_E are then set for each neuron (channel), so that its current has, on the
    batch, the mean and deviation below. Idle without statistics."""
    calibration_mean: float | None = None
    """The mean current that `neuron` gives; None: what the rules above intend for the layer, 0 in
    the paper's circuit (`functional.intended_current`) and under `Balance.blanket`."""
    calibration_deviation: float | None = None
    """The same for its deviation, 1 in the paper's circuit."""

    def __post_init__(self) -> None:
        one_of("init_statistics", self.init_statistics, STATISTICS)
        one_of("silent_layer", self.silent_layer, SILENT_LAYER)
        one_of("weight_law", self.weight_law, tuple(LAWS))
        one_of("law_match", self.law_match, MATCHES)
        one_of("lateral_init", self.lateral_init, tuple(LATERAL))
        one_of("calibration", self.calibration, CALIBRATIONS)
        if not 0 < self.init_rate < 1:
            raise ValueError(f"init_rate must lie between 0 and 1, not {self.init_rate}")
        for name in ("law_shape", "weight_scale", "gain_scale", "calibration_deviation"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, not {value}")
        if not self.relay >= 0:
            raise ValueError(f"relay must be at least 0, not {self.relay}")

    def calibrated(self, intended: F.CurrentMoments) -> F.CurrentMoments:
        """Return the moments that calibration gives a neuron's current; by default `intended`."""
        mean, deviation = self.calibration_mean, self.calibration_deviation
        return F.CurrentMoments(
            intended.mean if mean is None else mean,
            intended.deviation if deviation is None else deviation,
        )


@dataclass(frozen=True)
class Balance:
    """Inhibition that keeps an E-I layer balanced while it learns; the paper has none.

    Raises:
        ValueError: a value is out of its range.
    """

    blanket: float = 0.0
    """Strength beta of the blanket inhibition: the share of each net row's mean that it takes away;
    1 balances every neuron exactly. See `functional.balanced_rows`. The net synapse must exist, so
    inhibitory cells that subtract have to be linear."""
    unit_rows: bool = False
    """Rows of the net synapse are divided by their norm, and g_E carries the scale; not in a
    readout, which has no g_E."""
    plasticity: float = 0.0
    """Rate at which inhibition learns to cancel a neuron's mean current: the layer keeps a running
    mean m of its input channels' activity, of this weight for each training step, and each neuron
    gets the tonic current -g_E N'' m. Without division, and not in a readout, which has no b_E."""

    def __post_init__(self) -> None:
        for name in ("blanket", "plasticity"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")

    @property
    def of_net(self) -> bool:
        """Return whether rows of the net synapse are balanced or scaled."""
        return self.blanket > 0 or self.unit_rows


PAPER_CIRCUIT, PAPER_INIT, PAPER_BALANCE = Circuit(), EIInit(), Balance()


def departures(circuit: Circuit, init: EIInit, balance: Balance) -> str:
    """Return the values that differ from the paper's, for a layer's `repr`."""
    papers = (PAPER_CIRCUIT, PAPER_INIT, PAPER_BALANCE)
    parts = zip((circuit, init, balance), papers, strict=True)
    return "".join(f", {part}" for part, paper in parts if part != paper)
