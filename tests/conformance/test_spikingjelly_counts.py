"""Operations against SpikingJelly's counters, where the definitions agree.

They differ on purpose, and are not compared, where weights are 0 (not discounted there), where
taps fall into padding (MACs there), where inputs of -1 are (no spikes there), and in neurons,
pooling and norms. There weights of 1 make a product one of spikes too: W_EI of a single inhibitory
cell. So: no padding, no weight of 0, two cells at least, synaptic operations alone.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from eibench.cost.network import count_network
from eibench.nn import LIF, Chain, EIConv2d, EILinear, TimeDistributed, initialize, spell_out

pytest.importorskip("spikingjelly.activation_based.op_counter", reason="needs SpikingJelly 2.0")
from spikingjelly.activation_based.op_counter import DispatchCounterMode, MACCounter, SynOpCounter

T = 3


def plain() -> Chain:
    torch.manual_seed(0)
    convs = nn.Conv2d(2, 5, 3, bias=False), nn.Conv2d(5, 6, 3, bias=False)
    parts = [part for conv in convs for part in (TimeDistributed(conv), LIF(threshold=0.1))]
    return Chain(*parts, nn.Flatten(2), nn.Linear(6 * 4 * 4, 4, bias=False)).eval()


def circuit() -> Chain:
    torch.manual_seed(0)
    layers = EIConv2d(2, 8, 3), LIF(threshold=0.1), EIConv2d(8, 8, 3), LIF(threshold=0.1)
    network = Chain(*layers, nn.Flatten(2), EILinear(8 * 4 * 4, 8, readout=True))
    return initialize(network, torch.rand(T, 8, 2, 8, 8)).eval()


@pytest.mark.parametrize("make", [plain, circuit])
def test_products(make) -> None:
    """Spike-driven operations are SynOps there, ACs here; products of real numbers MACs."""
    network, images = make(), 0.1 + 0.8 * torch.rand(4, 2, 8, 8)
    form, x = spell_out(network), images.expand(T, *images.shape).contiguous()
    macs, synops = MACCounter(), SynOpCounter()
    with torch.no_grad(), DispatchCounterMode([macs, synops]):
        form(x)
    found = count_network(network, [images], T)
    products = found["layers"]
    assert sum(p["acs"] for p in products) * 4 == pytest.approx(synops.get_total())
    linear = {"mm", "addmm", "convolution"}
    counted = sum(
        n for name, n in macs.get_counts()["Global"].items()
        if name.overloadpacket.__name__ in linear
    )  # fmt: skip
    real = [p for p in products if p["bits"] != 1]
    assert sum(p["dense"] for p in real) * 4 == pytest.approx(counted)
