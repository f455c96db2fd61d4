"""Sizes of networks by method, against numbers worked out by hand and against torchvision."""

import pytest
import torch
import torchvision
from torch import nn

from eibench.contracts.networks import make_method
from eibench.models.chain import MlpOptions, PlainOptions, VggOptions
from eibench.models.resnet import ResnetOptions
from eibench.nn import LIF
from eibench.plan.options import METHODS, MODELS

T = 4
CIFAR = (3, 32, 32)

BASIC = {18: (4, 3, 3, 3), 34: (6, 7, 11, 5)}
"""3x3 convolutions of each stage that keep its width."""
BOTTLENECKS = {50: (2, 3, 5, 2)}
"""Bottlenecks of each stage after its first."""


def basic(depth):
    """(c_in, kernel, c_out) of every convolution."""
    first, *later = BASIC[depth]
    layers = [(3, 3, 64), *[(64, 3, 64)] * first]
    for narrow, wide, count in zip((64, 128, 256), (128, 256, 512), later, strict=True):
        layers += [(narrow, 3, wide), *[(wide, 3, wide)] * count, (narrow, 1, wide)]
    return layers


def bottleneck(depth):
    layers, arriving = [(3, 3, 64)], 64
    for width, count in zip((64, 128, 256, 512), BOTTLENECKS[depth], strict=True):
        out = 4 * width
        layers += [(arriving, 1, width), (width, 3, width), (width, 1, out), (arriving, 1, out)]
        layers += [(out, 1, width), (width, 3, width), (width, 1, out)] * count
        arriving = out
    return layers


VGG_8 = [(3, 3, 64), (64, 3, 128), (128, 3, 256), (256, 3, 512), (512, 3, 512)]
NETWORKS = {
    "mlp": (MlpOptions(), [(3072, 1, 256), (256, 1, 256), (256, 1, 256)], 256),
    "vgg 8": (VggOptions(), VGG_8, 512),
    "layout": (VggOptions(layout="64 P 96"), [(3, 3, 64), (64, 3, 96)], 96 * 16 * 16),
    "resnet 18": (ResnetOptions(), basic(18), 512),
    "resnet 34": (ResnetOptions(depth=34), basic(34), 512),
    "resnet 50": (ResnetOptions(depth=50), bottleneck(50), 2048),
    "currents": (ResnetOptions(shortcut="currents"), basic(18), 512),
}
"""Options, convolutions, and what the readout receives, for images of 3x32x32."""

LAYER = {
    "ei": lambda d, n: (n + n // 4) * d + n * (n // 4) + n // 4 + 2 * n,
    "batchnorm": lambda d, n: n * d + 2 * n,
    "tdbn": lambda d, n: n * d + 2 * n,
    "bntt": lambda d, n: n * d + T * n,
    "tebn": lambda d, n: n * d + 2 * n + T,
    "weight_standardization": lambda d, n: n * d + n,
    "no_norm": lambda d, n: n * d + n,
}
"""Parameters of a convolution of fan-in d and n channels."""
KNOWN = {("resnet 18", "batchnorm"): 11_173_962, ("resnet 34", "batchnorm"): 21_282_122,
         ("resnet 50", "batchnorm"): 23_520_842}  # fmt: skip
"""What these networks are known to have with ten classes on CIFAR-10."""


def on_paper(model, method, image=CIFAR, classes=10):
    """A network without memory."""
    made = make_method(METHODS[method](), timesteps=T)
    with torch.device("meta"):
        return MODELS.build(model, made, image, classes)


def parameters(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("method", LAYER)
@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_by_hand(name, method):
    """Each layer by formula; ten classes have 2 inhibitory cells under `ei`, a bias elsewhere."""
    model, layers, features = NETWORKS[name]
    body = sum(LAYER[method](c * k * k, n) for c, k, n in layers)
    readout = 12 * features + 10 * 2 if method == "ei" else 10 * features + 10
    found = parameters(on_paper(model, method))
    assert found == body + readout
    assert found == KNOWN.get((name, method), found)


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_torchvision_has_the_same_synapses(depth):
    """The large stem and batch norm are its residual networks: same kernels and strides, and the
    same number of parameters (ResNet-18: 11 689 512)."""
    with torch.device("meta"):
        theirs = getattr(torchvision.models, f"resnet{depth}")()
    ours = on_paper(ResnetOptions(depth=depth, stem="large"), "batchnorm", (3, 224, 224), 1000)

    def kernels(network):
        convs = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
        return sorted((tuple(m.weight.shape), m.stride, m.padding) for m in convs)

    assert kernels(ours) == kernels(theirs)
    assert parameters(ours) == parameters(theirs)
    assert depth != 18 or parameters(ours) == 11_689_512


STAGES = [
    ("small", (3, 32, 32), [(32, 32), (16, 16), (8, 8), (4, 4)]),
    ("small", (1, 8, 8), [(8, 8), (4, 4), (2, 2), (1, 1)]),
    ("small", (2, 15, 48), [(15, 48), (8, 24), (4, 12), (2, 6)]),
    ("large", (3, 224, 224), [(56, 56), (28, 28), (14, 14), (7, 7)]),
]
"""Stem, image, and height and width of each stage; the stem's are those of the first."""


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("shortcut", ["spikes", "currents"])
@pytest.mark.parametrize(("stem", "image", "expected"), STAGES, ids=str)
def test_shapes_by_stage(stem, image, expected, shortcut, depth):
    """Stem, four stages, the average of each channel, logits; bottlenecks are four times wider."""
    model = ResnetOptions(depth=depth, stem=stem, shortcut=shortcut)
    x, found = torch.empty(T, 2, *image, device="meta"), []
    for part in on_paper(model, "tebn", image):
        x = part(x)
        found.append(tuple(x.shape[2:]))
    wider = 4 if depth == 50 else 1
    widths = [wider * width for width in (64, 128, 256, 512)]
    stages = [(width, *size) for width, size in zip(widths, expected, strict=True)]
    features = 512 * wider
    assert found == [(64, *expected[0]), *stages, (features, 1, 1), (features,), (10,)]


def neurons(network, image):
    """Shapes of what fires for one image at one step, in forward order."""
    seen = []
    for neuron in (m for m in network.modules() if isinstance(m, LIF)):
        neuron.register_forward_hook(lambda m, i, out: seen.append(tuple(out.shape[2:])))
    with torch.no_grad():
        network.eval()(torch.empty(T, 1, *image, device="meta"))
    return seen


MODELS_OF_A_KIND = [
    MlpOptions(),
    PlainOptions(),
    VggOptions(layout="8 P 16 P"),
    ResnetOptions(width=8),
    ResnetOptions(width=8, shortcut="currents"),
    ResnetOptions(width=8, stem="large"),
]


@pytest.mark.parametrize("model", MODELS_OF_A_KIND, ids=lambda c: c.label)
def test_every_method_has_the_same_neurons(model):
    found = {name: neurons(on_paper(model, name), CIFAR) for name in METHODS}
    assert all(shapes == found["no_norm"] for shapes in found.values())
    assert len(found["no_norm"]) > 1


def test_neurons_by_hand():
    """ResNet-18 on 32x32: one layer and four of 64x32x32, then four and the shortcut's own in each
    stage, half the size of the one before; without those under `currents`."""
    own = 32_768 + 16_384 + 8_192
    chain = 5 * 65_536 + 4 * own
    sizes = []
    for shortcut in ("spikes", "currents"):
        network = on_paper(ResnetOptions(shortcut=shortcut), "no_norm")
        sizes.append(sum(torch.Size(shape).numel() for shape in neurons(network, CIFAR)))
    assert sizes == [chain + own, chain] == [614_400, 557_056]
