"""`train.precision: bf16`: products in bfloat16, everything else in float32."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from eibench.nn import (
    LIF,
    BatchNorm2d,
    Circuit,
    Current,
    EIConv2d,
    EILinear,
    TimeDistributed,
    initialize,
)
from eibench.plan import METHODS
from eibench.training.optim import autocast

BF16 = 2.0**-8
"""Half the distance from 1 to the next number of bfloat16."""
CPU = torch.device("cpu")
LAYERS = {
    "ei": lambda: EIConv2d(8, 16, 3, padding=1),
    "ei_true_derivative": lambda: EIConv2d(8, 16, 3, circuit=Circuit(straight_through=False)),
    "readout": lambda: nn.Sequential(nn.Flatten(2), EILinear(8 * 36, 10, readout=True)),
    "batchnorm": lambda: Current(TimeDistributed(nn.Conv2d(8, 16, 3, bias=False)), BatchNorm2d(16)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_within_the_error_of_bfloat16(name):
    """Errors of current and weight gradients: a few roundings of weights and products."""
    torch.manual_seed(0)
    layer = LAYERS[name]()
    x = (torch.rand(4, 8, 8, 6, 6) < 0.3).float()
    initialize(layer, x, torch.Generator().manual_seed(0))
    found = []
    for precision in ("fp32", "bf16"):
        layer.zero_grad()
        with autocast(precision, CPU):
            y = layer(x)
        arriving = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
        (y.float() * arriving).sum().backward()
        found.append([y.detach().float(), *(p.grad.clone() for p in layer.parameters())])
    exact, rounded = found
    assert not torch.equal(exact[0], rounded[0])
    for a, b in zip(exact, rounded, strict=True):
        assert (a - b).norm() <= 8 * BF16 * a.norm()


def test_divisor_and_current_of_a_circuit_stay_in_float32():
    layer = EIConv2d(2, 8, 3)
    x = torch.rand(2, 3, 2, 6, 6)
    initialize(layer, x)
    with autocast("bf16", CPU):
        assert layer(x).dtype == torch.float32
        assert LIF()(layer(x)).dtype == torch.float32


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains(method, project, cli):
    project.suite(
        base={"method": method, "train": {"precision": "bf16"}}, grid={"model.depth": [2]}
    )
    assert cli("run", "tiny.yaml", "--device", "cpu").code == 0
    (record,) = project.records().values()
    assert record["status"] == "ok"
    assert record["fields"]["train.precision"] == "bf16"
