"""`resnet`: joining of blocks, arguments passed to the method, and dependence on the image size."""

import itertools

import pytest
import torch
from torch import nn

from eibench.contracts import CONTRACTS
from eibench.contracts.models import every_method_fits
from eibench.contracts.networks import activity, make, make_method, prepared
from eibench.methods.ei import EIOptions
from eibench.methods.norms import BatchNormOptions, TDBNOptions
from eibench.methods.without_norm import NoNormOptions
from eibench.models.resnet import ResnetOptions, resnet
from eibench.nn import LIF, EILayer
from eibench.nn.residual import CurrentsAdded, SpikesJoined
from eibench.plan.options import METHODS, NeuronOptions

VARIANTS = [
    ResnetOptions(width=8),
    ResnetOptions(width=8, connect="iand"),
    ResnetOptions(width=8, shortcut="currents"),
    ResnetOptions(width=8, depth=50),
]
by_variant = pytest.mark.parametrize("choice", VARIANTS, ids=lambda c: c.label)


class Constant(nn.Module):
    """Gives a tensor, whatever comes."""

    def __init__(self, *values):
        super().__init__()
        self.value = torch.tensor(values)

    def forward(self, x):
        return self.value


@pytest.mark.parametrize(
    ("connect", "joined"),
    [("add", [0.0, 1.0, 1.0, 2.0]), ("and", [0.0, 0.0, 0.0, 1.0]), ("iand", [0.0, 1.0, 0.0, 0.0])],
)
def test_spikes_are_joined_as_by_hand(connect, joined):
    """The body's spikes 0 0 1 1 and the shortcut's 0 1 0 1."""
    block = SpikesJoined(Constant(0.0, 0.0, 1.0, 1.0), nn.Identity(), connect)
    assert block(torch.tensor([0.0, 1.0, 0.0, 1.0])).tolist() == joined


def test_currents_are_added_before_the_neuron():
    """0.6 + 0.5 fires at a threshold of 1; either alone would not."""
    block = CurrentsAdded(Constant([[0.6, 0.6]]), nn.Identity(), LIF())
    assert block(torch.tensor([[[0.5, 0.3]]])).tolist() == [[[1.0, 0.0]]]


class Asked:
    """A method that notes what its convolutions are asked for."""

    def __init__(self):
        self.method, self.calls = make_method(NoNormOptions()), []

    def conv(self, c_in, c_out, kernel, *, stride=1, branches=1, summed=1):
        self.calls.append((c_in, c_out, kernel, stride, branches, summed))
        return self.method.conv(c_in, c_out, kernel, stride=stride)

    def __getattr__(self, name):
        return getattr(self.method, name)


def asked(**changes):
    method = Asked()
    resnet(method, (3, 32, 32), 10, ResnetOptions(**{"width": 4, **changes}))
    return method.calls


def test_spikes_add_up_along_blocks():
    """(c_in, c_out, kernel, stride, branches, summed), block by block; a shortcut that is a synapse
    has a neuron of its own, so that with the body's two neurons' spikes are left."""
    assert asked() == [
        (3, 4, 3, 1, 1, 1),
        *[(4, 4, 3, 1, 1, 1), (4, 4, 3, 1, 1, 1)],
        *[(4, 4, 3, 1, 1, 2), (4, 4, 3, 1, 1, 1)],
        *[(4, 8, 3, 2, 1, 3), (8, 8, 3, 1, 1, 1), (4, 8, 1, 2, 1, 3)],
        *[(8, 8, 3, 1, 1, 2), (8, 8, 3, 1, 1, 1)],
        *[(8, 16, 3, 2, 1, 3), (16, 16, 3, 1, 1, 1), (8, 16, 1, 2, 1, 3)],
        *[(16, 16, 3, 1, 1, 2), (16, 16, 3, 1, 1, 1)],
        *[(16, 32, 3, 2, 1, 3), (32, 32, 3, 1, 1, 1), (16, 32, 1, 2, 1, 3)],
        *[(32, 32, 3, 1, 1, 2), (32, 32, 3, 1, 1, 1)],
    ]


def test_the_first_bottleneck_has_a_shortcut_of_stride_1_and_the_next_a_stride_on_its_3x3():
    assert asked(depth=50)[1:14] == [
        *[(4, 4, 1, 1, 1, 1), (4, 4, 3, 1, 1, 1), (4, 16, 1, 1, 1, 1), (4, 16, 1, 1, 1, 1)],
        *[(16, 4, 1, 1, 1, 2), (4, 4, 3, 1, 1, 1), (4, 16, 1, 1, 1, 1)],
        *[(16, 4, 1, 1, 1, 3), (4, 4, 3, 1, 1, 1), (4, 16, 1, 1, 1, 1)],
        *[(16, 8, 1, 1, 1, 4), (8, 8, 3, 2, 1, 1), (8, 32, 1, 1, 1, 1)],
    ]


def test_the_last_synapse_of_a_block_is_one_of_two_branches_under_currents():
    calls = asked(shortcut="currents")
    assert {call[5] for call in calls} == {1}
    assert [call[4] for call in calls] == [1, 1, 2, 1, 2, *[1, 2, 2, 1, 2] * 3]


IAND = ResnetOptions(width=8, connect="iand")


@pytest.mark.parametrize(
    "contract",
    [c for c in CONTRACTS["model"] if c is not every_method_fits],
    ids=lambda c: c.__name__,
)
def test_products_keep_the_contracts(contract):
    contract(IAND)


@pytest.mark.parametrize("name", list(METHODS))
def test_products_work_over_every_method(name):
    """Products thin spikes out, and in so small a network a layer may be silent by the draw; E-I
    Init then needs to be told what to do."""
    cls = METHODS[name]
    choice = cls(silent_layer="fixed") if "silent_layer" in cls.model_fields else cls()
    _, network = prepared(choice, activity(), model=IAND)
    network(activity()).mean(0).logsumexp(1).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("connect", ["and", "iand"])
def test_products_of_spikes_are_spikes(connect):
    assert {call[4:] for call in asked(connect=connect)} == {(1, 1)}
    _, network = prepared(
        BatchNormOptions(), activity(), model=ResnetOptions(width=4, connect=connect)
    )
    seen = []
    for block in (m for m in network.modules() if isinstance(m, SpikesJoined)):
        block.register_forward_hook(lambda m, i, out: seen.append(out))
    network(activity())
    assert len(seen) == 8
    assert all(((out == 0) | (out == 1)).all() for out in seen)
    assert seen[0].sum() > 0


def test_sums_count_spikes():
    """Activity is whole and never above the number of summed neurons that a method is told of."""
    _, network = prepared(BatchNormOptions(), activity(), model=ResnetOptions(width=4))
    highest = {}
    for name, block in network.named_modules():
        if isinstance(block, SpikesJoined):
            block.register_forward_hook(
                lambda m, i, out, name=name: highest.update({name: out.unique().tolist()})
            )
    network(activity())
    for (name, found), summed in zip(highest.items(), [2, 3] * 4, strict=True):
        assert set(found) <= set(range(summed + 1)), name
    assert max(itertools.chain(*highest.values())) == 3


@by_variant
def test_each_circuit_is_called_once(choice):
    _, network = prepared(EIOptions(silent_layer="fixed"), activity(), model=choice)
    calls = []
    for layer in (m for m in network.modules() if isinstance(m, EILayer)):
        layer.register_forward_hook(lambda m, i, out: calls.append(id(m)))
    network(activity())
    layers = [id(m) for m in network.modules() if isinstance(m, EILayer)]
    assert calls == layers  # in the order of registration, which is the order of E-I Init


@by_variant
def test_circuits_receive_no_negative_activity(choice):
    _, network = prepared(EIOptions(silent_layer="fixed"), activity(), model=choice)
    lowest = []
    for layer in (m for m in network.modules() if isinstance(m, EILayer)):
        layer.register_forward_pre_hook(lambda m, x: lowest.append(x[0].min().item()))
    network(activity())
    assert min(lowest) == 0


def test_tdbn_scales_what_is_added():
    """At threshold 0.5: 0.5 in a chain, 0.5/sqrt(2) for both currents that are added."""
    choice = ResnetOptions(width=4, shortcut="currents")
    _, network = make(TDBNOptions(), choice, image=(2, 32, 32), threshold=0.5)
    block = network.stage2.block1
    found = [block.body.conv1, block.body.conv2, block.shortcut.conv]
    assert [part[1].scale for part in found] == pytest.approx([0.5, 0.5 / 2**0.5, 0.5 / 2**0.5])


@pytest.mark.parametrize("shortcut", ["spikes", "currents"])
def test_when_tdbn_is_batch_norm(shortcut):
    """Joined after the neurons it is, with threshold 1; where currents are added it is not."""
    choice = ResnetOptions(width=4, shortcut=shortcut)
    neuron, tdbn = NeuronOptions(), TDBNOptions()
    same = tdbn.same_as(choice, neuron, 4)
    assert same == (BatchNormOptions() if shortcut == "spikes" else tdbn)
    outputs = [make(m, choice)[1](activity()) for m in (tdbn, BatchNormOptions())]
    assert torch.equal(*outputs) == (shortcut == "spikes")


@pytest.mark.parametrize(
    ("stem", "image", "text"),
    [
        ("small", (1, 7, 9), "at least 8x8 for its small stem, not 7x9"),
        ("large", (3, 48, 31), "at least 32x32 for its large stem, not 48x31"),
    ],
)
def test_too_small_an_image_is_refused(stem, image, text):
    with pytest.raises(ValueError, match=text):
        make(NoNormOptions(), ResnetOptions(width=4, stem=stem), image=image)
