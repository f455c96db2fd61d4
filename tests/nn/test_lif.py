"""The excitatory neuron: trajectories by hand, gradients by hand and against the oracle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import lif_backward, lif_forward, surrogate
from torch import Tensor

from eibench.nn import LIF


def column(*values: float) -> Tensor:
    """A current [T, 1] in float64."""
    return torch.tensor(values, dtype=torch.float64)[:, None]


def fired(neuron: LIF, *values: float) -> list[float]:
    return neuron(column(*values))[:, 0].tolist()


# --- Trajectories ----------------------------------------------------------------------------


def test_soft_reset_by_hand() -> None:
    # tau 2, threshold 1: u = v/2 + I, v = u - s. Binary fractions, so equality is exact.
    # t  I      u                    s  v
    # 0  0.5    0.5                  0  0.5
    # 1  0.75   0.25 + 0.75 = 1      1  0        equality fires
    # 2  1.5    0 + 1.5              1  0.5      the rest above the threshold is kept
    # 3  0.75   0.25 + 0.75 = 1      1  0
    # 4  -1     -1                   0  -1       no floor below
    # 5  1.25   -0.5 + 1.25 = 0.75   0  0.75
    # 6  0.625  0.375 + 0.625 = 1    1  0
    current = (0.5, 0.75, 1.5, 0.75, -1.0, 1.25, 0.625)
    assert fired(LIF(), *current) == [0, 1, 1, 1, 0, 0, 1]


def test_hard_reset_by_hand() -> None:
    # As above, v = u (1 - s): the rest after t = 2 is dropped.
    # t  I      u                      s  v
    # 0  0.5    0.5                    0  0.5
    # 1  0.75   1                      1  0
    # 2  1.5    1.5                    1  0
    # 3  0.75   0.75                   0  0.75
    # 4  -1     0.375 - 1 = -0.625     0  -0.625
    # 5  1.25   -0.3125 + 1.25         0  0.9375
    # 6  0.625  0.46875 + 0.625        1  0
    current = (0.5, 0.75, 1.5, 0.75, -1.0, 1.25, 0.625)
    assert fired(LIF(reset="hard"), *current) == [0, 1, 1, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("options", "before", "membrane"),
    [
        # v after the steps in `before`; the decay is 1 - 1/tau.
        ({}, (0.5,), 0.5),
        ({}, (0.5, 0.25), 0.5),  # 0.25 + 0.25
        ({}, (1.75,), 0.75),  # 1.75 - 1
        ({}, (3.5,), 2.5),  # one spike takes one threshold away, no more
        ({}, (3.5, 0.0), 0.25),  # 1.25 fires, 0.25 is left
        ({"reset": "hard"}, (3.5,), 0.0),
        ({"reset": "hard"}, (0.5, 0.25), 0.5),
        ({"reset": "hard"}, (-2.0,), -2.0),
        ({"threshold": 0.5}, (0.75,), 0.25),  # soft reset subtracts the threshold, 0.5
        ({"threshold": 2.0}, (1.5,), 1.5),
        ({"tau": 4.0}, (0.5, 0.25), 0.625),  # 0.75 * 0.5 + 0.25: the input is not divided by tau
        ({"tau": 1.0}, (0.5, 0.25), 0.25),  # no memory
    ],
)
def test_membrane_by_probe(options: dict, before: tuple[float, ...], membrane: float) -> None:
    """One more step that lifts u exactly to the threshold fires; a hair less does not."""
    decay = 1.0 - 1.0 / options.get("tau", 2.0)
    probe = options.get("threshold", 1.0) - decay * membrane
    assert fired(LIF(**options), *before, probe)[-1] == 1.0
    assert fired(LIF(**options), *before, probe - 2**-40)[-1] == 0.0


def test_defaults() -> None:
    """tau 2, threshold 1, soft reset, sigmoid surrogate, detached reset."""
    torch.manual_seed(0)
    current, grad = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    got = []
    for neuron in (LIF(), LIF(2.0, 1.0, "soft", "sigmoid", True)):
        x = current.clone().requires_grad_()
        s = neuron(x)
        s.backward(grad)
        got.append((s.detach(), x.grad))
    assert torch.equal(got[0][0], got[1][0]) and torch.equal(got[0][1], got[1][1])


def test_no_memory_between_calls() -> None:
    neuron = LIF()
    current = column(0.75, 0.0, 0.75)
    first = neuron(current)
    assert torch.equal(neuron(current), first)
    assert torch.equal(neuron(torch.zeros(3, 5, dtype=torch.float64)), torch.zeros(3, 5).double())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3,), (4, 2), (1, 2, 3), (3, 2, 4, 3, 5)])
def test_shape_and_dtype(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    current = (2.0 * torch.rand(shape, generator=torch.Generator().manual_seed(1))).to(dtype)
    s = LIF()(current)
    assert s.shape == shape and s.dtype == dtype
    assert set(s.unique().tolist()) == {0.0, 1.0}


# --- The surrogate ---------------------------------------------------------------------------

LN3, LN9 = math.log(3.0), math.log(9.0)


@pytest.mark.parametrize(
    ("kind", "x", "value"),
    [
        ("sigmoid", 0.0, 1.0),  # 4 * 1/2 * 1/2
        ("sigmoid", LN3 / 4, 0.75),  # sigma = 3/4: 4 * 3/4 * 1/4
        ("sigmoid", -LN3 / 4, 0.75),
        ("sigmoid", LN9 / 4, 0.36),  # sigma = 9/10: 4 * 9/10 * 1/10
        ("sigmoid", -LN9 / 4, 0.36),
        ("sigmoid", 1000.0, 0.0),
        ("sigmoid", -1000.0, 0.0),
        ("atan", 0.0, 1.0),  # 2 / (2 (1 + (pi x)^2))
        ("atan", 1 / math.pi, 0.5),
        ("atan", -1 / math.pi, 0.5),
        ("atan", 3 / math.pi, 0.1),
        ("atan", -7 / math.pi, 0.02),
    ],
)
@pytest.mark.parametrize("threshold", [1.0, 0.25])
def test_surrogate_by_hand(kind: str, x: float, value: float, threshold: float) -> None:
    """One step: ds/dI = sigma'(I - threshold), whatever the threshold's size."""
    current = column(threshold + x).requires_grad_()
    LIF(threshold=threshold, surrogate=kind)(current).sum().backward()
    assert current.grad.item() == pytest.approx(value, rel=1e-12, abs=1e-15)
    if abs(x) < 100:
        assert surrogate(np.array(x), kind) == pytest.approx(value, rel=1e-12)


# --- Gradients in time -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reset", "detach", "slope"),
    [
        # dv[0]/du[0] at u = threshold = 1, where s = 1 and sigma'(0) = 1:
        ("soft", True, 1.0),  # the spike is a constant
        ("soft", False, 0.0),  # 1 - threshold * sigma' = 0
        ("hard", True, 0.0),  # 1 - s = 0
        ("hard", False, -1.0),  # (1 - s) - u sigma' = -1
    ],
)
@pytest.mark.parametrize(
    ("kind", "x", "value"), [("sigmoid", -LN3 / 4, 0.75), ("atan", -1 / math.pi, 0.5)]
)
def test_gradient_through_the_reset(
    reset: str, detach: bool, slope: float, kind: str, x: float, value: float
) -> None:
    # I = (1, 1 + x): u[0] = 1 fires and leaves v[0] = 0 under either reset, so u[1] - 1 = x.
    # ds[1]/dI[1] = sigma'(x) = value; ds[1]/dI[0] = value * (1 - 1/2) * dv[0]/du[0].
    current = column(1.0, 1.0 + x).requires_grad_()
    neuron = LIF(reset=reset, surrogate=kind, detach_reset=detach)
    neuron(current)[1].sum().backward()
    expected = [0.5 * slope * value, value]
    np.testing.assert_allclose(current.grad[:, 0].numpy(), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("kind", ["sigmoid", "atan"])
@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 7),
    tau=st.floats(1.0, 10.0),
    threshold=st.floats(0.1, 3.0),
)
def test_oracle(
    reset: str, detach: bool, kind: str, seed: int, steps: int, tau: float, threshold: float
) -> None:
    rng = np.random.default_rng(seed)
    x, grad = rng.normal(0.4, 1.0, (steps, 2, 6)), rng.normal(size=(steps, 2, 6))
    spikes, u = lif_forward(x, tau, threshold, reset)
    if np.abs(u - threshold).min() < 1e-9:  # a rounding error could decide
        return
    current = torch.from_numpy(x.copy()).requires_grad_()
    s = LIF(tau, threshold, reset, kind, detach)(current)
    s.backward(torch.from_numpy(grad))
    assert (s.detach().numpy() == spikes).all()
    expected = lif_backward(grad, x, tau, threshold, reset, kind, detach)
    np.testing.assert_allclose(current.grad.numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("detach", [True, False])
def test_oracle_on_images(reset: str, detach: bool) -> None:
    """[T, B, C, H, W], with a good share of spikes and of silence."""
    rng = np.random.default_rng(3)
    x, grad = rng.normal(0.4, 1.0, (4, 2, 3, 3, 2)), rng.normal(size=(4, 2, 3, 3, 2))
    current = torch.from_numpy(x.copy()).requires_grad_()
    s = LIF(reset=reset, detach_reset=detach)(current)
    s.backward(torch.from_numpy(grad))
    spikes = lif_forward(x, 2.0, 1.0, reset)[0]
    assert 0.1 < spikes.mean() < 0.9 and (s.detach().numpy() == spikes).all()
    expected = lif_backward(grad, x, 2.0, 1.0, reset, "sigmoid", detach)
    np.testing.assert_allclose(current.grad.numpy(), expected, rtol=1e-9, atol=1e-9)


def test_no_gradient_asked_for() -> None:
    with torch.no_grad():
        assert not LIF()(column(2.0).requires_grad_()).requires_grad
    assert fired(LIF(), 2.0) == [1.0]


# --- Bad arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [0.999, 0.0, -2.0, math.nan])
def test_bad_tau(tau: float) -> None:
    with pytest.raises(ValueError, match=r"tau.*\b1\b"):
        LIF(tau=tau)


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.nan])
def test_bad_threshold(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"threshold.*(\b0\b|positive)"):
        LIF(threshold=threshold)


@pytest.mark.parametrize("reset", ["none", "Soft", ""])
def test_bad_reset(reset: str) -> None:
    with pytest.raises(ValueError, match=r"soft.*hard|hard.*soft"):
        LIF(reset=reset)


@pytest.mark.parametrize("kind", ["triangle", "Sigmoid", ""])
def test_bad_surrogate(kind: str) -> None:
    with pytest.raises(ValueError, match=r"sigmoid.*atan|atan.*sigmoid"):
        LIF(surrogate=kind)
