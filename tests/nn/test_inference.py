"""Folded and spelled-out networks compute what the network computes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from eibench.nn import (
    Balance,
    BatchNorm2d,
    BatchNormPerStep2d,
    BNTT2d,
    Circuit,
    Current,
    DANNConv2d,
    EIConv2d,
    EIInit,
    EILinear,
    GroupNorm2d,
    TDBatchNorm2d,
    TEBatchNorm2d,
    TimeDistributed,
    WSConv2d,
    fold_network,
    initialize,
    spell_out,
)

T = 3
CIRCUITS = {
    "paper": {},
    "leak": {"circuit": Circuit(stabilization="leak")},
    "no division": {"circuit": Circuit(divisive=False)},
    "division alone": {"circuit": Circuit(subtractive=False)},
    "excitation alone": {"circuit": Circuit(subtractive=False, divisive=False)},
    "no Dale": {"circuit": Circuit(dale=False)},
    "spiking cells": {"circuit": Circuit(inhibitory_cell="lif")},
    "blanket": {
        "circuit": Circuit(subtractive=False, divisive=False),
        "balance": Balance(1.0, True, 0.1),
        "init": EIInit(calibration="neuron"),
    },
    "blanket, dividing": {
        "circuit": Circuit(subtractive=False, stabilization="leak"),
        "balance": Balance(1.0, True),
    },
}


def activity(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(T, 4, *shape, generator=generator) > 0.6).double()


def same(network: nn.Module, x: torch.Tensor) -> None:
    network.double().eval()
    with torch.no_grad():
        expected = network(x)
        for form in (fold_network, spell_out):
            got = form(network)(x)
            torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9, msg=form.__name__)


@pytest.mark.parametrize("name", CIRCUITS)
@pytest.mark.parametrize("kind", ["conv", "linear", "readout"])
def test_circuits(name: str, kind: str) -> None:
    torch.manual_seed(0)
    shape = (3, 6, 6) if kind == "conv" else (20,)
    layer = (
        EIConv2d(3, 8, 3, stride=2, padding=1, **CIRCUITS[name])
        if kind == "conv"
        else EILinear(20, 8, readout=kind == "readout", **CIRCUITS[name])
    )
    x = activity(*shape)
    initialize(layer.double(), x)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(0.5 + torch.rand_like(parameter))
    same(layer, x)


def test_dann() -> None:
    layer = DANNConv2d(3, 8, 3).double()
    initialize(layer, activity(3, 6, 6))
    same(layer, activity(3, 6, 6))


@pytest.mark.parametrize(
    "norm",
    [
        BatchNorm2d(5), BatchNormPerStep2d(5), TDBatchNorm2d(5, 0.5, 0.7), BNTT2d(5, T),
        TEBatchNorm2d(5, T), GroupNorm2d(5, 1),
    ],
    ids=lambda norm: type(norm).__name__,
)  # fmt: skip
@pytest.mark.parametrize("bias", [False, True])
def test_norms(norm: nn.Module, bias: bool) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 5, 3, stride=2, padding=1, bias=bias)
    network = Current(TimeDistributed(conv), norm)
    for tensor in (*norm.parameters(), *norm.buffers()):
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 1.5)
    same(network, activity(3, 6, 6))
    folds = isinstance(norm, BatchNorm2d | BatchNormPerStep2d | TDBatchNorm2d)
    folds &= not isinstance(norm, TEBatchNorm2d)
    assert len(fold_network(network)) == (1 if folds else 2)


def test_standardized_kernels() -> None:
    same(TimeDistributed(WSConv2d(3, 5, 3, padding=1, learned=True)), activity(3, 6, 6))


def test_a_folded_layer_is_one_convolution() -> None:
    layer = EIConv2d(3, 8, 3, circuit=Circuit(divisive=False))
    initialize(layer, activity(3, 6, 6).float())
    folded = fold_network(nn.Sequential(layer))[0]
    assert isinstance(folded, TimeDistributed) and type(folded.module) is nn.Conv2d
    assert sum(p.numel() for p in folded.parameters()) == 8 * 27 + 8
