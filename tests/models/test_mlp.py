"""`mlp`: a 1x1 convolution on images of one pixel is a dense layer: value, gradient and start."""

import pytest
import torch
from torch import nn

from eibench.contracts.networks import make_method
from eibench.methods.norms import BatchNormOptions
from eibench.methods.without_norm import NoNormOptions
from eibench.models.chain import MlpOptions, mlp
from eibench.nn import EIConv2d, EILinear
from eibench.nn import functional as F

T, B, D, N = 3, 5, 12, 8


def activity(seed=0):
    """[T, B, D, 1, 1], at least 0, with exact zeros."""
    x = torch.randn(T, B, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x.relu()[..., None, None]


def pair():
    """The same circuit twice: as a 1x1 convolution and as a dense layer."""
    layers = EIConv2d(D, N, 1).double(), EILinear(D, N).double()
    for layer, x in zip(layers, (activity(), activity().flatten(2)), strict=True):
        layer.initialize(x, torch.Generator().manual_seed(1))
    return layers


def test_e_i_init_reads_and_draws_the_same():
    x = activity().flatten(0, 1)
    assert F.input_statistics(x) == pytest.approx(F.input_statistics(x.flatten(1)), rel=1e-12)
    conv, dense = pair()
    for (name, mine), (other, theirs) in zip(
        conv.named_parameters(), dense.named_parameters(), strict=True
    ):
        assert name == other
        torch.testing.assert_close(mine.flatten(1) if mine.dim() > 2 else mine, theirs)


def test_e_i_currents_and_gradients_are_those_of_a_dense_layer():
    conv, dense = pair()
    grads = []
    for layer, x in ((conv, activity(2)), (dense, activity(2).flatten(2))):
        x.requires_grad_()
        current = layer(x)
        assert current.shape == (T, B, N, *x.shape[3:])
        (
            current.flatten(2) * torch.linspace(-1, 1, N, dtype=torch.float64)
        ).square().sum().backward()
        grads.append([current.flatten(2), x.grad.flatten(2), *(p.grad for p in layer.parameters())])
    for mine, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(mine.reshape(theirs.shape), theirs, rtol=1e-11, atol=1e-12)


def test_batch_norm_is_that_of_a_dense_layer():
    """By torch's own: the matrix product, then BatchNorm1d over time and batch."""
    conv = make_method(BatchNormOptions()).conv(D, N, 1).double()
    dense, norm = nn.Linear(D, N, bias=False).double(), nn.BatchNorm1d(N).double()
    with torch.no_grad():
        dense.weight.copy_(conv[0].module.weight.flatten(1))
    expected = norm(dense(activity().flatten(2)).flatten(0, 1)).view(T, B, N)
    torch.testing.assert_close(conv(activity()).flatten(2), expected)


@pytest.mark.parametrize("image", [(1, 8, 8), (3, 5, 7), (2, 48, 48), (1, 1, 700), (1, 1, 1)])
def test_any_image_is_flattened(image):
    method = make_method(NoNormOptions())
    network = mlp(method, image, 20, MlpOptions(depth=2, width=6))
    pixels = image[0] * image[1] * image[2]
    matrices = [tuple(p.shape[:2]) for p in network.parameters() if p.dim() > 1]
    assert matrices == [(6, pixels), (6, 6), (20, 6)]
    assert network(torch.rand(4, 3, *image)).shape == (4, 3, 20)


def test_the_first_layer_of_theory_sees_the_image():
    """Micheli's first layer: a current of unit second moment for the first batch."""
    method = make_method(NoNormOptions(init="fluctuation"))
    torch.manual_seed(0)
    network = mlp(method, (1, 20, 20), 3, MlpOptions(depth=2, width=500))
    batch = 0.3 * torch.rand(1, 64, 1, 20, 20).expand(4, -1, -1, -1, -1)
    method.prepare(network, batch, torch.Generator().manual_seed(1))
    current = network.dense1(network.pixel(network.flatten(batch)))
    assert current.square().mean().sqrt().item() == pytest.approx(1, rel=0.05)
