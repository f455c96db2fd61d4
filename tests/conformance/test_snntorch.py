"""eibench's layers against snnTorch's, where both implement the same equations.

Its `Leaky` neuron, with beta = 1 - 1/tau, differs from `LIF` in these points:

- It fires strictly above the threshold, not at it. The currents drawn here avoid equality.
- By default the reset comes with the next step's charge. Subtracted then, the threshold has not
  decayed (theta, where ours is beta * theta): the same only without a leak, beta = 1. A reset to
  zero is the same whenever it comes. Either way the reset passes no gradient.
- With reset_delay=False the reset passes a gradient, and a potential that is still above the
  threshold after a subtraction is lowered once more before the next decision to fire, not after
  it: the same only while u <= 2 theta.
- Its spikes, and a threshold subtracted for one, are float32 whatever the potential is. Thresholds
  are drawn that float32 holds; gradients through a reset are rounded to it.

Not compared: its time constants learned or for each neuron, for which eibench has no counterpart.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peer import (
    BATCH_NORM,
    SURROGATES,
    C,
    T,
    current,
    draw,
    same,
    same_layers,
    value_and_gradient,
)
from torch import Tensor

from eibench.nn import LIF, BNTT2d
from eibench.nn.functional import fire

snntorch = pytest.importorskip("snntorch")

THEIRS = {
    "sigmoid": snntorch.surrogate.sigmoid(slope=4),
    "atan": snntorch.surrogate.atan(alpha=2.0),
}
DRAWN = {"seed": st.integers(0, 9999), "threshold": st.floats(0.125, 5.0, width=32)}
FLOAT32 = 1e-6


class Leaky:
    """snnTorch's neuron over time, from a potential of zero: [T, ...] to spikes."""

    def __init__(self, tau: float, threshold: float, reset: str, kind: str, delay: bool) -> None:
        self.neuron = snntorch.Leaky(
            beta=torch.tensor(1 - 1 / tau, dtype=torch.float64),
            threshold=torch.tensor(threshold, dtype=torch.float64),
            spike_grad=THEIRS[kind],
            reset_mechanism={"soft": "subtract", "hard": "zero"}[reset],
            reset_delay=delay,
        )

    def __call__(self, x: Tensor) -> Tensor:
        spikes, v = [], torch.zeros_like(x[0])
        for step in x:
            s, v = self.neuron(step, v)
            spikes.append(s)
        return torch.stack(spikes).to(x.dtype)


@pytest.mark.parametrize("kind", SURROGATES)
def test_surrogate_derivative(kind: str) -> None:
    x = 2 * draw(0, 200)
    same(value_and_gradient(lambda u: fire(u, kind), x), value_and_gradient(THEIRS[kind], x))


@pytest.mark.parametrize("kind", SURROGATES)
@settings(max_examples=25)
@given(tau=st.floats(1.0, 50.0), **DRAWN)
def test_delayed_reset_to_zero(kind: str, seed: int, tau: float, threshold: float) -> None:
    x = current(seed, tau, threshold, "hard")
    ours = LIF(tau, threshold, "hard", kind, detach_reset=True)
    theirs = Leaky(tau, threshold, "hard", kind, delay=True)
    same(value_and_gradient(ours, x), value_and_gradient(theirs, x))


@pytest.mark.parametrize("kind", SURROGATES)
@settings(max_examples=25)
@given(**DRAWN)
def test_delayed_subtraction_without_a_leak(kind: str, seed: int, threshold: float) -> None:
    x = current(seed, math.inf, threshold, "soft")
    ours = LIF(math.inf, threshold, "soft", kind, detach_reset=True)
    theirs = Leaky(math.inf, threshold, "soft", kind, delay=True)
    same(value_and_gradient(ours, x), value_and_gradient(theirs, x))


@pytest.mark.parametrize("kind", SURROGATES)
@pytest.mark.parametrize(("reset", "highest"), [("soft", 2.0), ("hard", math.inf)])
@settings(max_examples=25)
@given(tau=st.floats(1.0, 50.0), **DRAWN)
def test_reset_in_the_same_step(
    reset: str, highest: float, kind: str, seed: int, tau: float, threshold: float
) -> None:
    x = current(seed, tau, threshold, reset, highest)
    ours = LIF(tau, threshold, reset, kind, detach_reset=False)
    theirs = Leaky(tau, threshold, reset, kind, delay=False)
    (spikes, gradient), expected = value_and_gradient(ours, x), value_and_gradient(theirs, x)
    assert torch.equal(spikes, expected[0])
    same([gradient], [expected[1]], FLOAT32)


@pytest.mark.parametrize(
    ("delay", "values", "ours", "theirs"),
    [
        (True, (1.0,), [1], [0]),  # equality
        # u = 1.5, then 0.25 + 0.75 = 1 plus a bit here, 0.75 + 0.75 - 1 there
        (True, (1.5, 0.8125), [1, 1], [1, 0]),
        # u = 3.5 leaves 2.5, then 1.25 here, 1.25 - 1 there
        (False, (3.5, 0.0), [1, 1], [1, 0]),
    ],
)
def test_where_they_differ(delay: bool, values: tuple, ours: list, theirs: list) -> None:
    x = torch.tensor(values, dtype=torch.float64)[:, None]
    assert LIF()(x).ravel().tolist() == ours
    assert Leaky(2.0, 1.0, "soft", "sigmoid", delay)(x).ravel().tolist() == theirs


def test_batch_norm_through_time() -> None:
    theirs = snntorch.BatchNormTT2d(C, T, eps=1e-4)
    names = {name: f"{{t}}.{name}" for name in BATCH_NORM if name != "bias"}
    same_layers(
        BNTT2d(C, T),
        theirs,
        names,
        lambda x: torch.stack([norm(step) for norm, step in zip(theirs, x, strict=True)]),
    )
