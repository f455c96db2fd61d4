"""Options of the E-I circuit: its knobs, and which of them another one makes idle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from eibench.plan.options.base import Count, Preset
from eibench.plan.options.methods import MethodOptions, Relay

LARGEST_DEVIATION = 5.0
"""Of the logarithm of a weight."""


Share = Annotated[float, Field(ge=0, le=1)]
_BALANCE = {
    "calibration": "neuron",
    "calibration_mean": 0.3,
    "calibration_deviation": 0.6,
    "relay": 3.0,
    "mean_mode_ee": 0.0,
    "mean_mode_ie": 0.0,
}
PRESETS = {
    "balanced": Preset(
        "Relays, a leak, calibrated neurons; centred gradients of W_EE and W_IE.",
        {"stabilization": "leak", **_BALANCE},
    ),
    "subtractive": Preset(
        "The same without division, and so without a leak: each layer is one synapse.",
        {"divisive": False, **_BALANCE},
    ),
}
"""Beyond the paper: sets of options that go together."""


class EIOptions(MethodOptions):
    """E-I circuit: subtractive and divisive inhibition, E-I Init, E-I Prop (ICLR 2026)."""

    name = "ei"
    presets: ClassVar[Mapping[str, Preset]] = PRESETS
    refuses_negative_input = (
        "E-I Init and Dale's law need activity that is not negative, and a mean of zero drives the"
        " gain of the divisive inhibition to infinity"
    )
    ei_ratio: Count = 4
    subtractive: bool = True
    divisive: bool = True
    stabilization: Literal["adaptive", "epsilon", "leak", "none"] = "adaptive"
    epsilon: float = Field(1e-6, gt=0)
    leak: float = Field(0.5, gt=0)
    straight_through: bool = True
    kappa: float = Field(1.0, ge=0)
    dale: bool = True
    inhibitory_cell: Literal["rectifier", "lif"] = "rectifier"
    inhibitory_tau: float = Field(2.0, ge=1)
    init_statistics: Literal["data", "fixed", "kaiming", "xavier"] = "data"
    init_rate: float = Field(0.2, gt=0, lt=1)
    silent_layer: Literal["error", "fixed"] = "error"
    weight_law: Literal["exponential", "half_normal", "log_normal", "gamma"] = "exponential"
    law_shape: float = Field(1.0, ge=0.01, le=100)
    law_match: Literal["mean", "second_moment"] = "mean"
    topography: float | None = Field(None, ge=0.1, le=100)
    relay: Relay = 0.0
    weight_scale: float = Field(1.0, gt=0)
    gain_scale: float = Field(1.0, gt=0)
    lateral_init: Literal["uniform", "random", "sparse"] = "uniform"
    calibration: Literal["none", "neuron"] = "none"
    calibration_mean: float | None = None
    calibration_deviation: float | None = Field(None, gt=0)
    mean_mode_ee: Share = 1.0
    mean_mode_ie: Share = 1.0
    mean_mode_ei: Share = 1.0
    synaptic_scaling: bool = False
    homeostasis: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _every_option_acts(self) -> Self:
        """An option that another one makes idle is a misunderstanding, not a choice."""
        inhibited = self.subtractive or self.divisive
        drawn = self.init_statistics in ("data", "fixed")
        acts = {
            "stabilization": (self.divisive, "divisive: true"),
            "straight_through": (
                self.divisive and self.stabilization in ("adaptive", "epsilon"),
                "divisive: true and a stabilization that replaces: adaptive or epsilon",
            ),
            "gain_scale": (self.divisive, "divisive: true"),
            "epsilon": (self.stabilization == "epsilon", "stabilization: epsilon"),
            "leak": (self.stabilization == "leak", "stabilization: leak"),
            "inhibitory_tau": (self.inhibitory_cell == "lif", "inhibitory_cell: lif"),
            "init_rate": (
                "fixed" in (self.init_statistics, self.silent_layer),
                "init_statistics: fixed or silent_layer: fixed",
            ),
            "silent_layer": (self.init_statistics == "data", "init_statistics: data"),
            "weight_law": (drawn, "init_statistics: data or fixed"),
            "calibration": (drawn, "init_statistics: data or fixed"),
            **dict.fromkeys(
                ("calibration_mean", "calibration_deviation"),
                (self.calibration == "neuron", "calibration: neuron"),
            ),
            "synaptic_scaling": (self.dale, "dale: true"),
            "law_shape": (
                self.weight_law in ("gamma", "log_normal"),
                "weight_law: gamma or log_normal",
            ),
            "topography": (drawn, "init_statistics: data or fixed"),
            "relay": (drawn, "init_statistics: data or fixed"),
            "law_match": (
                self.weight_law != "exponential" or self.topography is not None,
                "topography or another weight_law than exponential",
            ),
            **dict.fromkeys(
                (
                    *("ei_ratio", "kappa", "inhibitory_cell", "lateral_init"),
                    *("mean_mode_ie", "mean_mode_ei"),
                ),
                (inhibited, "subtractive or divisive inhibition"),
            ),
        }
        for name in self.changed():
            active, needed = acts.get(name, (True, ""))
            if not active:
                raise ValueError(f"{name} has no effect without {needed}")
        return self

    @model_validator(mode="after")
    def _moments_are_numbers(self) -> Self:
        """The moments of a log-normal law grow as exp(2 s^2), beyond what a float can hold."""
        if self.weight_law == "log_normal" and self.law_shape > LARGEST_DEVIATION:
            raise ValueError(
                f"law_shape of log_normal must be at most {LARGEST_DEVIATION}, not {self.law_shape}"
            )
        return self
