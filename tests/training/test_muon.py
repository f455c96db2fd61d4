"""Muon against singular values and hand-derived numbers."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from eibench.training.muon import Muon, orthogonalize


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def five_steps(s):
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return s


def by_singular_values(matrix):
    """The oracle: the polynomial acts on each singular value of the matrix scaled to norm 1."""
    u, s, v = np.linalg.svd(np.asarray(matrix), full_matrices=False)
    return (u * five_steps(s / np.linalg.norm(s))) @ v


def muon(weight, gradients, lr=0.1, momentum=0.95, weight_decay=0.0):
    """The weight after a step for each gradient."""
    weight = nn.Parameter(weight.clone())
    group = {"params": [weight], "weight_decay": weight_decay}
    optimizer = Muon([group], lr, momentum)
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach()


SHAPES = [(6, 20), (20, 6), (8, 8), (2, 1000), (1000, 2), (1, 7), (7, 1), (1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonalize_acts_on_singular_values(shape):
    matrix = draw(*shape)
    assert torch.allclose(orthogonalize(matrix), torch.tensor(by_singular_values(matrix)))


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_are_about_1(shape):
    u, _, v = torch.linalg.svd(draw(*shape), full_matrices=False)
    wide = u @ torch.diag(torch.logspace(-2, 0, len(v), dtype=v.dtype)) @ v
    found = torch.linalg.svdvals(orthogonalize(wide))
    assert found.min() > 0.68
    assert found.max() < 1.21


def test_two_by_two_by_hand():
    """diag(3, -4) has the singular values 0.6 and 0.8 at norm 1; a rotation turns along."""
    expected = torch.tensor([[five_steps(0.6), 0.0], [0.0, -five_steps(0.8)]], dtype=torch.float64)
    assert torch.allclose(orthogonalize(torch.diag(torch.tensor([3.0, -4.0]).double())), expected)
    turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    turned = orthogonalize(turn @ torch.diag(torch.tensor([3.0, -4.0]).double()))
    assert torch.allclose(turned, turn @ expected)


def test_matrices_of_a_stack_are_independent():
    stack = torch.stack([draw(3, 5), torch.zeros(3, 5), 1e9 * draw(3, 5, seed=1)])
    for one, alone in zip(orthogonalize(stack), stack, strict=True):
        assert torch.allclose(one, orthogonalize(alone))


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1.0, 1e20, 1e38])
def test_the_size_of_a_gradient_does_not_matter(scale):
    gradient = draw(4, 9, dtype=torch.float32).clamp(-3, 3)
    assert torch.allclose(orthogonalize(gradient * scale), orthogonalize(gradient), atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 3, 3), (16, 2, 1, 1), (3, 200), (200, 3)])
@pytest.mark.parametrize("size", [1e-2, 1.0, 1e6])
def test_a_step_is_a_share_of_the_weight(shape, size):
    weight = size * draw(*shape)
    change = muon(weight, [1e-9 * draw(*shape, seed=1)], lr=0.03) - weight
    assert float(change.norm() / weight.norm()) == pytest.approx(0.03)


def test_a_step_along_a_kernel_by_hand():
    """Two steps with momentum and decay, on the kernel as a matrix [n_out, rest]."""
    weight, gradients = draw(4, 2, 3, 3), [draw(4, 2, 3, 3, seed=s) for s in (1, 2)]
    found = muon(weight, gradients, lr=0.1, momentum=0.8, weight_decay=0.5)
    expected, held = np.asarray(weight).reshape(4, 18), np.zeros((4, 18))
    for gradient in (np.asarray(g).reshape(4, 18) for g in gradients):
        held = 0.8 * held + gradient
        along = by_singular_values(gradient + 0.8 * held)
        step = 0.1 * np.linalg.norm(expected) * along / np.linalg.norm(along)
        expected = (1 - 0.1 * 0.5) * expected - step
    assert np.allclose(np.asarray(found).reshape(4, 18), expected)


def test_steps_of_vanishing_weights_have_a_floor():
    """From zero a weight of 9 rows moves by lr times 0.01 * 3, and learning goes on from there."""
    moved = muon(torch.zeros(9, 4), [draw(9, 4, dtype=torch.float32)], lr=0.1)
    assert float(moved.norm()) == pytest.approx(0.1 * 0.01 * 3)
    tiny = 1e-9 * draw(9, 4)
    assert float((muon(tiny, [draw(9, 4)], lr=0.1) - tiny).norm()) == pytest.approx(0.003)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_without_a_gradient_only_decay_acts(decay):
    weight = draw(4, 6)
    assert torch.allclose(
        muon(weight, [torch.zeros_like(weight)], 0.1, 0.9, decay), weight * (1 - decay / 10)
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_shows_in_the_weight(value):
    gradient = draw(3, 4)
    gradient[1, 2] = value
    assert muon(draw(3, 4), [gradient]).isnan().any()


def test_weights_of_one_shape_learn_as_they_do_alone():
    weights = [nn.Parameter(draw(3, 4, seed=s)) for s in range(3)]
    gradients = [draw(3, 4, seed=s) for s in range(10, 13)]
    alone = [muon(w.detach(), [g]) for w, g in zip(weights, gradients, strict=True)]
    optimizer = Muon([{"params": [*weights, nn.Parameter(draw(3, 4))]}], 0.1, 0.95)
    for weight, gradient in zip(weights, gradients, strict=True):  # the fourth has none
        weight.grad = gradient
    optimizer.step()
    for weight, expected in zip(weights, alone, strict=True):
        assert torch.allclose(weight, expected)
    assert torch.equal(optimizer.param_groups[0]["params"][3], draw(3, 4))
