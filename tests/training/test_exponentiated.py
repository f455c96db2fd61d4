"""Exponentiated gradients against hand-derived numbers and an oracle of log-weights."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from eibench.training.exponentiated import ExponentiatedGradient


def exponentiated(weight, gradients, lr=0.5, momentum=0.0, weight_decay=0.0):
    """The weight after a step for each gradient."""
    weight = nn.Parameter(weight.clone())
    group = {"params": [weight], "weight_decay": weight_decay}
    optimizer = ExponentiatedGradient([group], lr, momentum)
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach()


def test_by_hand():
    """A descent makes positive weights smaller and negative ones larger in size; 0 stays."""
    found = exponentiated(torch.tensor([[2.0, -2.0, 0.0]]), [torch.ones(1, 3)])
    root = math.exp(0.5)
    assert found.tolist() == [[pytest.approx(2 / root), pytest.approx(-2 * root), 0.0]]


def test_momentum_and_decay_by_hand():
    """At momentum 0.5 and decay 0.2, gradients 1 and 2 give 1.2, then 0.6 + 2.2 = 2.8."""
    (found,) = exponentiated(
        torch.tensor([4.0]), [torch.tensor([1.0]), torch.tensor([2.0])], 0.1, 0.5, 0.2
    )
    assert float(found) == pytest.approx(4 * math.exp(-0.1 * (1.2 + 2.8)))
    (found,) = exponentiated(torch.tensor([-4.0]), [torch.tensor([0.0])], 0.1, 0.5, 0.2)
    assert float(found) == pytest.approx(-4 * math.exp(-0.02))


def test_sizes_follow_sgd_on_their_logarithms():
    """The oracle: log |w| takes torch's SGD step along sign(w) G."""
    generator = torch.Generator().manual_seed(0)
    weight, *gradients = torch.randn(6, 4, 3, 2, 2, generator=generator, dtype=torch.float64)
    sign = weight.sign()
    logarithm = nn.Parameter(weight.abs().log())
    sgd = torch.optim.SGD([logarithm], lr=0.3, momentum=0.9)
    for gradient in gradients:
        logarithm.grad = sign * gradient
        sgd.step()
    found = exponentiated(weight, gradients, 0.3, 0.9)
    assert torch.allclose(found, sign * logarithm.detach().exp())


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-10, 10, width=32), min_size=3, max_size=3),
    st.lists(st.floats(-3, 3, width=32), min_size=3, max_size=3),
    st.floats(0.01, 20),
)
def test_signs_stay(weights, gradients, lr):
    before, gradient = torch.tensor(weights), torch.tensor(gradients)
    after = exponentiated(before, [gradient], lr, 0.9, 0.1)
    assert torch.equal(after.sign(), before.sign())


def test_no_weight_reaches_zero_or_is_stuck_there():
    down = exponentiated(torch.tensor([1.0, -1.0]), [torch.tensor([300.0, -300.0])] * 3, lr=1.0)
    least = float(np.finfo(np.float32).tiny)
    assert down.tolist() == [least, -least]
    assert float(exponentiated(down, [torch.tensor([-50.0, 50.0])], lr=1.0)[0]) > 1e-20


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("weight", [1.0, -1.0, 0.0])
def test_a_gradient_that_is_not_finite_shows_in_the_weight(value, weight):
    """Also one that shrinks the weight without limit."""
    assert exponentiated(torch.tensor([weight]), [torch.tensor([value])]).isnan()


def test_weights_without_a_gradient_stay():
    weight = nn.Parameter(torch.ones(2, 2))
    ExponentiatedGradient([{"params": [weight]}], 0.1, 0.9).step()
    assert torch.equal(weight, torch.ones(2, 2))
