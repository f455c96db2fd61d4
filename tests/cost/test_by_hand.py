"""Counts of tiny networks, each number derived by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from eibench.cost.counter import OperationCounter
from eibench.cost.network import count_network
from eibench.cost.products import few_bits
from eibench.errors import UserError
from eibench.nn import (
    LIF,
    AvgPool2d,
    BatchNorm2d,
    Chain,
    Circuit,
    Current,
    EIConv2d,
    EILinear,
    TimeDistributed,
    fold_network,
    spell_out,
)
from eibench.nn.residual import SpikesJoined


def matrix(rows: list[list[float]]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows), bias=False)
    layer.weight = nn.Parameter(torch.tensor(rows))
    return layer


def counted(network: nn.Module, x: torch.Tensor):
    counter = OperationCounter(network)
    with counter.watch(x) as counts:
        network(x)
    return counts


# --- Products ------------------------------------------------------------------------------------


def test_neurobenchs_own_example():
    """W has 6 weights that are not 0; of x = (0, 1.3, -1) the last two meet 1, 2 and 1 of them."""
    network = matrix([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    (product,) = counted(network, torch.tensor([[0.0, 1.3, -1.0]])).products
    assert (product.count.effective, product.count.dense) == (4, 9)
    assert not product.count.binary and product.count.bits is None
    assert (product.count.by_input, product.count.by_weight) == (2 * 3, 6)


def test_a_convolution_leaves_out_taps_in_the_padding():
    """A 3x3 kernel over 2x2 pixels with padding 1: each output sees the 4 pixels."""
    conv = nn.Conv2d(1, 2, 3, padding=1)
    with torch.no_grad():
        conv.weight[1, 0, 1, 1] = 0.0  # the middle tap of the second kernel: 4 products
    x = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    (product,) = counted(conv, x).products
    assert product.count.dense == 2 * 4 * 4
    assert product.count.by_input == 2 * 4  # the only spike reaches all 4 outputs of 2 channels
    assert product.count.by_weight == 32 - 4
    assert product.count.effective == 8 - 1
    assert product.count.binary and product.count.bits == 1 and product.count.biased


def test_stride_and_groups():
    """2 groups of 1 channel, kernel 1, stride 2 on 4x4: 4 positions, 2 channels, 1 tap each."""
    conv = nn.Conv2d(2, 2, 1, stride=2, groups=2, bias=False)
    x = torch.zeros(3, 2, 4, 4)
    x[0, 0, 0, 0] = x[1, 1, 2, 2] = x[2, 0, 1, 1] = 1  # the last is between the strides
    (product,) = counted(conv, x).products
    assert (product.count.dense, product.count.effective) == (3 * 2 * 4, 2)
    assert (product.count.nonzero, product.count.inputs) == (3, 96)


def test_sums_beyond_float32_are_exact():
    """More than 2^24 products, less one weight that is 0: float32 would not see it."""
    layer = nn.Linear(4097, 4096, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)[0, 0] = 0.0
    (product,) = counted(layer, torch.ones(1, 4097)).products
    assert product.count.dense == 4097 * 4096 and product.count.effective == 4097 * 4096 - 1


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        ([0, 1, 1], 1), ([0, -1, 1], 1), ([0, 2, 3], 2), ([0.25, 1, 0], 3), ([0.5, 0.5], 1),
        ([0.3, 1], None), ([0, 0], 1), ([1 / 512], None), ([70000.0], None),
    ],
)  # fmt: skip
def test_bits_of_an_activity(values, bits):
    """0.25 is a quarter, 1 is four of them: 3 bits."""
    assert few_bits(torch.tensor(values, dtype=torch.float32)) == bits


# --- Networks ------------------------------------------------------------------------------------


def test_neurons():
    """For each neuron: 3 decays with an addition (not at the first step), 4 comparisons with the
    threshold, 4 resets by subtraction."""
    counts = counted(LIF(), torch.rand(4, 2, 5))
    assert dict(counts.elementwise[""]) == {"mac": 3 * 10, "compare": 4 * 10, "ac": 4 * 10}
    hard = counted(LIF(reset="hard"), torch.rand(4, 2, 5))
    assert dict(hard.elementwise[""]) == {"mac": 30, "compare": 40, "ac": 2 * 40}  # 1 - s, u (1-s)


def batch_norm_network() -> Chain:
    """2x2 pixels, 3 channels of kernel 1, pooling, 2 classes; every pixel drives a spike."""
    conv = nn.Conv2d(1, 3, 1, bias=False)
    nn.init.constant_(conv.weight, 4.0)
    current = Current(TimeDistributed(conv), BatchNorm2d(3))
    pool = TimeDistributed(AvgPool2d(2))
    return Chain(current, LIF(tau=1.0), pool, nn.Flatten(2), nn.Linear(3, 2)).eval()


def test_a_network_with_batch_norm():
    """T = 2, one image of one bright pixel of 0.5.

    Convolution: 4 pixels x 3 channels x 2 steps = 24 dense, of which the bright pixel has 6.
    Norm: 24 numbers. Neurons: 12 updates a step: 12 decays (second step), 24 comparisons and 24
    resets. Pooling: 6 results of 3 additions and a scaling. Readout: 3 x 2 x 2 = 12, inputs of 1/4
    are no spikes; biases 4. Folded, the norm is a bias: 24 additions.
    """
    image = torch.zeros(1, 1, 2, 2)
    image[0, 0, 0, 0] = 0.5
    found = count_network(batch_norm_network(), [image], 2)
    assert found["nb_dense"] == 24 + 12
    assert (found["nb_macs"], found["nb_acs"]) == (6 + 12, 0)
    assert found["first_layer_macs"] == 6
    assert found["full_operations"] == {
        "mac": 6 + 24 + 12 + 12, "ac": 24 + 6 * 3 + 4, "multiply": 6, "compare": 24,
        "divide": 0, "function": 0,
    }  # fmt: skip
    assert found["folded_operations"] == {
        "mac": 6 + 12 + 12, "ac": 24 + 24 + 6 * 3 + 4, "multiply": 6, "compare": 24,
        "divide": 0, "function": 0,
    }  # fmt: skip
    assert found["full_macs"] == 54 + 6 and found["full_acs"] == 46 + 24
    assert found["full_dense_macs"] == 60 + (24 - 6)
    assert found["neurons"] == 12 and found["neuron_updates"] == 24
    assert found["firing_rate"] == pytest.approx(0.25)  # the bright pixel's 3 neurons of 12
    assert found["input_density"] == 1.0 and found["binary_inputs"] == 0.0
    # convolution 3, norm 4 x 3 + a counter of 8 bytes, readout 6 + 2; folded: 3 + 3 + 6 + 2
    assert found["nb_footprint"] == 4 * (3 + 12 + 8) + 8 and found["weight_bytes"] == 4 * 14
    assert found["state_bytes"] == 4 * 12
    assert found["weight_traffic"] == 2 * 4 * (3 + 6) and found["state_traffic"] == 2 * 2 * 48
    # the image is 0 or one half, pooled activity 0 or one quarter: 1 bit; 24 spikes are written
    assert found["activity_traffic"] == (4 * 2 + 3 * 2 + 24) / 8


def conv(weights: list[list[float]]) -> Chain:
    """A convolution of kernel 1 with its neurons, which forget at once: they fire from 1 on."""
    layer = nn.Conv2d(len(weights[0]), len(weights), 1, bias=False)
    layer.weight = nn.Parameter(torch.tensor(weights)[:, :, None, None])
    return Chain(TimeDistributed(layer), LIF(tau=1.0))


@pytest.mark.parametrize(
    ("connect", "macs", "acs", "rate"),
    [("add", 4 + 4 + 8, 4 + 16, 5), ("iand", 4, 4 + 2 + 32, 4), ("and", 4, 4 + 2 + 16, 3)],
)
def test_residual_blocks(connect, macs, acs, rate):
    """T = 2, one image of a pixel of 0.5 and one of 0; two blocks of two channels (SEW).

    At the bright pixel and each step, by channel:

                  currents                    spikes     output
        stem      2.5, 2.5                    1, 1       1, 1
        block 1   2.5, 0                      1, 0       add 2, 1    iand 0, 1    and 1, 0
        block 2   add   1.5, 1.25             1, 1       3, 2
                  iand  0, 1.25               0, 1       0, 0
                  and   0.75, 0               0, 0       0, 0

    Products of both steps: the stem 2 x 2 MACs of the real pixel. Block 1: two weights that are not
    0 meet spikes, 2 x 2 ACs. Block 2: a weight for each channel that is not 0: under add 2 x 2
    MACs, as an input is 2, else 2 ACs. Readout: under add 2 inputs for 2 classes, 2 x 4 MACs.
    Joins: 4 numbers, 2 steps, 2 blocks: 16 additions under add; under iand as many for 1 - s, and
    as many choices by 0 or 1; under and 16 choices. Neurons: 3 x 4, with a decay at the second
    step, a comparison and a reset at each.
    """
    weights = [[[1.25, 1.25], [0.0, 0.0]], [[0.75, 0.0], [0.0, 1.25]]]
    blocks = [SpikesJoined(conv(each), nn.Identity(), connect) for each in weights]
    readout = matrix([[1.0] * 4, [2.0] * 4])
    network = Chain(conv([[5.0], [5.0]]), *blocks, nn.Flatten(2), readout).eval()
    found = count_network(network, [torch.tensor([[[[0.5, 0.0]]]])], 2)
    assert found["nb_dense"] == 2 * (2 * 2 + 2 * 4 + 2 * 4 + 4 * 2)
    expected = {
        "mac": macs + 12, "ac": acs + 24, "multiply": 0, "compare": 24, "divide": 0, "function": 0,
    }  # fmt: skip
    assert found["full_operations"] == found["folded_operations"] == expected
    assert found["firing_rate"] == pytest.approx(rate / 12)


def ei_network(**changes: bool) -> Chain:
    """2 inputs, 4 excitatory and 1 inhibitory neuron, 2 classes with 1 inhibitory cell."""
    torch.manual_seed(0)
    layers = EIConv2d(2, 4, 1, circuit=Circuit(**changes)), EILinear(4, 2, readout=True)
    network = Chain(layers[0], LIF(), nn.Flatten(2), layers[1])
    for layer in layers:
        for weight in layer.parameters():
            nn.init.constant_(weight, 1.0)
        layer._mark(True)
    with torch.no_grad():
        layers[0].weight_ee.mul_(3.0)
        layers[0].weight_ee[0, 0] = 0.0
    return network.eval()


def test_an_e_i_network():
    """T = 1, one image of two bright pixels (1, 1).

    Synapse: (4 + 1) x 2 = 10, one weight is 0: 9 additions of spikes. Cell to neurons: 2 matrices
    of 4 x 1 = 8, of the real number 2: 2 bits, no spike: MACs. Subtraction 4, division 4, gain and
    bias 4 MACs. Zeros of the divisor: 4 comparisons for >, 3 for the smallest, 4 for =. Neurons: 4
    comparisons, 4 resets. Readout: (2 + 1) x 4 spikes, 2 x 1 MACs and 2
    subtractions.

    Currents: 3 x 2 - 2 = 4 or 3 - 2 = 1, over 2, and 1 more: all four fire.
    """
    image = torch.ones(1, 2, 1, 1)
    found = count_network(ei_network(), [image], 1)
    assert found["nb_dense"] == 10 + 12
    assert (found["nb_acs"], found["nb_macs"]) == (9 + 12, 0)
    assert found["firing_rate"] == 1.0
    assert found["full_operations"] == {
        "mac": 8 + 4 + 2, "ac": 9 + 4 + 4 + 12 + 2, "multiply": 0, "compare": 11 + 4,
        "divide": 4, "function": 0,
    }  # fmt: skip
    # folded: W_EE - W_EI W_IE is 2, -1 in the first place; one matrix of 4 behind the cell; a bias
    # of 4; the readout's net synapse is 1 - 1 = 0: no operation is left
    assert found["folded_operations"] == {
        "mac": 4, "ac": 10 + 4 + 4, "multiply": 0, "compare": 11 + 4, "divide": 4, "function": 0,
    }  # fmt: skip
    assert found["weight_density"] == {"weight_ee": 15 / 16, "weight_ie": 1.0, "weight_ei": 1.0}
    assert [layer["synapse"] for layer in found["layers"]] == [True, False, True, False]


def test_without_division_a_folded_layer_is_one_synapse():
    """4 x 2 spikes on one matrix with a bias; no cell, no gain."""
    found = count_network(ei_network(divisive=False), [torch.ones(1, 2, 1, 1)], 1)
    assert found["folded_operations"]["divide"] == 0
    assert found["folded_operations"]["mac"] == 0
    assert found["full_operations"]["mac"] == 4 + 4 + 2  # lateral, gain with bias, readout's


def test_counts_are_means_over_batches():
    """Two batches, of one image and of two, count as one of three.

    Each batch is binary or not by itself: a silent one makes its additions of zeros.
    """
    images = torch.rand(3, 1, 2, 2)
    split, whole = (
        count_network(batch_norm_network(), batches, 2)
        for batches in ([images[:1], images[1:]], [images])
    )
    for name in ("images", "nb_dense", "firing_rate", "state_bytes", "weight_traffic"):
        assert split[name] == pytest.approx(whole[name]), name
    for parts in (("nb_macs", "nb_acs"), ("full_macs", "full_acs")):
        assert sum(split[p] for p in parts) == pytest.approx(sum(whole[p] for p in parts))


# --- Errors and forms ----------------------------------------------------------------------------


class Sine(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x)


def test_an_unknown_operation_is_an_error_that_names_it():
    network = Chain(LIF(), Sine())
    with pytest.raises(UserError, match=r"1: cannot count the operations of aten\.sin\.default"):
        counted(network, torch.rand(2, 1, 3))


def test_operations_on_weights_alone_are_not_counted():
    class Waves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(2, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(x, self.weight.sin() * 2)

    counts = counted(Waves(), torch.rand(1, 3))
    assert counts.elementwise == {} and len(counts.products) == 1


def test_batch_statistics_are_refused():
    network = Current(TimeDistributed(nn.Conv2d(1, 2, 1)), BatchNorm2d(2))
    with pytest.raises(UserError, match="count in evaluation"):
        counted(network.train(), torch.rand(1, 2, 1, 2, 2))


def test_hooks_are_gone_and_the_network_is_as_before():
    network = ei_network()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    count_network(network, [torch.ones(1, 2, 1, 1)], 2)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())


@pytest.mark.parametrize("form", [fold_network, spell_out])
def test_forms_are_copies(form):
    network = ei_network()
    made = form(network)
    assert {id(p) for p in made.parameters()}.isdisjoint(id(p) for p in network.parameters())
