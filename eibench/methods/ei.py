"""`ei`: lateral inhibition in place of normalisation (Liu, Ding and Yu, ICLR 2026).

Each convolution is an E-I layer; the readout is one without division. E-I Init runs once on the
first training batch, Dale's law is restored after every optimizer step. Weight decay acts on the
three weight matrices, not on gains and biases, unless `train.weight_decay_on` is `all`, as in the
authors' code.
Every option but `ei_ratio` is one of `eibench.nn.Circuit`, `eibench.nn.EIInit` or
`eibench.nn.Balance`, by name, and acts on every layer; the last and calibration go beyond the
paper. E-I Init measures the activity that arrives, so that branches and sums of spikes need no rule
of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from eibench.methods.base import Inhibited, Relay
from eibench.plan.options import METHODS, Count, MethodOptions
from eibench.plan.options.base import Preset

if TYPE_CHECKING:
    from torch import nn

LARGEST_DEVIATION = 5.0
"""Largest deviation of the logarithm of a weight."""
Share = Annotated[float, Field(ge=0, le=1)]
PRESETS = {
    "blanket": Preset(
        "Blanket inhibition alone, exactly balanced, and synaptic scaling; calibrated neurons.",
        {
            "subtractive": False,
            "divisive": False,
            "blanket": 1.0,
            "unit_rows": True,
            "calibration": "neuron",
            "calibration_mean": 0.3,
            "calibration_deviation": 0.6,
        },
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
    """Excitatory neurons per inhibitory one."""
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
    relay: Relay = 0.0
    weight_scale: float = Field(1.0, gt=0)
    gain_scale: float = Field(1.0, gt=0)
    lateral_init: Literal["uniform", "random", "sparse"] = "uniform"
    calibration: Literal["none", "neuron"] = "none"
    calibration_mean: float | None = None
    calibration_deviation: float | None = Field(None, gt=0)
    blanket: Share = 0.0
    unit_rows: bool = False
    plasticity: Share = 0.0

    @model_validator(mode="after")
    def _every_option_acts(self) -> Self:
        """Refuse an option that another one makes idle: a misunderstanding, not a choice."""
        divides = (self.divisive, "divisive: true")
        inhibits = (
            self.subtractive or self.divisive,
            "subtractive or divisive inhibition",
        )
        draws = (self.init_statistics in ("data", "fixed"), "init_statistics: data or fixed")
        linear = self.dale and self.inhibitory_cell == "rectifier"
        nets = (
            linear or not self.subtractive,
            "linear cells (dale: true, inhibitory_cell: rectifier) or subtractive: false",
        )
        calibrates = (self.calibration == "neuron", "calibration: neuron")
        acts = {
            "stabilization": divides,
            "straight_through": (
                self.divisive and self.stabilization in ("adaptive", "epsilon"),
                "divisive: true and a stabilization that replaces: adaptive or epsilon",
            ),
            "gain_scale": divides,
            "epsilon": (self.stabilization == "epsilon", "stabilization: epsilon"),
            "leak": (self.stabilization == "leak", "stabilization: leak"),
            "inhibitory_tau": (self.inhibitory_cell == "lif", "inhibitory_cell: lif"),
            "init_rate": (
                "fixed" in (self.init_statistics, self.silent_layer),
                "init_statistics: fixed or silent_layer: fixed",
            ),
            "silent_layer": (self.init_statistics == "data", "init_statistics: data"),
            "calibration_mean": calibrates,
            "calibration_deviation": calibrates,
            **dict.fromkeys(("blanket", "unit_rows", "plasticity"), nets),
            **({"plasticity": (False, "divisive: false")} if self.divisive else {}),
            "law_shape": (
                self.weight_law in ("gamma", "log_normal"),
                "weight_law: gamma or log_normal",
            ),
            "law_match": (
                self.weight_law != "exponential",
                "another weight_law than exponential",
            ),
            **dict.fromkeys(("weight_law", "calibration", "relay"), draws),
            **dict.fromkeys(("ei_ratio", "kappa", "inhibitory_cell", "lateral_init"), inhibits),
        }
        for name in self.changed():
            active, needed = acts.get(name, (True, ""))
            if not active:
                raise ValueError(f"{name} has no effect without {needed}")
        return self

    @model_validator(mode="after")
    def _moments_are_numbers(self) -> Self:
        """Refuse log-normal laws whose moments, exp(2 s^2), are beyond what a float can hold."""
        if self.weight_law == "log_normal" and self.law_shape > LARGEST_DEVIATION:
            raise ValueError(
                f"law_shape of log_normal must be at most {LARGEST_DEVIATION}, not {self.law_shape}"
            )
        return self


@METHODS.register(EIOptions)
@dataclass(frozen=True, kw_only=True)
class EI(Inhibited):
    """E-I layers in place of convolutions and readout."""

    options: EIOptions

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
        from eibench.nn import EIConv2d

        return EIConv2d(c_in, c_out, kernel, stride, kernel // 2, **self._layer_options())

    def readout(self, features: int, classes: int) -> nn.Module:
        from eibench.nn import EILinear

        return EILinear(features, classes, readout=True, **self._layer_options())

    def _layer_options(self) -> dict[str, Any]:
        """Return the arguments of every E-I layer; each part takes the options of its names."""
        from eibench.nn import Balance, Circuit, EIInit

        parts: dict[str, Any] = {"circuit": Circuit, "init": EIInit, "balance": Balance}
        made = {
            key: part(**{f.name: getattr(self.options, f.name) for f in dataclasses.fields(part)})
            for key, part in parts.items()
        }
        return {"ei_ratio": self.options.ei_ratio, **made}
