"""An option of `ei` is refused exactly where it has no effect: measured, not read off the code."""

from __future__ import annotations

import copy

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from eibench.methods.ei import EI, EIOptions
from eibench.nn import InitializationError, initialize, project_
from eibench.plan.options import NeuronOptions

CHANGES = {
    "ei_ratio": 2,
    "subtractive": False,
    "divisive": False,
    "stabilization": "epsilon",
    "epsilon": 1e-3,
    "leak": 0.2,
    "straight_through": False,
    "kappa": 0.5,
    "dale": False,
    "inhibitory_cell": "lif",
    "inhibitory_tau": 4.0,
    "init_statistics": "xavier",
    "init_rate": 0.4,
    "silent_layer": "fixed",
    "weight_law": "half_normal",
    "law_shape": 2.0,
    "law_match": "second_moment",
    "weight_scale": 2.0,
    "gain_scale": 2.0,
    "lateral_init": "sparse",
    "relay": 2.0,
    "calibration": "neuron",
    "calibration_mean": 0.25,
    "calibration_deviation": 0.75,
    "blanket": 0.5,
    "unit_rows": True,
    "plasticity": 0.5,
}
BASES = [
    {},
    {"divisive": False},
    {"subtractive": False},
    {"subtractive": False, "divisive": False},
    {"subtractive": False, "divisive": False, "init_statistics": "kaiming"},
    {"stabilization": "epsilon"},
    {"stabilization": "none"},
    {"stabilization": "leak"},
    {"relay": 3.0, "init_statistics": "fixed"},
    {"stabilization": "leak", "leak": 0.1, "inhibitory_cell": "lif"},
    {"stabilization": "none", "dale": False, "inhibitory_cell": "lif"},
    {"inhibitory_cell": "lif", "divisive": False},
    {"inhibitory_cell": "lif", "silent_layer": "fixed"},
    {"init_statistics": "fixed"},
    {"init_statistics": "fixed", "weight_law": "log_normal"},
    {"init_statistics": "kaiming"},
    {"init_statistics": "kaiming", "divisive": False},
    {"silent_layer": "fixed", "subtractive": False, "dale": False},
    {"weight_law": "half_normal"},
    {"weight_law": "log_normal", "law_match": "second_moment"},
    {"weight_law": "gamma", "law_shape": 3.0, "lateral_init": "random"},
    {"calibration": "neuron"},
    {"calibration": "neuron", "calibration_mean": 0.3, "weight_law": "gamma", "law_shape": 2.5},
    {"blanket": 1.0, "unit_rows": True, "subtractive": False, "divisive": False},
    {"blanket": 1.0, "unit_rows": True, "divisive": False, "calibration": "neuron"},
    {"blanket": 1.0, "stabilization": "leak", "leak": 0.1, "calibration": "neuron"},
    {"blanket": 0.75, "unit_rows": True, "subtractive": False},
]


def layers(options: dict) -> list[nn.Module]:
    """A hidden layer with its neuron and a readout under any values, valid together or not."""
    values = EIOptions.model_construct(**options)
    method = EI(options=values, lif=NeuronOptions().model_dump(), timesteps=3)
    return [
        nn.Sequential(method.conv(2, 8, 3), method.neuron(8)).double(),
        nn.Sequential(method.readout(10, 8)).double(),
    ]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trace(model: nn.Module, shape: tuple[int, ...]) -> list[Tensor]:
    """All that a layer does: what it draws from activity and from silence, its current, every
    gradient, what projection leaves of weights below zero, and the spikes that follow."""
    x = torch.rand(shape, dtype=torch.float64, generator=seeded(1))
    x[1, 2] = 0
    out = []
    try:
        silent = copy.deepcopy(model)
        initialize(silent, torch.zeros_like(x), seeded(2))
        out += silent.state_dict().values()
    except InitializationError:
        out.append(torch.tensor(-1.0))
    initialize(model, x, seeded(2))
    layer = model[0]
    out += [v.clone() for v in layer.state_dict().values()]
    with torch.no_grad():
        for name, v in layer.named_parameters():  # gains that differ, an output without inhibition
            v *= 0.5 + torch.rand(v.shape, dtype=v.dtype, generator=seeded(3))
            if name == "weight_ei":
                v[-1] = 0
    x.requires_grad_()
    current = layer(x)
    (current * torch.rand(current.shape, dtype=x.dtype, generator=seeded(4))).sum().backward()
    out += [current.detach(), x.grad, *(v.grad.clone() for v in layer.parameters())]
    with torch.no_grad():
        for v in layer.parameters():
            v.sub_(0.02)
    project_(model)
    return [*out, *(v.detach() for v in layer.parameters()), model[1:](current).detach()]


def traces(options: dict) -> list[list[Tensor]]:
    shapes = [(3, 4, 2, 6, 6), (3, 4, 10)]
    return [trace(layer, shape) for layer, shape in zip(layers(options), shapes, strict=True)]


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    pairs = zip(a, b, strict=False)
    return len(a) == len(b) and all(
        x.shape == y.shape and torch.allclose(x, y, rtol=1e-12, atol=1e-14, equal_nan=True)
        for x, y in pairs
    )


@pytest.mark.parametrize("base", BASES, ids=lambda b: EIOptions(**b).label)
def test_refused_means_without_effect(base: dict) -> None:
    before = traces(base)
    for name, value in CHANGES.items():
        if base.get(name, getattr(EIOptions(), name)) == value or _breaks(base, name):
            continue
        acts = not all(map(equal, before, traces({**base, name: value})))
        message = refusal({**base, name: value})
        assert acts == (message == ""), (name, message)
        assert acts or f"{name} has no effect" in message


def refusal(options: dict) -> str:
    try:
        EIOptions(**options)
    except ValidationError as error:
        return str(error)
    return ""


def _breaks(base: dict, name: str) -> bool:
    """Return whether another option of `base` is made ineffective by a change."""
    needed = {
        "divisive": {"stabilization", "straight_through", "gain_scale", "plasticity"},
        "init_statistics": {
            *("silent_layer", "weight_law", "init_rate", "calibration", "relay"),
        },
        "calibration": {"calibration_mean", "calibration_deviation"},
        "stabilization": {"epsilon", "leak"},
        "weight_law": {"law_shape"},
    }
    if base.get("subtractive", True):  # the net synapse of cells that are linear
        nets = {"blanket", "unit_rows", "plasticity"}
        needed["dale"] = needed["inhibitory_cell"] = nets
        if base.get("dale") is False or "inhibitory_cell" in base:
            needed |= {key: {"dale", "inhibitory_cell"} for key in nets}
    uninhibited = "subtractive" in base or "divisive" in base
    if name in ("subtractive", "divisive") and uninhibited:
        needed[name] = needed.get(name, set()) | {"inhibitory_cell", "lateral_init"}
    return bool(needed.get(name, set()) & base.keys())


def test_every_option_is_changed() -> None:
    assert CHANGES.keys() == EIOptions.model_fields.keys()
