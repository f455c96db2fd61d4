"""The part of a DeepEISNN configuration that determines the network and its equations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from eibench.errors import UserError
from eibench.files import read_text
from eibench.models.chain import POOL, VGG
from eibench.plan.options import Count, NeuronOptions, Options
from eibench.plan.spec import RunSpec
from eibench.plan.validate import Invalid, validate

LARGEST = 256 * 1024
"""Maximal size of a configuration file in bytes; theirs have half a kilobyte."""
DATA: dict[str, dict[str, Any]] = {
    "MNIST": {"name": "mnist"},
    "CIFAR10": {"name": "cifar10"},
    "CIFAR100": {"name": "cifar100"},
    "TinyImageNet": {"name": "tiny_imagenet", "size": 32},
    "TinyImageNet200": {"name": "tiny_imagenet", "size": 32},
    "CIFAR10DVS": {"name": "cifar10_dvs", "by": "count"},
    "DVSGesture": {"name": "dvs_gesture", "by": "count"},
}
"""Data sets of eibench by their names, with the sizes that the authors use."""
Kind = Literal["EI-SNN", "BN-SNN"]


class NeuronConfig(Options):
    """The section `neuron`: arguments of their LIF, which subtracts the threshold by default."""

    tau: float = Field(2.0, ge=1)
    v_threshold: float = Field(1.0, gt=0)
    v_reset: float | None = Field(None, ge=0, le=0)
    surrogate_function: Literal["sigmoid", "atan"] = "sigmoid"
    decay_input: Literal[False] = False
    detach_reset: bool = True
    step_mode: Literal["m"] = "m"

    def options(self) -> NeuronOptions:
        """Return the same neuron as eibench describes it."""
        return NeuronOptions(
            tau=self.tau,
            threshold=self.v_threshold,
            reset="soft" if self.v_reset is None else "hard",
            surrogate=self.surrogate_function,
            detach_reset=self.detach_reset,
        )


class NetworkConfig(Options):
    """The keys of a configuration that a network depends on; training's are not read."""

    type: Kind
    arch: Literal["VGG", "ResNet"]
    num_layers: Literal[8, 11, 16, 19, 18, 34]
    dataset: Literal[
        "MNIST",
        "CIFAR10",
        "CIFAR100",
        "TinyImageNet",
        "TinyImageNet200",
        "CIFAR10DVS",
        "DVSGesture",
    ]
    timesteps: Count = Field(alias="T")
    ei_ratio: Count | None = None
    light_classifier: bool = True
    neuron: NeuronConfig = Field(default_factory=lambda: NeuronConfig.model_validate({}))

    @model_validator(mode="after")
    def _known_network(self) -> Self:
        if (self.arch == "VGG") != (self.num_layers in VGG):
            known = ", ".join(map(str, VGG if self.arch == "VGG" else (18, 34)))
            raise ValueError(
                f"num_layers ({self.num_layers}) of {self.arch} must be one of {known}"
            )
        if self.inhibits and self.ei_ratio is None:
            raise ValueError("ei_ratio is missing; EI-SNN needs it")
        if self.arch == "VGG" and not self.light_classifier:
            raise ValueError("light_classifier must be true: three dense layers are not read")
        return self

    @property
    def inhibits(self) -> bool:
        """True for E-I circuits, False for batch norm."""
        return self.type == "EI-SNN"

    @property
    def title(self) -> str:
        """The network's name in messages."""
        return f"{self.arch}-{self.num_layers} of type {self.type}"

    def spec(self, widths: list[int]) -> RunSpec:
        """Return the network as a run: of these `widths` in forward order, one for a ResNet.

        Raises:
            Invalid: a width is out of range.
        """
        kind = {"name": "ei", "ei_ratio": self.ei_ratio} if self.inhibits else {"name": "batchnorm"}
        values = {
            "method": kind,
            "model": self._vgg(widths) if self.arch == "VGG" else self._resnet(widths[0]),
            "data": DATA[self.dataset],
            "neuron": self.neuron.options().model_dump(),
            "timesteps": self.timesteps,
        }
        return RunSpec.parse(values)

    def _vgg(self, widths: list[int]) -> dict[str, Any]:
        usual, given = VGG[self.num_layers], iter(widths)
        layout = [POOL if width == POOL else next(given) for width in usual]
        if layout == usual:
            return {"name": "vgg", "depth": self.num_layers}
        return {"name": "vgg", "layout": ["P" if width == POOL else width for width in layout]}

    def _resnet(self, width: int) -> dict[str, Any]:
        return {"name": "resnet", "depth": self.num_layers, "width": width}


def parse_config(values: Any, source: str) -> NetworkConfig:
    """Return the configuration in `values`, which came from `source`.

    Raises:
        UserError: with every problem.
    """
    if isinstance(values, Mapping):
        fields = NetworkConfig.model_fields.items()
        known = {field.alias or name for name, field in fields}
        values = {key: _bounded(value) for key, value in values.items() if key in known}
    try:
        return validate(NetworkConfig, values)
    except Invalid as invalid:
        raise UserError("\n".join(described(invalid, source))) from None


def _bounded(value: Any, levels: int = 1) -> Any:
    """Return a value without nested ones but one mapping; a message can then quote it.

    Lists that hold each other many times are small in a file and endless as text.
    """
    if isinstance(value, Mapping) and levels:
        return {k: _bounded(v, 0) for k, v in value.items() if isinstance(k, str)}
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number that is too large"
    scalar = value is None or isinstance(value, str | int | float)
    return value if scalar else f"a {type(value).__name__}"


def described(invalid: Invalid, source: str) -> list[str]:
    """Return each problem in one line, with its source and key."""
    return [
        ": ".join([source, *[".".join(map(str, p.keys))] * bool(p.keys), p.text])
        for p in invalid.problems
    ]


def read_config(path: Path) -> Any:
    """Return the values of a configuration file, YAML 1.1 or JSON.

    Raises:
        UserError: there is no such file, or it is not YAML.
    """
    try:
        return yaml.safe_load(read_text(path, LARGEST))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"{path}: is not YAML: {reason}") from None
