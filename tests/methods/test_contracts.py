"""Contracts of `eibench check` over all registered methods and models, and special cases of
single ones."""

import inspect
from typing import Literal, get_args, get_origin

import pytest
import torch
from torch import nn

from eibench.contracts import CONTRACTS
from eibench.contracts.networks import CLASSES, MODEL_VARIANTS, activity, make, prepared
from eibench.data.base import ImageData, Split
from eibench.methods import norms, weight_standardization
from eibench.methods.dann import DANNOptions
from eibench.methods.ei import EIOptions
from eibench.methods.norms import BatchNormOptions, TDBNOptions
from eibench.methods.spikeinit import SpikeInitOptions
from eibench.methods.without_norm import NoNormOptions, WTAOptions
from eibench.models.chain import MlpOptions, PlainOptions, VggOptions
from eibench.models.resnet import ResnetOptions
from eibench.nn import (
    LIF,
    Balance,
    Circuit,
    EIConv2d,
    EIInit,
    EILayer,
    EILinear,
    NotInitializedError,
)
from eibench.plan.options import CHOICES, METHODS, MODELS, NeuronOptions

VARIANTS = [
    EIOptions(),
    EIOptions(ei_ratio=1),
    EIOptions(subtractive=False, silent_layer="fixed"),
    EIOptions(divisive=False, silent_layer="fixed"),
    EIOptions(subtractive=False, divisive=False, silent_layer="fixed"),
    EIOptions(stabilization="epsilon"),
    EIOptions(straight_through=False, kappa=0.5),
    EIOptions(dale=False, init_statistics="xavier", lateral_init="sparse"),
    EIOptions(inhibitory_cell="lif", inhibitory_tau=4.0),
    EIOptions(init_statistics="fixed", weight_law="gamma", law_shape=2.0),
    EIOptions(**EIOptions.presets["blanket"].values),
    EIOptions(stabilization="leak", relay=3.0, calibration="neuron"),
    EIOptions(calibration="neuron", init_statistics="fixed"),
    BatchNormOptions(),
    BatchNormOptions(stats="per_step"),
    BatchNormOptions(init="torch"),
    TDBNOptions(),
    norms.BNTTOptions(),
    norms.TEBNOptions(),
    norms.TABOptions(),
    norms.MPBNOptions(),
    norms.GroupNormOptions(groups=2),
    norms.LayerNormOptions(),
    weight_standardization.WeightStandardizationOptions(),
    weight_standardization.WeightStandardizationOptions(gain="measured"),
    weight_standardization.WeightStandardizationOptions(gain="learned"),
    DANNOptions(),
    DANNOptions(ei_ratio=2, epsilon=0.01, corrections=False),
    SpikeInitOptions(),
    WTAOptions(),
    WTAOptions(share=1.0),
    WTAOptions(init="fluctuation"),
    NoNormOptions(),
    NoNormOptions(init="xavier"),
    NoNormOptions(init="fluctuation"),
    NoNormOptions(init="spikeinit"),
    NoNormOptions(init="spikeinit", rate=0.2),
]
MODEL_CHOICES = [
    *MODEL_VARIANTS,
    MlpOptions(width=16),
    VggOptions(),
    VggOptions(layout="8 P 16"),
    ResnetOptions(width=8),
    ResnetOptions(width=8, shortcut="currents"),
    ResnetOptions(width=8, stem="large"),
    ResnetOptions(width=8, depth=50),
]
by_method = pytest.mark.parametrize("choice", VARIANTS, ids=lambda c: c.label)


def test_every_choice_has_variants_here():
    assert METHODS.keys() == {v.name for v in VARIANTS}
    assert MODELS.keys() == {m.name for m in MODEL_CHOICES}


@pytest.mark.parametrize("kind", CHOICES)
def test_code_takes_its_options_as_one_object(kind):
    """So that no option is declared twice; what has none takes none."""
    registry = CHOICES[kind]
    assert registry.code.keys() == registry.keys()
    for name, options in registry.items():
        takes = "options" in inspect.signature(registry.code[name]).parameters
        assert takes == bool(options.model_fields.keys() - options.withheld), name


@pytest.mark.parametrize(
    ("options", "part"),
    [
        *((EIOptions, part) for part in (Circuit, EIInit, Balance, EIConv2d, EILinear)),
        (NeuronOptions, LIF),
    ],
)
def test_parts_of_torch_take_what_options_allow(options, part):
    """`eibench.nn` stands by itself, so its constructors have defaults and ranges: the same."""
    parameters = inspect.signature(part).parameters
    shared = {name: field for name, field in options.model_fields.items() if name in parameters}
    assert {name: parameters[name].default for name in shared} == {
        name: field.default for name, field in shared.items()
    }
    if part in (EIConv2d, EILinear):  # which have sizes as well
        assert shared.keys() == {"ei_ratio"}
        return
    assert parameters.keys() == shared.keys()
    for name, field in shared.items():
        values = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        ends = [getattr(bound, end, None) for bound in field.metadata for end in ("ge", "le")]
        for value in (*values, *(end for end in ends if end is not None)):
            part(**{name: value})
        if values:
            with pytest.raises(ValueError, match=name):
                part(**{name: "other"})


@pytest.mark.parametrize("contract", CONTRACTS["method"], ids=lambda c: c.__name__)
@by_method
def test_every_method_keeps_the_contracts(choice, contract):
    contract(choice)


@pytest.mark.parametrize("contract", CONTRACTS["model"], ids=lambda c: c.__name__)
@pytest.mark.parametrize("model", MODEL_CHOICES, ids=lambda c: c.label)
def test_every_model_keeps_the_contracts(model, contract):
    contract(model)


def test_a_network_has_a_neuron_for_each_convolution():
    _, network = make(EIOptions())
    assert sum(isinstance(m, LIF) for m in network.modules()) == MODEL_VARIANTS[0].depth


def test_ei_refuses_to_work_unprepared_and_keeps_dales_law():
    method, network = make(EIOptions())
    with pytest.raises(NotInitializedError, match="initialize"):
        network(activity())
    assert network.to("meta")(activity().to("meta")).shape == (4, 3, CLASSES)  # a shape can pass
    method, network = prepared(EIOptions(), activity())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.sub_(1.0)
    method.project(network)
    layers = [m for m in network.modules() if isinstance(m, EILayer)]
    assert len(layers) == 4  # three convolutions and the readout
    assert all((p >= 0).all() for layer in layers for p in layer.non_negative())
    assert all((layer.bias == -1).all() for layer in layers if not layer.readout)


def test_tdbn_scales_by_threshold_and_branches():
    """At threshold 0.5 and two summed branches the current starts with deviation 0.5/sqrt(2)."""
    method, _ = make(TDBNOptions(), threshold=0.5)
    x = activity(4, 16)
    assert method.conv(2, 6, 3).train()(x).std().item() == pytest.approx(0.5, rel=1e-2)
    two = method.conv(2, 6, 3, branches=2).train()(x)
    assert two.std().item() == pytest.approx(0.5 / 2**0.5, rel=1e-2)


def test_tdbn_in_a_chain_with_threshold_1_is_joint_batch_norm_to_the_bit():
    outputs = []
    for choice in (BatchNormOptions(), TDBNOptions()):
        _, network = prepared(choice, activity())
        logits = network(activity())
        logits.square().sum().backward()
        outputs.append((logits, [p.grad for p in network.parameters()]))
    assert torch.equal(outputs[0][0], outputs[1][0])
    assert all(map(torch.equal, outputs[0][1], outputs[1][1]))


def test_no_norm_is_kaiming_normal():
    method, _ = make(NoNormOptions())
    conv = method.conv(64, 256, 3).module
    assert (conv.bias == 0).all()
    assert conv.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.01)


@pytest.mark.parametrize(("depth", "convs"), [(8, 5), (11, 8), (16, 13), (19, 16)])
def test_vgg_layouts(depth, convs):
    """By hand: VGG-8 has 5 convolutions, its body 3*64+64*128+128*256+256*512+512*512 times 9."""
    _, network = make(NoNormOptions(), VggOptions(depth=depth), image=(3, 32, 32))
    weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(weights) == convs
    assert network(torch.rand(2, 1, 3, 32, 32)).shape == (2, 1, CLASSES)
    assert network.readout.in_features == 512
    if depth == 8:
        body = 9 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512 * 512)
        assert sum(w.numel() for w in weights) == body == 3_909_312


def test_vgg_parameters_under_ei_by_hand():
    """VGG-8, ratio 4: the body's kernels times 1.25, n_E n_I + n_I + 2 n_E for each layer; readout
    10 x 512, two inhibitory cells of 512, and 10 x 2."""
    method, _ = make(EIOptions())
    network = MODELS.build(VggOptions(), method, (3, 32, 32), 10)
    body = 3_909_312 * 5 // 4
    circuits = sum(n * n // 4 + n // 4 + 2 * n for n in (64, 128, 256, 512, 512))
    readout = 10 * 512 + 2 * 512 + 10 * 2
    assert sum(p.numel() for p in network.parameters()) == body + circuits + readout


@pytest.mark.parametrize(
    ("layout", "kinds", "widths"),
    [
        ("64 P 128 P", "cpcp", [64, 128]),
        ([5, 6, "p"], "ccp", [5, 6]),
        (7, "c", [7]),
        ("p 3", "pc", [3]),
    ],
)
def test_vgg_by_layout(layout, kinds, widths):
    """In the paper's notation, or as a list."""
    _, network = make(NoNormOptions(), VggOptions(layout=layout))
    names = [name[0] for name, _ in network.named_children() if name[0] in "cp"]
    assert "".join(names) == kinds
    assert [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)] == widths
    assert network(activity()).shape == (4, 3, CLASSES)


def test_the_layout_of_vgg_8_is_vgg_8():
    listed = VggOptions(layout="64 P 128 P 256 P 512 P 512 P")
    sizes = [
        [(name, p.shape) for name, p in make(EIOptions(), m, (3, 32, 32))[1].named_parameters()]
        for m in (listed, VggOptions())
    ]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(
    ("depth", "pools", "expected"),
    [(4, 2, "ccpccp"), (5, 2, "ccpcccp"), (3, 0, "ccc"), (2, 2, "cpcp"), (7, 3, "ccpcccpccp")],
)
def test_plain_spreads_its_poolings(depth, pools, expected):
    _, network = make(NoNormOptions(), PlainOptions(depth=depth, width=4, pools=pools))
    kinds = [name[0] for name, _ in network.named_children() if name[0] in "cp"]
    assert "".join(kinds) == expected


def test_too_small_an_image_is_refused():
    with pytest.raises(ValueError, match="at least 32x32 for its 5 poolings, not 8x8"):
        make(NoNormOptions(), VggOptions())


def test_image_data_shape():
    split = Split(torch.zeros(4, 3, 8, 6, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    assert ImageData(("a",), split, split, split).image == (3, 8, 6)
