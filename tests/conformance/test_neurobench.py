"""Synaptic operations and footprint against NeuroBench, where its hooks see the layers.

Not compared, because its hooks do not see them: E-I layers, whose synapse is no `nn.Conv2d`. The
definition is the same there, by hand in tests/cost.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from eibench.cost.network import count_network
from eibench.nn import LIF, AvgPool2d, BatchNorm2d, Chain, Current, TimeDistributed, fold_network

pytest.importorskip("neurobench", reason="needs NeuroBench 2.3")
from neurobench.metrics.static import Footprint, ParameterCount
from neurobench.metrics.workload import SynapticOperations
from neurobench.models import TorchModel

T = 3


class OverTime(nn.Module):
    """A network on images, at each of T steps, as NeuroBench calls it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images.expand(T, *images.shape).contiguous())


def network(pools: bool, zeros: bool) -> Chain:
    """Two convolutions, the second with stride and padding, and a readout with bias."""
    torch.manual_seed(1)
    convs = nn.Conv2d(2, 5, 3, padding=1), nn.Conv2d(5, 6, 3, stride=2, padding=1)
    parts: list[nn.Module] = []
    for conv in convs:
        parts += [Current(TimeDistributed(conv), BatchNorm2d(conv.out_channels)), LIF()]
        parts += [TimeDistributed(AvgPool2d(2))] if pools else []
    size = 6 if pools else 6 * 4 * 4
    made = Chain(*parts, nn.Flatten(2), nn.Linear(size, 4)).eval()
    if zeros:
        with torch.no_grad():
            for conv in convs:
                conv.weight.mul_(conv.weight > 0)
    return made


@pytest.mark.parametrize("pools", [False, True], ids=["spikes", "pooled"])
@pytest.mark.parametrize("zeros", [False, True], ids=["dense weights", "weights of 0"])
def test_synaptic_operations(pools: bool, zeros: bool) -> None:
    ours, images = network(pools, zeros), torch.rand(4, 2, 8, 8)
    images[images < 0.5] = 0
    theirs = TorchModel(OverTime(ours))
    theirs.register_hooks()
    metric = SynapticOperations()
    with torch.no_grad():
        theirs(images)
        expected = metric(theirs, None, (images, None))
    theirs.close_hooks()
    for hook in theirs.connection_hooks:
        hook.close()
    found = count_network(ours, [images], T)
    assert found["nb_macs"] == expected["Effective_MACs"] > 0
    assert found["nb_acs"] == expected["Effective_ACs"]
    assert found["nb_dense"] == expected["Dense"]
    assert (found["nb_acs"] > 0) == (not pools)


def test_footprint_and_parameters() -> None:
    ours = network(pools=True, zeros=False)
    found = count_network(ours, [torch.rand(2, 2, 8, 8)], T)
    assert found["nb_footprint"] == Footprint()(TorchModel(ours))
    assert found["weight_bytes"] == 4 * ParameterCount()(TorchModel(fold_network(ours)))
