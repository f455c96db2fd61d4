"""What can be chosen, and every default: one frozen class per method, model, data set and stage.

These classes are the schema of a suite's runs. They hold no behaviour of a network: `methods`,
`models` and `data` receive the values as plain arguments. A class's first docstring line is what
`eibench list` prints. Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

LARGEST = 2**31 - 1
Count = Annotated[int, Field(ge=1, le=LARGEST)]
"""A whole number of things."""


class Options(BaseModel):
    """Values that a suite may set; unknown keys and silent conversions are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _one_zero(cls, value: Any) -> Any:
        """-0.0 is 0.0, so that equal values have equal identities."""
        return value + 0.0 if isinstance(value, float) else value

    def changed(self) -> dict[str, Any]:
        """The values that differ from the defaults, in the order of the class."""
        return self.model_dump(exclude_defaults=True)


@dataclass(frozen=True)
class Plugin:
    """The source of what is not eibench's own."""

    name: str
    """The file's name, or the installed package and its version."""
    digest: str
    """First 16 hex digits of the SHA-256 of the source."""
    installed: bool = False

    @property
    def identity(self) -> str:
        """What takes part in a run's identity: a file may be renamed, a package has a version."""
        return f"{self.name} {self.digest}" if self.installed else self.digest

    def __str__(self) -> str:
        return f"{self.name} (sha256 {self.digest})"


class Choice(Options):
    """Options of something that has a name in a registry."""

    name: ClassVar[str]
    plugin: ClassVar[Plugin | None] = None
    """Where it comes from; None for eibench's own."""

    @property
    def label(self) -> str:
        """The name and what differs from the defaults: `batchnorm-per_step`, `ei-ei_ratio2`."""
        return "-".join([self.name, *(_word(k, v) for k, v in self.changed().items())])

    @classmethod
    def summary(cls) -> str:
        """One line for `eibench list`."""
        return (cls.__doc__ or "").strip().partition("\n")[0]

    def __repr_name__(self) -> str:
        """Names are unique, which class names of several plugins need not be."""
        return self.name


NAMES_ITSELF = ("stats", "init")
"""Options whose values need no key beside them in a label."""


def _word(key: str, value: Any) -> str:
    """An option in a label: `per_step`, `no_dale`, `weight_law_gamma`, `ei_ratio2`."""
    if isinstance(value, bool):
        return key if value else f"no_{key}"
    if isinstance(value, str):
        return value if key in NAMES_ITSELF else f"{key}_{value}"
    return f"{key}{value}".replace("+", "")  # 1e+16 is no part of a file's name


class NeuronOptions(Options):
    """The spiking neuron that all methods share."""

    tau: float = Field(2.0, ge=1)
    threshold: float = Field(1.0, gt=0)
    reset: Literal["soft", "hard"] = "soft"
    surrogate: Literal["sigmoid", "atan"] = "sigmoid"
    detach_reset: bool = True


class TrainOptions(Options):
    """How a network is trained."""

    epochs: Count = 30
    batch_size: Count = 64
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    clip_norm: float | None = Field(1.0, gt=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: int = Field(0, ge=0, le=LARGEST)

    @model_validator(mode="after")
    def _warmup_ends(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs ({self.warmup_epochs}) must be below epochs ({self.epochs})"
            )
        return self


class ProbeOptions(Options):
    """When an untrained network is measured; a suite of `kind: probe` alone has it."""

    steps: int = Field(0, ge=0, le=LARGEST)
    """Optimizer steps before the measurement."""


# ---------------------------------------------------------------------------------- models


class ModelOptions(Choice):
    """Options of an architecture."""

    sums_currents: ClassVar[bool] = False
    """Whether currents of several branches are added before a neuron."""


class PlainOptions(ModelOptions):
    """A chain of 3x3 convolutions of one width, with average pooling between stages."""

    name = "plain"
    depth: Count = 8
    width: Count = 32
    pools: int = Field(2, ge=0, le=LARGEST)

    @model_validator(mode="after")
    def _a_layer_for_each_pool(self) -> Self:
        if self.pools > self.depth:
            raise ValueError(f"pools ({self.pools}) cannot exceed depth ({self.depth})")
        return self


class VggOptions(ModelOptions):
    """VGG of the E-I paper: 3x3 convolutions, five 2x2 average poolings, one readout layer."""

    name = "vgg"
    depth: Literal[8, 11, 16, 19] = 8


# --------------------------------------------------------------------------------- methods


class MethodOptions(Choice):
    """Options of a method: what stands between a synapse and its neuron."""

    def same_as(self, model: ModelOptions, neuron: NeuronOptions, timesteps: int) -> MethodOptions:
        """The simplest method that computes the same in this network; itself where none does."""
        return self


LARGEST_DEVIATION = 5.0
"""Of the logarithm of a weight."""


class EIOptions(MethodOptions):
    """E-I circuit: subtractive and divisive inhibition, E-I Init, E-I Prop (ICLR 2026)."""

    name = "ei"
    ei_ratio: Count = 4
    subtractive: bool = True
    divisive: bool = True
    stabilization: Literal["adaptive", "epsilon", "none"] = "adaptive"
    epsilon: float = Field(1e-6, gt=0)
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
    weight_scale: float = Field(1.0, gt=0)
    gain_scale: float = Field(1.0, gt=0)
    lateral_init: Literal["uniform", "random", "sparse"] = "uniform"

    @model_validator(mode="after")
    def _every_option_acts(self) -> Self:
        """An option that another one makes idle is a misunderstanding, not a choice."""
        inhibited = self.subtractive or self.divisive
        drawn = self.init_statistics in ("data", "fixed")
        acts = {
            "stabilization": (self.divisive, "divisive: true"),
            "straight_through": (
                self.divisive and self.stabilization != "none",
                "divisive: true and a stabilization other than none",
            ),
            "gain_scale": (self.divisive, "divisive: true"),
            "epsilon": (self.stabilization == "epsilon", "stabilization: epsilon"),
            "inhibitory_tau": (self.inhibitory_cell == "lif", "inhibitory_cell: lif"),
            "init_rate": (
                "fixed" in (self.init_statistics, self.silent_layer),
                "init_statistics: fixed or silent_layer: fixed",
            ),
            "silent_layer": (self.init_statistics == "data", "init_statistics: data"),
            "weight_law": (drawn, "init_statistics: data or fixed"),
            "law_shape": (
                self.weight_law in ("gamma", "log_normal"),
                "weight_law: gamma or log_normal",
            ),
            "law_match": (self.weight_law != "exponential", "another weight_law than exponential"),
            **dict.fromkeys(
                ("ei_ratio", "kappa", "inhibitory_cell", "lateral_init"),
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


class BatchNormOptions(MethodOptions):
    """Batch norm with statistics over time, batch and space jointly, or at each step."""

    name = "batchnorm"
    stats: Literal["joint", "per_step"] = "joint"

    def same_as(self, model: ModelOptions, neuron: NeuronOptions, timesteps: int) -> MethodOptions:
        return BatchNormOptions() if timesteps == 1 else self


class TDBNOptions(MethodOptions):
    """Threshold-dependent batch norm: joint statistics, scaled by alpha times the threshold."""

    name = "tdbn"

    def same_as(self, model: ModelOptions, neuron: NeuronOptions, timesteps: int) -> MethodOptions:
        plain = neuron.threshold == 1 and not model.sums_currents
        return BatchNormOptions() if plain else self


class BNTTOptions(MethodOptions):
    """Batch norm through time: own statistics and scale at each step, no shift."""

    name = "bntt"


class TEBNOptions(MethodOptions):
    """Temporal effective batch norm: joint statistics, a learned factor at each step."""

    name = "tebn"


class TABOptions(MethodOptions):
    """Temporal accumulated batch norm: statistics of all steps so far."""

    name = "tab"


class MPBNOptions(MethodOptions):
    """Membrane potential batch norm: joint batch norm, and another before a neuron fires."""

    name = "mpbn"


class GroupNormOptions(MethodOptions):
    """Group norm of each sample at each step; `groups` need not divide the channels."""

    name = "groupnorm"
    groups: Count = 8

    def same_as(self, model: ModelOptions, neuron: NeuronOptions, timesteps: int) -> MethodOptions:
        return LayerNormOptions() if self.groups == 1 else self


class LayerNormOptions(MethodOptions):
    """Layer norm over channels and space of each sample at each step."""

    name = "layernorm"


class NoNormOptions(MethodOptions):
    """No normalisation: convolution with bias, under one of four initialisations."""

    name = "no_norm"
    init: Literal["kaiming", "xavier", "fluctuation", "spikeinit"] = "kaiming"
    rate: Annotated[float, Field(ge=0.05, lt=0.5)] = 0.1

    @model_validator(mode="after")
    def _rate_is_used(self) -> Self:
        if self.init != "spikeinit" and self.rate != type(self).model_fields["rate"].default:
            raise ValueError(
                f"rate ({self.rate}) is the target of init spikeinit, and init is {self.init}"
            )
        return self


class WeightStandardizationOptions(MethodOptions):
    """Standardised kernels with a gain for spikes, no statistics of activity (IS-SNN)."""

    name = "weight_standardization"


class WTAOptions(MethodOptions):
    """Competition: a share of the channels wins at each position and step; no normalisation."""

    name = "wta"
    share: float = Field(0.25, gt=0, le=1)

    def same_as(self, model: ModelOptions, neuron: NeuronOptions, timesteps: int) -> MethodOptions:
        return NoNormOptions() if self.share == 1 else self


# -------------------------------------------------------------------------------- data sets


class DataOptions(Choice):
    """Options of a data set."""


class DigitsOptions(DataOptions):
    """scikit-learn's 1797 handwritten digits, 8x8 grey; ships with scikit-learn, no download."""

    name = "digits"


class ImageFolderOptions(DataOptions):
    """Folders of images by class: ROOT/train/CLASS/*, ROOT/test/CLASS/*, all of one size."""

    name = "imagefolder"
    root: str = Field(min_length=1)
    validation_share: float = Field(0.1, gt=0, lt=1)


METHODS: dict[str, type[MethodOptions]] = {
    c.name: c
    for c in (
        EIOptions,
        BatchNormOptions,
        TDBNOptions,
        BNTTOptions,
        TEBNOptions,
        TABOptions,
        MPBNOptions,
        GroupNormOptions,
        LayerNormOptions,
        WeightStandardizationOptions,
        WTAOptions,
        NoNormOptions,
    )
}
MODELS: dict[str, type[ModelOptions]] = {c.name: c for c in (PlainOptions, VggOptions)}
DATASETS: dict[str, type[DataOptions]] = {c.name: c for c in (DigitsOptions, ImageFolderOptions)}
